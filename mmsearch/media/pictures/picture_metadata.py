"""Reads all that a picture file states about its picture: EXIF, XMP, IPTC and text fields."""

from __future__ import annotations

import binascii
import json
import logging
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mmsearch.media.pictures.embedded_jpeg import read_tag_bytes
from mmsearch.media.pictures.exif import read_exif, repair_utf8
from mmsearch.media.pictures.file_dates import parse_date
from mmsearch.media.pictures.iptc import PHOTOSHOP_IPTC, find_iptc, read_iptc
from mmsearch.media.pictures.picture_facts import PictureFacts, combine_facts
from mmsearch.media.pictures.xmp import MAX_PACKET_BYTES, read_xmp
from mmsearch.media.strings import clean, decode_header, split_words

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import Metadata

logger = logging.getLogger(__name__)

_TIFF_XMP, _TIFF_IPTC, _TIFF_PHOTOSHOP = 700, 33723, 34377
_PHOTOSHOP_XMP = 1060
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION_HEADER = struct.Struct(">32sII")
# Text fields of PNG, whatever their case, and where their words belong.
_TITLE_FIELDS = frozenset(split_words("title headline"))
_ARTIST_FIELDS = frozenset(split_words("author artist creator"))
_KEYWORD_FIELDS = frozenset(split_words("keywords keyword tags subject"))
_DATE_FIELDS = ("creation time", "date:create", "create-date")
_CAPTION_FIELDS = frozenset(
    split_words("""
    description comment caption abstract parameters prompt dream sd-metadata invokeai_metadata
    invokeai_graph postprocessing extras generation_data usercomment user_comment
    """)
)
# Fields in the JSON of generators of pictures that hold what somebody wrote.
_PROMPT_KEYS = frozenset(
    split_words("""
    prompt positive_prompt negative_prompt positive negative uc text text_g text_l string value
    positive_style_prompt negative_style_prompt raw_prompt full_prompt full_negative_prompt
    base_caption char_caption description caption comment title t5xxl clip_l wildcard_text
    """)
)
_MAX_JSON_CHARS = 2_000_000
_MAX_NODES = 20_000
_MAX_PROMPT_CHARS = 16_000


def read_metadata(image: Image.Image) -> Metadata:
    """Returns the metadata of an opened image without its size; never fails."""
    return combine_facts(read_facts(image), image.format or "")


def read_facts(image: Image.Image) -> list[PictureFacts]:
    """Returns the facts that each source in an opened image states; never fails."""
    readers: tuple[Callable[[Image.Image], Iterable[PictureFacts]], ...] = (
        lambda opened: [read_exif(opened.getexif())],
        lambda opened: [read_xmp(packet) for packet in _find_packets(opened)],
        lambda opened: [read_iptc(record) for record in _find_records(opened)],
        lambda opened: [_read_text_fields(opened)],
    )
    sources: list[PictureFacts] = []
    for read in readers:
        try:
            sources += read(image)
        except Exception as exc:  # hostile metadata raises anything; the picture does not need it
            logger.debug("a part of the metadata of the picture not read: %r", exc)
    return [_read_prompts(facts) for facts in sources]


def _find_packets(image: Image.Image) -> Iterator[bytes | str]:
    """Yields the XMP packets of an image, and in JPEG what was too long for the first."""
    info = image.info
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if not packet:
        packet = _get_tag(image, _TIFF_XMP) or _find_resource(image, _PHOTOSHOP_XMP)
    if not packet and isinstance(info.get("Raw profile type xmp"), str):
        packet = _decode_profile(info["Raw profile type xmp"])
    if packet and isinstance(packet, bytes | str):
        yield packet
    parts = [
        (*_EXTENSION_HEADER.unpack_from(data, len(_EXTENSION)), data)
        for _, data in getattr(image, "applist", ())
        if data.startswith(_EXTENSION) and len(data) > len(_EXTENSION) + _EXTENSION_HEADER.size
    ]
    if parts:
        start = len(_EXTENSION) + _EXTENSION_HEADER.size
        ordered = sorted(parts, key=lambda part: (part[0], part[2]))
        yield b"".join(data[start:] for *_, data in ordered)[:MAX_PACKET_BYTES]


def _find_records(image: Image.Image) -> Iterator[bytes]:
    """Yields the IPTC records of an image."""
    resources = image.info.get("photoshop")
    if isinstance(resources, dict) and isinstance(resources.get(PHOTOSHOP_IPTC), bytes):
        yield resources[PHOTOSHOP_IPTC]
    elif record := _find_resource(image, PHOTOSHOP_IPTC) or _get_tag(image, _TIFF_IPTC):
        yield record
    elif block := _get_tag(image, _TIFF_PHOTOSHOP):
        yield find_iptc(block)
    for name in ("iptc", "8bim"):
        profile = image.info.get(f"Raw profile type {name}")
        if isinstance(profile, str):
            record = _decode_profile(profile)
            yield find_iptc(record) if record.startswith(b"8BIM") else record


def _get_tag(image: Image.Image, number: int) -> bytes:
    """Returns the bytes of a tag of TIFF, whatever type it declares; Pillow keeps them of some."""
    file = getattr(image, "fp", None)
    if number not in getattr(image, "tag_v2", ()) or file is None:
        return b""
    before = file.tell()
    try:
        return read_tag_bytes(cast("BinaryIO", file), number, MAX_PACKET_BYTES)
    finally:
        file.seek(before)


def _find_resource(image: Image.Image, number: int) -> bytes:
    """Returns a resource of a PSD."""
    resources = getattr(image, "resources", None)
    if not isinstance(resources, list):
        return b""
    return next((data for kind, _, data in resources if kind == number), b"")


def _decode_profile(text: str) -> bytes:
    """Decodes a profile that ImageMagick writes into PNG: name, length and hexadecimal digits."""
    parts = text[: MAX_PACKET_BYTES * 2].split(None, 2)
    digits = re.sub(r"\s+", "", parts[2]) if len(parts) == 3 else ""
    try:
        return binascii.unhexlify(digits)
    except (binascii.Error, ValueError):
        return b""


def _read_text_fields(image: Image.Image) -> PictureFacts:
    """Returns the facts of the comments of JPEG and GIF and the text fields of PNG."""
    fields = [
        (key.casefold(), str(repair_utf8(value)))
        for key, value in image.info.items()
        if isinstance(key, str) and isinstance(value, str)
    ]
    comments = [data for kind, data in getattr(image, "applist", ()) if kind == "COM"]
    if not comments:
        comments = [image.info.get("comment")]

    def get(names: frozenset[str]) -> tuple[str, ...]:
        return tuple(value for key, value in fields if key in names)

    dates = (value for name in _DATE_FIELDS for key, value in fields if key == name)
    return PictureFacts(
        titles=get(_TITLE_FIELDS),
        descriptions=(
            *get(_CAPTION_FIELDS),
            *(decode_header(data) for data in comments if isinstance(data, bytes)),
        ),
        keywords=tuple(word for text in get(_KEYWORD_FIELDS) for word in re.split("[;,]", text)),
        artists=get(_ARTIST_FIELDS),
        digitised=next(filter(None, map(_parse_field_date, dates)), None),
    )


def _parse_field_date(text: str) -> datetime | None:
    moment = parse_date(clean(text))
    if moment is not None:
        return moment
    try:
        return parsedate_to_datetime(text[:60])
    except (ValueError, TypeError, IndexError):
        return None


def _read_prompts(facts: PictureFacts) -> PictureFacts:
    """Replaces JSON of picture generators among the captions by the words that somebody wrote."""
    if not any("{" in text for text in facts.descriptions):
        return facts
    return replace(facts, descriptions=tuple(map(_extract_prompt, facts.descriptions)))


def _extract_prompt(text: str) -> str:
    start = text.find("{")
    is_json = start >= 0 and text.rstrip().endswith("}") and len(text[:start].split()) <= 1
    if not is_json or len(text) > _MAX_JSON_CHARS:
        return text
    try:
        parsed = json.loads(text[start:])
    except (ValueError, RecursionError):
        return text
    words = list(dict.fromkeys(_walk_prompts(parsed)))
    return "\n".join(words)[:_MAX_PROMPT_CHARS]


def _walk_prompts(parsed: Any) -> Iterator[str]:
    waiting: list[tuple[str, Any]] = [("", parsed)]
    for _ in range(_MAX_NODES):
        if not waiting:
            return
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed([(str(name).casefold(), part) for name, part in value.items()])
        elif isinstance(value, list):
            waiting += reversed([(key, part) for part in value])
        elif isinstance(value, str) and key in _PROMPT_KEYS and value.strip():
            if value.lstrip().startswith("{"):
                yield _extract_prompt(value)
            else:
                yield value.strip()
