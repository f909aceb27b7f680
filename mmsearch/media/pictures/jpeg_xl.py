"""Reads JPEG XL with libjxl, where the extra `raw` is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media.base import LoadOptions, describe_pixel_excess
from mmsearch.media.pictures.picture_metadata import read_metadata
from mmsearch.media.pictures.picture_source import INSTALL_RAW, RAW_EXTRA, PictureSource
from mmsearch.media.pictures.xmp import MAX_PACKET_BYTES
from mmsearch.media.signatures import JPEG_XL
from mmsearch.media.strings import clean

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import PixelArray

logger = logging.getLogger(__name__)

_CODESTREAM, _CONTAINER = JPEG_XL
_MAX_BYTES = 512 * 1024**2
_MAX_BOXES = 1_000
_MAX_METADATA_BYTES = 4 * 1024**2
_HEADER_BYTES = 32
# Width over height by the three bits of the header that state it.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)


def open_jpeg_xl(path: Path, file: BinaryIO, options: LoadOptions) -> PictureSource:
    """Returns the first frame of a JPEG XL, upright as its decoder gives it.

    Raises DecodeError if it is broken or no decoder is installed, MediaTooLarge for too many
    pixels, by the header.
    """
    file.seek(0)
    data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise MediaTooLarge(path, f"a JPEG XL of more than {_MAX_BYTES // 1024**2} MiB")
    boxes = list(_split_boxes(data)) if data.startswith(_CONTAINER) else []
    codestream = data if not boxes else _join_codestream(boxes)
    try:
        width, height = read_size(codestream[:_HEADER_BYTES])
    except IndexError:
        raise DecodeError(path, "a JPEG XL without a whole header") from None
    if width * height > options.limits.pixels:
        raise MediaTooLarge(
            path, describe_pixel_excess(width, height, options.limits), needs="pixels"
        )
    pixels = _decode(path, data)

    def reopen() -> Image.Image:
        from PIL import Image

        return Image.fromarray(pixels)

    return PictureSource(reopen, _read_metadata(boxes))


def read_size(codestream: bytes) -> tuple[int, int]:
    """Returns width and height as stored in the header; raises IndexError if it is cut off."""
    bits = int.from_bytes(codestream, "little")
    at = len(_CODESTREAM) * 8

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(codestream) * 8:
            raise IndexError
        value = bits >> at & ((1 << count) - 1)
        at += count
        return value

    is_small = take(1)

    def take_side() -> int:
        return (take(5) + 1) * 8 if is_small else take(_SIZE_BITS[take(2)]) + 1

    height = take_side()
    ratio = take(3)
    if not ratio:
        return take_side(), height
    over, under = _RATIOS[ratio - 1]
    return height * over // under, height


def _split_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > len(data):
            return
        size, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + size if size else len(data)
        if end < start:
            return
        yield kind, data[start:end]
        at = end


def _join_codestream(boxes: list[tuple[bytes, bytes]]) -> bytes:
    """Returns the start of the coded picture, which may lie in parts."""
    for kind, content in boxes:
        if kind == b"jxlc":
            return content[:_HEADER_BYTES]
    return b"".join(content[4 : 4 + _HEADER_BYTES] for kind, content in boxes if kind == b"jxlp")


def _decode(path: Path, data: bytes) -> PixelArray:
    import numpy as np

    try:
        from imagecodecs import jpegxl_decode

        decoded = jpegxl_decode(data, index=0, numthreads=1)
    except ImportError as exc:
        reason = f"JPEG XL is read with packages that are not installed: {INSTALL_RAW}"
        raise DecodeError(path, reason, needs=RAW_EXTRA) from exc
    except MemoryError:
        raise
    except Exception as exc:  # libjxl's error for broken bytes is made where it is first needed
        raise DecodeError(path, clean(f"broken JPEG XL: {exc}") or "broken JPEG XL") from exc
    return _convert_to_8bit(np.asarray(decoded))


def _convert_to_8bit(values: Any) -> PixelArray:
    """Returns grey, RGB or RGBA of 8 bits; grey with transparency lies on white."""
    import numpy as np

    if values.ndim == 4:
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.dtype.kind == "f":
        values = np.nan_to_num(np.clip(values, 0, 1)) * np.float32(255)
    elif values.dtype == np.uint16:
        values = values >> 8
    pixels: PixelArray = values.astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        grey, alpha = pixels[:, :, :1], pixels[:, :, 1:]
        pixels = np.concatenate([grey, grey, grey, alpha], axis=2)
    return pixels[:, :, :4] if pixels.ndim == 3 else pixels


def _read_metadata(boxes: list[tuple[bytes, bytes]]) -> Any:
    """Returns the facts of the EXIF and XMP boxes, compressed or not."""
    from PIL import Image

    image = Image.new("L", (1, 1))
    image.format = "JXL"
    for kind, content in boxes:
        if kind == b"brob":
            kind, content = content[:4], _decompress(content[4:])
        if kind == b"Exif" and len(content) > 12:
            image.info["exif"] = b"Exif\0\0" + content[4 + int.from_bytes(content[:4], "big") :]
        elif kind == b"xml ":
            image.info["xmp"] = content[:MAX_PACKET_BYTES]
    return read_metadata(image)


def _decompress(content: bytes) -> bytes:
    try:
        from imagecodecs import brotli_decode

        return bytes(brotli_decode(content, out=_MAX_METADATA_BYTES))
    except Exception as exc:  # the picture does not need its metadata
        logger.debug("a compressed box of a JPEG XL not read: %r", exc)
        return b""
