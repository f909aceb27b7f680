"""Opens pictures that lack their end or have a broken note beside their pixels."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from mmsearch.media.pictures.picture_source import PictureSource
from mmsearch.types import Omission, OmissionCause

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

_MAX_BYTES = 256 * 1024**2
# Of less than this share of its rows a picture tells too little.
_LEAST_SHARE = 0.6
# A progressive JPEG without all of its scans is whole, but coarse.
_COARSE_SHARE = 0.95
_JPEG_START, _JPEG_SCAN = b"\xff\xd8\xff", b"\xff\xda"
_WEBP_HEADER_BYTES = 8
# Formats whose rows follow each other, so that those that are missing can be told.
_FORMATS = frozenset({"PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM"})
_MAX_TEXT_BYTES = 16 * 1024**2


@contextmanager
def tolerate_damage() -> Iterator[None]:
    """Lets Pillow decode what is there of a picture; it has one switch for the whole process."""
    from PIL import ImageFile, PngImagePlugin

    old = ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK
    ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK = True, _MAX_TEXT_BYTES
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK = old


def open_damaged(
    file: BinaryIO, open_image: Callable[[BinaryIO], Image.Image]
) -> PictureSource | None:
    """Returns a picture most of which is there, though decoding it strictly failed; else None.

    To be called, and its picture opened, while damage is tolerated.
    """
    file.seek(0)
    data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            share, repaired = _measure_share(data, open_image)
    except Exception as exc:  # Pillow's plugins raise ten kinds of errors for broken bytes
        logger.debug("a damaged picture cannot be opened: %r", exc)
        return None
    if share < _LEAST_SHARE:
        return None
    detail = f"the last {max(1, round(100 * (1 - share)))} % of the picture"
    omissions = (Omission(OmissionCause.DAMAGED, detail),) if share < 1 else ()
    return PictureSource(lambda: open_image(io.BytesIO(repaired)), omissions=omissions)


def _measure_share(
    data: bytes, open_image: Callable[[BinaryIO], Image.Image]
) -> tuple[float, bytes]:
    """Returns the share of a picture that is there, and bytes that decode as far as that."""
    if data[:4] == b"RIFF":
        size = int.from_bytes(data[4:_WEBP_HEADER_BYTES], "little") + _WEBP_HEADER_BYTES
        if len(data) < size <= _MAX_BYTES:
            # Its decoder takes whole files only: zeros give a plain rest.
            return len(data) / size, data.ljust(size, b"\0")
    with open_image(io.BytesIO(data)) as image:
        if not data.startswith(_JPEG_START):
            is_interlaced = _is_interlaced(image)
            image.load()
            share = _measure_rows(image, is_interlaced=is_interlaced)
            return (share if image.format in _FORMATS else 0.0), data
        if image.info.get("progressive"):
            # Its scans refine the whole picture: where a second begins, the first is complete.
            return (_COARSE_SHARE if data.count(_JPEG_SCAN) > 1 else 0.0), data
        _load_strictly(image)
        return _measure_rows(image, is_interlaced=False), data


def _is_interlaced(image: Image.Image) -> bool:
    if image.format == "GIF":
        return bool(image.tile and image.tile[0][3][1])  # type: ignore[attr-defined]
    return bool(image.info.get("interlace"))


def _load_strictly(image: Image.Image) -> None:
    """Decodes the rows of a JPEG that are there, without a plain rest."""
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image.load()
    except OSError:
        image.tile = []  # type: ignore[attr-defined]  # the rows before the fault are there
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = True


def _measure_rows(image: Image.Image, *, is_interlaced: bool) -> float:
    """Returns the share of the rows between those that stayed empty at the start or the end.

    Interlaced rows are taken in the order of the file: of GIF in four passes, of PNG the odd last.
    """
    import numpy as np

    values = np.asarray(image)
    rows = np.any(values.reshape(len(values), -1) != 0, axis=1)
    if is_interlaced:
        starts = ((0, 8), (4, 8), (2, 4), (1, 2)) if image.format == "GIF" else ((0, 2), (1, 2))
        rows = np.concatenate([rows[start::step] for start, step in starts])
    filled = np.flatnonzero(rows)
    return float(filled[-1] - filled[0] + 1) / len(rows) if len(filled) else 0.0
