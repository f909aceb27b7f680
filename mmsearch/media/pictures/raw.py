"""Reads camera RAW files: by their largest preview, or from the sensor with LibRaw."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mmsearch.errors import DecodeError, MediaTooLarge
from mmsearch.media import signatures
from mmsearch.media.base import Limits, LoadOptions, describe_pixel_excess
from mmsearch.media.pictures.embedded_jpeg import EmbeddedJpeg, RawLayout, find_jpegs, read_layout
from mmsearch.media.pictures.exif import ORIENTATION, read_exif, read_orientation, read_position
from mmsearch.media.pictures.iptc import read_iptc
from mmsearch.media.pictures.picture_facts import PictureFacts, combine_facts
from mmsearch.media.pictures.picture_metadata import read_facts
from mmsearch.media.pictures.picture_source import INSTALL_RAW, RAW_EXTRA, PictureSource
from mmsearch.media.pictures.xmp import read_xmp
from mmsearch.types import Omission, OmissionCause

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

_TIFF_HEADS = (b"II*\0", b"MM\0*")
# Olympus and Panasonic put marks of their own in place of the version of TIFF.
_TIFF_LIKE_HEADS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_MAX_HEADER_BYTES = 2 * 1024**2
_MAX_JPEG_BYTES = 256 * 1024**2
# A preview of so many pixels, or of half the sensor, shows what there is to see.
_ENOUGH_PX = 1_000
_SIDEWAYS = 5
# A preview of nearly the size of the sensor is the picture, without the border of the sensor.
_WHOLE_SHARE = 0.9
_XMP, _IPTC = 700, 33723
# Boxes of CR3: the directories of TIFF, EXIF and GPS, each as a TIFF of its own.
_CR3_BOXES = (b"CMT1", b"CMT2")
_CR3_GPS = b"CMT4"


def open_raw(path: Path, file: BinaryIO, head: bytes, options: LoadOptions) -> PictureSource | None:
    """Returns the picture of a camera RAW; None for a file that is none.

    `head` are the first bytes of the file. Raises DecodeError for sensor data that cannot be
    developed here and has no preview, MediaTooLarge for too many pixels.
    """
    is_tiff = head.startswith(_TIFF_HEADS)
    if not is_tiff and not signatures.is_camera_raw(head):
        return None
    layout = read_layout(file)
    has_name = path.suffix.lower() in signatures.RAW_SUFFIXES
    if is_tiff and not (has_name or layout.sensor_size or signatures.is_camera_raw(head)):
        return None
    preview = _find_preview(file, layout)
    if preview is None and is_tiff and layout.sensor_size is None:
        return None  # scanners and programs save pictures as TIFF under such names, too
    if preview is not None:
        _check_pixels(path, preview.width_px, preview.height_px, options.limits)
    name = "DNG" if layout.is_dng else path.suffix[1:].upper()[:4] or "RAW"
    if preview is not None and _is_enough(preview, layout):
        return _open_preview(file, layout, preview, name)
    try:
        return _develop(path, file, name, options.limits)
    except ImportError:
        if preview is not None:
            size = f"{preview.width_px}x{preview.height_px}"
            detail = f"its sensor data: only a preview of {size} pixels was read"
            omission = Omission(OmissionCause.EXTRA, detail, RAW_EXTRA)
            return _open_preview(file, layout, preview, name, omission)
        reason = f"a camera RAW ({name}) with sensor data and no preview: {INSTALL_RAW}"
        raise DecodeError(path, reason, needs=RAW_EXTRA) from None
    except DecodeError as exc:
        if preview is None:
            raise
        logger.debug("took a small preview: %s", exc)
        omission = Omission(OmissionCause.DAMAGED, "its sensor data cannot be read")
        return _open_preview(file, layout, preview, name, omission)


def _check_pixels(path: Path, width_px: int, height_px: int, limits: Limits) -> None:
    if width_px * height_px > limits.pixels:
        raise MediaTooLarge(
            path, describe_pixel_excess(width_px, height_px, limits), needs="pixels"
        )


def _find_preview(file: BinaryIO, layout: RawLayout) -> EmbeddedJpeg | None:
    """Returns the largest JPEG in the file; none of the tiles of a DNG, which are JPEGs, too."""
    jpegs = find_jpegs(file, layout.offsets) if layout.offsets else []
    if not layout.is_dng and not any(_is_enough(jpeg, layout) for jpeg in jpegs):
        jpegs += find_jpegs(file)
    return max(jpegs, key=lambda jpeg: jpeg.pixels, default=None)


def _is_enough(jpeg: EmbeddedJpeg, layout: RawLayout) -> bool:
    half = max(layout.sensor_size) // 2 if layout.sensor_size else _ENOUGH_PX
    return max(jpeg.width_px, jpeg.height_px) >= min(_ENOUGH_PX, half)


def _open_preview(
    file: BinaryIO, layout: RawLayout, preview: EmbeddedJpeg, name: str, *omissions: Omission
) -> PictureSource:
    from PIL import Image

    facts, orientation = _read_container(file)
    file.seek(preview.offset)
    data = file.read(_MAX_JPEG_BYTES)
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        facts += read_facts(image)
        if ORIENTATION in image.getexif():
            orientation = read_orientation(image)
        elif orientation >= _SIDEWAYS and image.height > image.width:
            orientation = 1  # turned by the camera: sensors are wider than high

    def reopen() -> Image.Image:
        opened = Image.open(io.BytesIO(data), formats=["JPEG"])
        opened.getexif()[ORIENTATION] = orientation
        return opened

    width, height = preview.width_px, preview.height_px
    if orientation >= _SIDEWAYS:
        width, height = height, width
    sensor = sorted(layout.sensor_size or (0, 0))
    if max(width, height) < _WHOLE_SHARE * sensor[1]:
        height, width = sensor if width > height else sensor[::-1]
    return PictureSource(reopen, combine_facts(facts, name), (width, height), omissions)


def _develop(path: Path, file: BinaryIO, name: str, limits: Limits) -> PictureSource:
    """Develops the data of the sensor at half its size, with the white balance of the camera."""
    import rawpy
    from PIL import Image

    file.seek(0)
    try:
        with rawpy.imread(file) as raw:
            sizes = raw.sizes
            _check_pixels(path, sizes.raw_width, sizes.raw_height, limits)
            pixels = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8)
            size = sorted((sizes.width, sizes.height))
    except (MediaTooLarge, MemoryError):
        raise
    except Exception as exc:  # LibRaw has a dozen errors for broken bytes
        reason = f"the sensor data of a camera RAW ({name}) cannot be read: {exc}"
        raise DecodeError(path, reason) from exc
    height, width = size if pixels.shape[1] > pixels.shape[0] else size[::-1]
    facts, _ = _read_container(file)
    shown = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    metadata = combine_facts(facts, name)
    return PictureSource(lambda: Image.fromarray(shown), metadata, (width, height))


def _read_container(file: BinaryIO) -> tuple[list[PictureFacts], int]:
    """Returns the facts of a RAW around its pictures, and its orientation; never fails."""
    try:
        return _read_directories(file)
    except Exception as exc:  # hostile EXIF raises anything; the picture does not need it
        logger.debug("the metadata of the RAW not read: %r", exc)
        return [], 1


def _read_directories(file: BinaryIO) -> tuple[list[PictureFacts], int]:
    from PIL import Image

    file.seek(0)
    head = file.read(12)
    file.seek(0)
    if head.startswith(_TIFF_HEADS):
        exif = Image.Exif()
        exif.load_from_fp(file)
    elif head.startswith(_TIFF_LIKE_HEADS):
        start = b"II*\0" if head.startswith(b"II") else b"MM\0*"
        exif = _load_exif(start + file.read(_MAX_HEADER_BYTES)[4:])
    elif head[4:8] == b"ftyp":
        return _read_boxes(file.read(_MAX_HEADER_BYTES))
    else:
        return [], 1
    facts = [read_exif(exif)]
    packet, record = exif.get(_XMP), exif.get(_IPTC)
    facts += [read_xmp(packet)] if isinstance(packet, bytes) else []
    facts += [read_iptc(record)] if isinstance(record, bytes) else []
    return facts, _get_orientation(exif)


def _read_boxes(data: bytes) -> tuple[list[PictureFacts], int]:
    """Reads the boxes of a CR3, which lie at its start."""
    facts, orientation = [], 1
    for name in _CR3_BOXES:
        if block := _find_box(data, name):
            exif = _load_exif(block)
            facts.append(read_exif(exif))
            orientation = max(orientation, _get_orientation(exif))
    if block := _find_box(data, _CR3_GPS):
        latitude, longitude = read_position(_load_exif(block))
        facts.append(PictureFacts(latitude=latitude, longitude=longitude))
    return facts, orientation


def _find_box(data: bytes, name: bytes) -> bytes:
    at = data.find(name)
    return data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")] if at >= 4 else b""


def _load_exif(data: bytes) -> Image.Exif:
    from PIL import Image

    exif = Image.Exif()
    exif.load(data)
    return exif


def _get_orientation(exif: Image.Exif) -> int:
    value = exif.get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
