"""Reads the metadata of a picture: EXIF, XMP and the text fields of PNG."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from mmsearch.media.markup import extract_fields
from mmsearch.media.strings import clean
from mmsearch.types import Metadata

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

# Tag numbers of the EXIF 2.32 standard, and Microsoft's XP fields (UTF-16).
_DESCRIPTION, _MAKE, _MODEL, _ORIENTATION, _ARTIST = 0x10E, 0x10F, 0x110, 0x112, 0x13B
_XP_TITLE, _XP_COMMENT, _XP_AUTHOR, _XP_SUBJECT = 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9F
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# Date, offset from UTC, fractions of a second: when taken, when digitised, when changed.
_TIMES = ((0x9003, 0x9011, 0x9291), (0x9004, 0x9012, 0x9292), (0x0132, 0x9010, 0x9290))

_DATE = re.compile(r"(\d{4})[:\-/.](\d\d)[:\-/.](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_MAX_XMP_BYTES = 1024**2
# Phrases that cameras write into every file.
_EMPTY_PHRASES = frozenset({"olympus digital camera", "sony dsc", "dcim", "default", "untitled"})


def read_orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation of a loaded image, 1..8; 1 if it states none."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception as exc:  # hostile EXIF raises anything; the picture does not need it
        logger.debug("EXIF not read: %r", exc)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def read_metadata(image: Image.Image) -> Metadata:
    """Returns the metadata of an opened image without its size; never fails."""
    metadata = Metadata(format=image.format or "")
    try:
        exif = image.getexif()
        detail = dict(exif.get_ifd(_EXIF_IFD))
        metadata = replace(metadata, **_read_descriptions(exif, image.info))
        metadata = replace(metadata, taken_at=_parse_taken_at({**exif, **detail}))
        latitude, longitude = _parse_position(exif.get_ifd(_GPS_IFD))
        metadata = replace(metadata, latitude=latitude, longitude=longitude)
    except Exception as exc:  # hostile EXIF raises anything; the picture does not need it
        logger.debug("metadata of the picture not read: %r", exc)
    return metadata


def _read_descriptions(exif: Mapping[int, Any], info: Mapping[Any, Any]) -> dict[str, Any]:
    xmp = _parse_xmp(info)
    title, comment, author, subject = (
        _decode_utf16(exif.get(tag)) for tag in (_XP_TITLE, _XP_COMMENT, _XP_AUTHOR, _XP_SUBJECT)
    )
    description = exif.get(_DESCRIPTION), xmp.get("description"), subject, comment
    return {
        "camera": format_camera(exif.get(_MAKE), exif.get(_MODEL)),
        "artist": _choose_text(exif.get(_ARTIST), author, xmp.get("creator"), info.get("Author")),
        "title": _choose_text(title, xmp.get("title"), info.get("Title")),
        "description": _choose_text(*description, info.get("Description")),
    }


def format_camera(make: object, model: object) -> str | None:
    """Joins make and model, without repeating a make that the model begins with."""
    maker, name = clean(make, max_chars=80), clean(model, max_chars=80)
    if maker is None or name is None:
        return name or maker
    return name if name.lower().startswith(maker.lower().split()[0]) else f"{maker} {name}"


def _choose_text(*values: object) -> str | None:
    texts = (clean(value) for value in values)
    return next((text for text in texts if text and text.lower() not in _EMPTY_PHRASES), None)


def _decode_utf16(value: object) -> str | None:
    if isinstance(value, tuple) and all(isinstance(v, int) and 0 <= v < 256 for v in value):
        value = bytes(value)
    return value.decode("utf-16-le", "replace") if isinstance(value, bytes) else None


def _parse_xmp(info: Mapping[Any, Any]) -> dict[str, str]:
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if not isinstance(packet, bytes) or len(packet) > _MAX_XMP_BYTES:
        return {}
    return extract_fields([packet.strip(b"\0 \r\n\t")], ("title", "description", "creator"))


def _parse_taken_at(tags: Mapping[int, Any]) -> datetime | None:
    for date_tag, offset_tag, fraction_tag in _TIMES:
        moment = parse_date(clean(tags.get(date_tag)))
        if moment is None:
            continue
        fraction = clean(tags.get(fraction_tag)) or ""
        if fraction.isdecimal() and fraction.isascii():
            moment = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
        offset = _OFFSET.fullmatch(clean(tags.get(offset_tag)) or "")
        if offset is not None and int(offset[2]) < 24 and int(offset[3]) < 60:
            minutes = int(offset[2]) * 60 + int(offset[3])
            shift = timedelta(minutes=-minutes if offset[1] == "-" else minutes)
            moment = moment.replace(tzinfo=timezone(shift))
        return moment
    return None


def parse_date(text: str | None) -> datetime | None:
    """Parses an EXIF date, "2023:05:01 12:30:00"; None for zeros and impossible dates."""
    match = _DATE.match(text or "")
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        # The clock of a camera has no time zone.
        moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    return moment if moment.year > 1800 else None


def _parse_position(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    latitude = _parse_degrees(gps.get(2), gps.get(1), "S", max_degrees=90.0)
    longitude = _parse_degrees(gps.get(4), gps.get(3), "W", max_degrees=180.0)
    # A receiver without a fix writes zeros: that place is in the open sea.
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


def _parse_degrees(
    value: object, reference: object, negative_reference: str, *, max_degrees: float
) -> float | None:
    if not isinstance(value, tuple) or not 1 <= len(value) <= 3:
        return None
    try:
        parts = [float(part) for part in value]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    degrees = sum(part / 60**power for power, part in enumerate(parts))
    if not all(math.isfinite(part) and part >= 0 for part in parts) or degrees > max_degrees:
        return None
    is_negative = (clean(reference) or "").upper().startswith(negative_reference)
    return round(float(-degrees if is_negative else degrees), 7)
