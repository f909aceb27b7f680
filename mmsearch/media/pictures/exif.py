"""Reads EXIF: the facts that cameras write, and the words that Windows adds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mmsearch.media.pictures.file_dates import apply_offset, parse_date
from mmsearch.media.pictures.picture_facts import PictureFacts
from mmsearch.media.strings import clean

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

# Tag numbers of the EXIF 2.32 standard, of TIFF 6, and Microsoft's XP fields (UTF-16).
_DOCUMENT_NAME, _PAGE_NAME = 0x10D, 0x11D
ORIENTATION = 0x112
_DESCRIPTION, _MAKE, _MODEL, _ARTIST = 0x10E, 0x10F, 0x110, 0x13B
_XP_TITLE, _XP_COMMENT, _XP_AUTHOR, _XP_KEYWORDS, _XP_SUBJECT = range(0x9C9B, 0x9CA0)
_USER_COMMENT = 0x9286
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# Date, offset from UTC, fractions of a second.
_CREATED, _DIGITISED = (0x9003, 0x9011, 0x9291), (0x9004, 0x9012, 0x9292)
_CHANGED = (0x0132, 0x9010, 0x9290)
_COMMENT_CODE_BYTES = 8


def read_orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation of a loaded image, 1..8; 1 if it states none."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception as exc:  # hostile EXIF raises anything; the picture does not need it
        logger.debug("EXIF not read: %r", exc)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def read_exif(exif: Image.Exif) -> PictureFacts:
    """Returns the facts of EXIF; those of a broken directory are left out."""
    if not len(exif):
        return PictureFacts()
    detail = _get_directory(exif, _EXIF_IFD)
    tags: dict[int, Any] = {**exif, **detail}
    title, comment, author, keywords, subject = (
        _decode_utf16(tags.get(tag))
        for tag in (_XP_TITLE, _XP_COMMENT, _XP_AUTHOR, _XP_KEYWORDS, _XP_SUBJECT)
    )
    user_comment = decode_user_comment(tags.get(_USER_COMMENT), exif.endian)
    latitude, longitude = read_position(_get_directory(exif, _GPS_IFD))
    return PictureFacts(
        titles=_list_texts(title, tags.get(_DOCUMENT_NAME), tags.get(_PAGE_NAME)),
        descriptions=_list_texts(tags.get(_DESCRIPTION), subject, comment, user_comment),
        keywords=tuple((keywords or "").split(";")),
        artists=_list_texts(tags.get(_ARTIST), author),
        created=_parse_moment(tags, *_CREATED),
        digitised=_parse_moment(tags, *_DIGITISED),
        changed=_parse_moment(tags, *_CHANGED),
        latitude=latitude,
        longitude=longitude,
        camera=format_camera(repair_utf8(tags.get(_MAKE)), repair_utf8(tags.get(_MODEL))),
    )


def format_camera(make: object, model: object) -> str | None:
    """Joins make and model, without repeating a make that the model begins with."""
    maker, name = clean(make, max_chars=80), clean(model, max_chars=80)
    if maker is None or name is None:
        return name or maker
    return name if name.lower().startswith(maker.lower().split()[0]) else f"{maker} {name}"


def repair_utf8(value: object) -> object:
    """Returns a text as UTF-8 if its bytes are, though Pillow decoded them as Latin-1."""
    if isinstance(value, str) and not value.isascii():
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return value
    return value


def decode_user_comment(value: object, endian: str | None) -> str | None:
    """Decodes a comment of EXIF, whose first eight bytes name its encoding.

    `endian` is "<" or ">", the byte order of the file; writers of UTF-16 disregard it often.
    """
    if not isinstance(value, bytes):
        return str(repair_utf8(value)) if isinstance(value, str) else None
    code, text = value[:_COMMENT_CODE_BYTES].rstrip(b"\0 ").upper(), value[_COMMENT_CODE_BYTES:]
    if code == b"UNICODE":
        return _decode_wide(text, endian or "<")
    if code not in (b"ASCII", b"JIS", b""):
        text = value  # no code at all
    encodings = ("utf-8", "latin-1") if code != b"JIS" else ("iso2022_jp", "utf-8", "shift_jis")
    for encoding in encodings:
        try:
            return text.rstrip(b"\0").decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _decode_wide(text: bytes, endian: str) -> str:
    """Decodes UTF-16 of unsure byte order."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return text.decode("utf-16", "replace")
    if b"\0" not in text.rstrip(b"\0"):
        try:
            # UTF-16 of Chinese and of Japanese has no zeros either, but is seldom valid UTF-8.
            return text.rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError:
            pass
    orders = ("<", ">") if endian == "<" else (">", "<")
    readings = [
        text.decode("utf-16-le" if each == "<" else "utf-16-be", "replace") for each in orders
    ]
    # Text of one language lies in few blocks of Unicode; swapped bytes scatter it over many.
    return min(readings, key=lambda reading: len({ord(letter) >> 7 for letter in reading[:2000]}))


def _get_directory(exif: Image.Exif, number: int) -> dict[int, Any]:
    try:
        return dict(exif.get_ifd(number))
    except Exception as exc:  # hostile EXIF raises anything; the other directories may be sound
        logger.debug("a directory of EXIF not read: %r", exc)
        return {}


def _list_texts(*values: object) -> tuple[str, ...]:
    texts = (repair_utf8(value) for value in values)
    return tuple(text for text in texts if isinstance(text, str))


def _decode_utf16(value: object) -> str | None:
    if isinstance(value, tuple) and all(isinstance(v, int) and 0 <= v < 256 for v in value):
        value = bytes(value)
    return value.decode("utf-16-le", "replace") if isinstance(value, bytes) else None


def _parse_moment(
    tags: Mapping[int, Any], date_tag: int, offset_tag: int, fraction_tag: int
) -> datetime | None:
    moment = parse_date(clean(tags.get(date_tag)))
    if moment is None:
        return None
    fraction = clean(tags.get(fraction_tag)) or ""
    if fraction.isdecimal() and fraction.isascii():
        moment = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    return apply_offset(moment, clean(tags.get(offset_tag)))


def read_position(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Returns latitude and longitude of a GPS directory in degrees, or twice None."""
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
