"""Decodes the pictures inside documents."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsearch.media.base import LoadOptions, Picture
from mmsearch.media.documents.document_archive import READ_ERRORS, DocumentArchive
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.pictures.exif import read_orientation
from mmsearch.media.pictures.image import FORMATS
from mmsearch.media.pictures.pixels import draft_jpeg, render_upright
from mmsearch.media.pictures.text_detection import prepare_ocr_picture
from mmsearch.types import OmissionCause, PictureFit, Place

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

MIN_SIDE_PX = 200
"""Smaller pictures are icons, bullets and logos."""
_MAX_BYTES = 64 * 1024**2
_MAX_TRIES = 1000


class EmbeddedPictures:
    """Decodes the larger pictures of one document, each distinct one once.

    At most `limits.picture_pages` of them; what is left out is noted in `text`.
    """

    def __init__(self, options: LoadOptions, text: DocumentText) -> None:
        self._options, self._text = options, text
        self._seen: set[bytes] = set()
        self._names: set[str] = set()
        self._page_counts: dict[int | None, int] = {}
        self._count = 0

    def load_member(
        self, archive: DocumentArchive, name: str, page: int | None
    ) -> Iterator[Picture]:
        """Yields the picture of a member, if it is one and not yet seen."""
        if name in self._names or name not in archive or len(self._names) >= _MAX_TRIES:
            return
        self._names.add(name)
        try:
            data = archive.read_start(name, _MAX_BYTES + 1)
        except READ_ERRORS:
            self._text.note(OmissionCause.DAMAGED, f"the picture {name} cannot be read")
            return
        yield from self.load(data, page)

    def load(self, data: bytes, page: int | None) -> Iterator[Picture]:
        """Yields the picture that `data` is, if it is one and not yet seen."""
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest in self._seen or len(data) > _MAX_BYTES or len(self._seen) >= _MAX_TRIES:
            return
        self._seen.add(digest)
        limit = self._options.limits.picture_pages
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = self._open(data)
                if image is None:
                    return
                if self._count >= limit:
                    detail = f"pictures after the first {limit:,}"
                    self._text.note(OmissionCause.LIMIT, detail, name="picture_pages", value=limit)
                    return
                picture = self._render(image, page)
        except MemoryError:
            raise
        except Exception as exc:  # Pillow's plugins raise ten kinds of errors for broken bytes
            logger.debug("a picture in a document is not read: %s", exc)
            self._text.note(OmissionCause.DAMAGED, _describe(page))
            return
        self._count += 1
        self._text.has_content = True
        yield picture

    def _open(self, data: bytes) -> Image.Image | None:
        """Opens a picture of a fitting size; None for others and for what is no picture."""
        from PIL import Image, UnidentifiedImageError

        limits = self._options.limits
        Image.MAX_IMAGE_PIXELS = limits.pixels
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            return None  # a drawing of lines, a font, a film
        width, height = image.size
        if width * height > limits.pixels:
            detail = f"a picture of {width}x{height} pixels"
            self._text.note(OmissionCause.LIMIT, detail, name="pixels", value=limits.pixels)
            return None
        return image if min(width, height) >= MIN_SIDE_PX else None

    def _render(self, image: Image.Image, page: int | None) -> Picture:
        options = self._options
        size_px = max(options.picture.size_px, options.legible_px)
        is_legible = options.legible_px > options.picture.size_px
        draft_jpeg(
            image, PictureFit("within", size_px, "lanczos") if is_legible else options.picture
        )
        image.load()
        orientation = read_orientation(image)
        pixels = render_upright(image, options.picture, orientation)
        ocr_picture = prepare_ocr_picture(
            lambda fit: render_upright(image, fit, orientation), options
        )
        return Picture(pixels, self.place_next(page), ocr_picture=ocr_picture)

    def place_next(self, page: int | None) -> Place:
        """Returns the place of a further picture of a page: they are told apart by their order."""
        at = self._page_counts.get(page, 0)
        self._page_counts[page] = at + 1
        return Place(page=page, chars=(at, at)) if at else Place(page=page)


def _describe(page: int | None) -> str:
    return (
        "a picture cannot be read" if page is None else f"a picture of page {page} cannot be read"
    )
