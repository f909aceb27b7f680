"""Decodes still and animated pictures."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from mmsearch.errors import DecodeError, MediaError, MediaTooLarge
from mmsearch.media import signatures
from mmsearch.media.base import Content, Described, LoadOptions, Picture, describe_pixel_excess
from mmsearch.media.pictures.damaged_pictures import open_damaged, tolerate_damage
from mmsearch.media.pictures.exif import read_orientation
from mmsearch.media.pictures.picture_metadata import read_metadata
from mmsearch.media.pictures.picture_sidecars import add_facts_beside
from mmsearch.media.pictures.picture_source import PictureSource
from mmsearch.media.pictures.pixels import draft_jpeg, render_upright
from mmsearch.media.pictures.text_detection import prepare_ocr_picture
from mmsearch.media.strings import clean, split_words
from mmsearch.types import Metadata, Modality, Omission, OmissionCause, Place

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import PictureFit, PixelArray

logger = logging.getLogger(__name__)

# Left out: EPS, whose plugin starts Ghostscript; IPTC, which opens embedded files of any format;
# and stubs that only know their header (WMF, HDF5, GRIB, BUFR, MPEG).
FORMATS = split_words("""
    JPEG PNG GIF WEBP AVIF HEIF TIFF BMP DIB ICO CUR ICNS PSD PPM JPEG2000 DDS FLI SGI QOI
    PCX DCX SUN XBM XPM MSP IM PIXAR PCD BLP FTEX GBR FITS XVTHUMB
    """)
_TARGA_SUFFIXES = frozenset({".tga", ".icb", ".vda", ".vst", ""})
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "FLI"})
_PAGED = frozenset({"TIFF", "DCX"})
# A frame of an animation needs all frames before it: at most about five seconds of decoding.
_ANIMATION_PIXELS = 500_000_000
_SUBFILE_TYPE = 254
_THUMBNAIL_OR_MASK = 1 | 4

_HEAD_BYTES = 16
_TIFF_HEADS = (b"II*\0", b"MM\0*")

_Opener: TypeAlias = "Callable[[], Image.Image]"
_Frame: TypeAlias = tuple[Picture, tuple[int, int]]
"""A picture, and the (width, height) of its original."""


class ImageLoader:
    """Every format that Pillow decodes, HEIC, camera RAW and JPEG XL.

    Of animations some frames are read, of TIFF all pages.
    """

    name = "image"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, then the picture, or some frames of it, or its pages."""
        with path.open("rb") as file, ExitStack() as stack:
            source = _find_source(path, file, options)
            try:
                first, metadata, frames = _start(path, source, options, stack)
            except MediaTooLarge:
                raise
            except DecodeError:
                stack.enter_context(tolerate_damage())
                is_whole_file = source.metadata is None
                damaged = open_damaged(file, partial(_open_image, path, options))
                if damaged is None or not is_whole_file:
                    raise
                source = damaged
                first, metadata, frames = _start(path, source, options, stack)
            yield Described(Modality.IMAGE, add_facts_beside(path, metadata))
            yield first
            yield from source.omissions
            try:
                for frame in frames:
                    yield frame if isinstance(frame, Omission) else frame[0]
            except MediaError as exc:
                logger.debug("kept the frames before a bad one: %s", exc)
                yield Omission(OmissionCause.DAMAGED, "the later frames of the animation")


def _find_source(path: Path, file: BinaryIO, options: LoadOptions) -> PictureSource:
    head = file.read(_HEAD_BYTES)
    if head.startswith(signatures.JPEG_XL):
        from mmsearch.media.pictures.jpeg_xl import open_jpeg_xl

        return open_jpeg_xl(path, file, options)
    if head.startswith(_TIFF_HEADS) or signatures.is_camera_raw(head):
        from mmsearch.media.pictures.raw import open_raw

        if (raw := open_raw(path, file, head, options)) is not None:
            return raw
    return PictureSource(partial(_open_image, path, options, path))


def _start(
    path: Path, source: PictureSource, options: LoadOptions, stack: ExitStack
) -> tuple[Picture, Metadata, Iterator[_Frame | Omission]]:
    """Opens a picture until the stack is closed: its first frame, its metadata, later frames."""
    with _translate_errors(path):
        image = stack.enter_context(source.open())
        metadata = source.metadata or read_metadata(image)
    if image.format in _PAGED:
        page_count = _find_pages(path, image, options).count
        metadata = replace(metadata, page_count=page_count)
    frames = _load_frames(path, image, options, source.open)
    picture, size = next(frame for frame in frames if not isinstance(frame, Omission))
    if image.format == "PNG":  # text may lie behind the pixels
        metadata = read_metadata(image)
    width, height = source.size or size
    return picture, replace(metadata, width_px=width, height_px=height), frames


def _open_image(path: Path, options: LoadOptions, file: Path | BinaryIO) -> Image.Image:
    from pi_heif import register_heif_opener
    from PIL import Image

    register_heif_opener(thumbnails=False)
    # Pillow's own guard is a module variable. It acts before the check of `limits.pixels` for
    # formats that allocate while they are opened.
    Image.MAX_IMAGE_PIXELS = options.limits.pixels
    is_targa = path.suffix.lower() in _TARGA_SUFFIXES
    formats = (*FORMATS, "TGA") if is_targa else FORMATS
    with _translate_errors(path):
        return Image.open(file, formats=formats)


def _load_frames(
    path: Path, image: Image.Image, options: LoadOptions, reopen: _Opener
) -> Iterator[_Frame | Omission]:
    if options.page is not None:
        yield _load_page(path, image, options, reopen)
    elif image.format in _PAGED:
        yield from _load_pages(path, image, options, reopen)
    else:
        yield _load_frame(path, image, options, Place(), reopen)
        if image.format not in _ANIMATED or options.animation_frames <= 1:
            return
        count, samples = _count_frames(path, image), options.animation_frames
        for at in sorted({sample * count // samples for sample in range(samples)} - {0}):
            _seek(path, image, at)
            yield _load_frame(path, image, options, Place(page=at + 1), reopen)


def _seek(path: Path, image: Image.Image, at: int) -> None:
    with _translate_errors(path):
        image.seek(at)


def _count_frames(path: Path, image: Image.Image) -> int:
    """Returns the number of frames of an animation that may be decoded."""
    with _translate_errors(path):
        count = int(getattr(image, "n_frames", 1))
    return min(count, max(1, _ANIMATION_PIXELS // max(1, image.width * image.height)))


def _load_page(path: Path, image: Image.Image, options: LoadOptions, reopen: _Opener) -> _Frame:
    """Loads the page or frame that the options number among all."""
    page = options.page or 1
    if image.format in _PAGED:
        positions = _find_pages(path, image, options).positions
    else:
        is_frame = page > 1 and image.format in _ANIMATED
        positions = list(range(_count_frames(path, image) if is_frame else 1))
    if page > len(positions):
        raise DecodeError(path, f"there is no page {page} in it, it has {len(positions)}")
    at = positions[page - 1]
    if at or image.format in _PAGED:
        _seek(path, image, at)
    place = Place(page=page) if len(positions) > 1 else Place()
    return _load_frame(path, image, options, place, reopen)


@dataclass(frozen=True, slots=True)
class _PageList:
    """The positions of the pages to read among the pictures of a file, and the number of all."""

    positions: list[int]
    omissions: list[Omission]
    count: int


def _find_pages(path: Path, image: Image.Image, options: LoadOptions) -> _PageList:
    """Finds at most `picture_pages` pages, and counts up to four times as many.

    Pyramids, previews and masks between the pages are marked as such.
    """
    positions: list[int] = []
    omissions: list[Omission] = []
    limit = options.limits.picture_pages
    is_complete = False
    for at in range(limit * 4):
        try:
            _seek(path, image, at)
        except DecodeError as exc:
            if at == 0:
                raise
            if not isinstance(exc.__cause__, EOFError):
                detail = f"the pages after page {len(positions):,} cannot be found"
                omissions.append(Omission(OmissionCause.DAMAGED, detail))
            is_complete = True
            break
        kind = getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0)
        if at == 0 or not (isinstance(kind, int) and kind & _THUMBNAIL_OR_MASK):
            positions.append(at)
    count = len(positions)
    if count > limit:
        detail = f"the pages after page {limit:,}"
        if is_complete:
            detail = f"pages {limit + 1:,} to {count:,} of {count:,}"
        omissions.append(Omission(OmissionCause.LIMIT, detail, "picture_pages", limit))
    return _PageList(positions[:limit], omissions, count)


def _load_pages(
    path: Path, image: Image.Image, options: LoadOptions, reopen: _Opener
) -> Iterator[_Frame | Omission]:
    """Yields the pages that can be read, then what was left out; raises if there are none."""
    pages = _find_pages(path, image, options)
    omissions = list(pages.omissions)
    first_error: MediaError | None = None
    is_empty = True
    for page, at in enumerate(pages.positions, start=1):
        place = Place(page=page) if pages.count > 1 else Place()
        try:
            _seek(path, image, at)
            frame = _load_frame(path, image, options, place, reopen)
        except MediaTooLarge as exc:
            detail = f"page {page:,} has too many pixels"
            omissions.append(Omission(OmissionCause.LIMIT, detail, "pixels", options.limits.pixels))
            first_error = first_error or exc
        except MediaError as exc:
            omissions.append(Omission(OmissionCause.DAMAGED, f"page {page:,} cannot be read"))
            first_error = first_error or exc
        else:
            yield frame
            is_empty = False
    if is_empty and first_error is not None:
        raise first_error
    yield from omissions


def _load_frame(
    path: Path, image: Image.Image, options: LoadOptions, place: Place, reopen: _Opener
) -> _Frame:
    width, height = image.size
    if width * height > options.limits.pixels:
        raise MediaTooLarge(
            path, describe_pixel_excess(width, height, options.limits), needs="pixels"
        )
    with _translate_errors(path):
        draft_jpeg(image, options.picture)
        image.load()
        # TIFF turns itself while it loads, and then states no orientation.
        orientation = read_orientation(image)
        if orientation >= 5 or image.size == (height, width):
            width, height = height, width
        pixels = render_upright(image, options.picture, orientation)

        def view(fit: PictureFit) -> PixelArray:
            if max(image.size) >= min(fit.size_px, max(width, height)):
                return render_upright(image, fit, orientation)
            # A JPEG that was decoded small is decoded again.
            with reopen() as large:
                draft_jpeg(large, fit)
                large.load()
                return render_upright(large, fit, orientation)

        picture = Picture(pixels, place, ocr_picture=prepare_ocr_picture(view, options))
    return picture, (width, height)


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Turns Pillow's exceptions into MediaErrors, and keeps its warnings off stderr."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MediaError, MemoryError):
        raise
    except Image.DecompressionBombError as exc:
        # Pillow's message names twice its limit.
        allowed = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise MediaTooLarge(
            path,
            f"it unpacks to more than twice the limit of {allowed:g} megapixels, as a "
            f"decompression bomb does: raise it with --max-megapixels if the picture is meant",
            needs="pixels",
        ) from exc
    except UnidentifiedImageError as exc:
        raise DecodeError(path, "not a picture that can be read") from exc
    except Exception as exc:  # Pillow's plugins raise ten kinds of errors for broken bytes
        raise DecodeError(path, clean(f"broken picture: {exc}") or "broken picture") from exc
