"""Reads still and animated pictures with Pillow."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import DecodeError, MediaError, MediaTooLarge
from mmsearch.media.base import Content, Described, LoadOptions, Picture, describe_pixel_excess
from mmsearch.media.exif import read_orientation, read_metadata
from mmsearch.media.pixels import draft_jpeg, render_upright
from mmsearch.media.strings import clean, split_words
from mmsearch.media.text_detection import prepare_ocr_picture
from mmsearch.types import Modality, Place

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import PictureFit, PixelArray

logger = logging.getLogger(__name__)

# Not among them: EPS, whose plugin starts Ghostscript; IPTC, which opens what it contains without
# asking for the format; and stubs that only know their header (WMF, HDF5, GRIB, BUFR, MPEG).
FORMATS = split_words("""
    JPEG PNG GIF WEBP AVIF HEIF TIFF BMP DIB ICO CUR ICNS PSD PPM JPEG2000 DDS FLI SGI QOI
    PCX DCX SUN XBM XPM MSP IM PIXAR PCD BLP FTEX GBR FITS XVTHUMB
    """)
_TARGA_SUFFIXES = frozenset({".tga", ".icb", ".vda", ".vst"})
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "FLI"})
_PAGED = frozenset({"TIFF", "DCX"})
# A frame of an animation needs all frames before it: about five seconds of decoding in the end.
_ANIMATION_PIXELS = 500_000_000
_SUBFILE_TYPE = 254
_THUMBNAIL_OR_MASK = 1 | 4


class ImageLoader:
    """Every format Pillow decodes by itself, and HEIC: frames of animations, pages of TIFF."""

    name = "image"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yield Described, then the picture, or some frames of it, or its pages."""
        with path.open("rb") as file:
            image = _open_image(path, file, options)
            with image:
                with _translate_errors(path):
                    metadata = read_metadata(image)
                if image.format in _PAGED:
                    pages = len(_find_page_positions(path, image, options))
                    metadata = replace(metadata, page_count=pages)
                frames = _load_frames(path, image, options)
                first = next(frames)
                yield Described(
                    Modality.IMAGE,
                    replace(metadata, width_px=first.width_px, height_px=first.height_px),
                )
                yield first.picture
                try:
                    for frame in frames:
                        yield frame.picture
                except MediaError as exc:
                    logger.debug("kept the frames before a bad one: %s", exc)


class _Frame:
    __slots__ = ("height_px", "picture", "width_px")

    def __init__(self, picture: Picture, width_px: int, height_px: int) -> None:
        self.picture = picture
        self.width_px = width_px
        self.height_px = height_px


def _open_image(path: Path, file: object, options: LoadOptions) -> Image.Image:
    from pi_heif import register_heif_opener
    from PIL import Image

    register_heif_opener(thumbnails=False)
    # Pillow's own guard is a module variable. It stands before ours for the formats that allocate
    # while they are opened.
    Image.MAX_IMAGE_PIXELS = options.limits.pixels
    formats = list(FORMATS)
    if path.suffix.lower() in _TARGA_SUFFIXES or path.suffix == "":
        formats.append("TGA")
    with _translate_errors(path):
        return Image.open(file, formats=formats)  # type: ignore[arg-type]  # a binary file


def _load_frames(path: Path, image: Image.Image, options: LoadOptions) -> Iterator[_Frame]:
    if options.page is not None:
        yield _load_page(path, image, options, options.page)
        return
    if image.format in _PAGED:
        yield from _load_pages(path, image, options)
        return
    yield _load_frame(path, image, options, Place())
    if image.format not in _ANIMATED or options.animation_frames <= 1:
        return
    count = _count_frames(path, image)
    wanted = sorted(
        {at * count // options.animation_frames for at in range(options.animation_frames)}
    )
    for at in wanted:
        if at > 0:
            with _translate_errors(path):
                image.seek(at)
            yield _load_frame(path, image, options, Place(page=at + 1))


def _count_frames(path: Path, image: Image.Image) -> int:
    """How many frames of an animation are looked at."""
    with _translate_errors(path):
        count = int(getattr(image, "n_frames", 1))
    return min(count, max(1, _ANIMATION_PIXELS // max(1, image.width * image.height)))


def _load_page(path: Path, image: Image.Image, options: LoadOptions, page: int) -> _Frame:
    """The page or frame that has this number when all are read."""
    at = page - 1
    place = Place(page=page) if page > 1 else Place()
    if image.format in _PAGED:
        numbers = _find_page_positions(path, image, options)
        count, place = len(numbers), Place(page=page) if len(numbers) > 1 else Place()
        at = numbers[at] if page <= count else at
    else:
        count = _count_frames(path, image) if page > 1 and image.format in _ANIMATED else 1
    if page > count:
        raise DecodeError(path, f"there is no page {page} in it, it has {count}")
    if at or image.format in _PAGED:
        with _translate_errors(path):
            image.seek(at)
    return _load_frame(path, image, options, place)


def _find_page_positions(path: Path, image: Image.Image, options: LoadOptions) -> list[int]:
    """Where the pages are among the pictures of the file, at most `tiff_pages` of them.

    Pyramids, previews and masks stand between the pages and say what they are.
    """
    numbers: list[int] = []
    for at in range(options.tiff_pages * 4):
        try:
            with _translate_errors(path):
                image.seek(at)
        except DecodeError:
            if at == 0:
                raise
            break
        kind = getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0)
        if at > 0 and isinstance(kind, int) and kind & _THUMBNAIL_OR_MASK:
            continue
        numbers.append(at)
        if len(numbers) == options.tiff_pages:
            break
    return numbers


def _load_pages(path: Path, image: Image.Image, options: LoadOptions) -> Iterator[_Frame]:
    numbers = _find_page_positions(path, image, options)
    for page, at in enumerate(numbers, start=1):
        try:
            with _translate_errors(path):
                image.seek(at)
            yield _load_frame(path, image, options, Place(page=page) if len(numbers) > 1 else Place())
        except MediaError as exc:
            if page == 1:
                raise
            logger.debug("passed over a page: %s", exc)


def _load_frame(path: Path, image: Image.Image, options: LoadOptions, place: Place) -> _Frame:
    width, height = image.size
    if width * height > options.limits.pixels:
        raise MediaTooLarge(path, describe_pixel_excess(width, height, options.limits))
    with _translate_errors(path):
        draft_jpeg(image, options.picture)
        image.load()
        # TIFF turns itself while it loads, and then says so.
        turn = read_orientation(image)
        if turn >= 5 or image.size == (height, width):
            width, height = height, width
        pixels = render_upright(image, options.picture, turn)
        part = None
        if options.legible_px:
            part = prepare_ocr_picture(_UprightRenderer(path, image, options, turn, max(width, height)), options)
    return _Frame(Picture(pixels, place, ocr_picture=part), width, height)


class _UprightRenderer:
    """One picture in several sizes, upright; a JPEG that was decoded small is decoded again."""

    def __init__(
        self, path: Path, image: Image.Image, options: LoadOptions, turn: int, longest_px: int
    ) -> None:
        self._path = path
        self._image = image
        self._options = options
        self._turn = turn
        self._longest_px = longest_px

    def __call__(self, fit: PictureFit) -> PixelArray:
        if max(self._image.size) >= min(fit.size_px, self._longest_px):
            return render_upright(self._image, fit, self._turn)
        with self._path.open("rb") as file, _open_image(self._path, file, self._options) as again:
            draft_jpeg(again, fit)
            again.load()
            return render_upright(again, fit, self._turn)


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into errors of a file, and keep its warnings off stderr."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MediaError, MemoryError):
        raise
    except Image.DecompressionBombError as exc:
        # Pillow's own limit is what is allowed, and it names twice that.
        allowed = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise MediaTooLarge(
            path,
            f"it unpacks to more than twice the limit of {allowed:g} megapixels, as a "
            f"decompression bomb does: raise it with --max-megapixels if the picture is meant",
        ) from exc
    except UnidentifiedImageError as exc:
        raise DecodeError(path, "not a picture that can be read") from exc
    except Exception as exc:  # Pillow's plugins raise ten kinds of errors for broken bytes
        raise DecodeError(path, clean(f"broken picture: {exc}") or "broken picture") from exc
