"""Reads IPTC IIM, the captions and keywords that newspapers and older programs write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsearch.media.pictures.file_dates import parse_date
from mmsearch.media.pictures.picture_facts import PictureFacts
from mmsearch.media.strings import decode_header

if TYPE_CHECKING:
    from datetime import datetime

PHOTOSHOP_IPTC = 1028
"""The number of the Photoshop resource that holds a record of IPTC."""
_MARK = 0x1C
_MARK_BYTE = bytes([_MARK])
_MAX_BYTES = 1024**2
_MAX_FIELDS = 2_000
# Datasets of record 2, "application", by IIM 4.2; (1, 90) states the character set.
_CHARACTER_SET = (1, 90)
_TITLE, _KEYWORD, _BYLINE, _HEADLINE, _CAPTION = 5, 25, 80, 105, 120
_CATEGORY, _CONTENT_PLACE = 20, 27
_CREATED = (55, 60)
_DIGITISED = (62, 63)
_PLACE = (92, 90, 95, 101)
_LATIN1 = (b"\x1b.A", b"\x1b-A")


def read_iptc(record: bytes) -> PictureFacts:
    """Returns the facts of a record of IIM; a broken part ends it.

    Text without a stated character set is UTF-8 if it can be, else Latin-1.
    """
    if record[:1] != _MARK_BYTE and record[3:4] == _MARK_BYTE:
        record = _swap_words(record)  # a TIFF that declares it as 32-bit numbers
    fields: dict[tuple[int, int], list[bytes]] = {}
    for dataset, value in _split_fields(record[:_MAX_BYTES]):
        fields.setdefault(dataset, []).append(value)
    charset = next(iter(fields.get(_CHARACTER_SET, ())), b"")
    is_latin1 = charset.startswith(_LATIN1)

    def decode(value: bytes) -> str:
        return value.decode("latin-1") if is_latin1 else decode_header(value)

    def get(*numbers: int) -> tuple[str, ...]:
        return tuple(decode(value) for number in numbers for value in fields.get((2, number), ()))

    return PictureFacts(
        titles=get(_TITLE, _HEADLINE),
        descriptions=get(_CAPTION),
        keywords=get(_KEYWORD, _CATEGORY),
        place=get(*_PLACE, _CONTENT_PLACE),
        artists=get(_BYLINE),
        created=_join_moment(get(_CREATED[0]), get(_CREATED[1])),
        digitised=_join_moment(get(_DIGITISED[0]), get(_DIGITISED[1])),
    )


def find_iptc(resources: bytes) -> bytes:
    """Returns the record of IPTC among Photoshop resources ("8BIM" blocks); empty if none."""
    at = 0
    while resources[at : at + 4] == b"8BIM" and at + 8 <= len(resources):
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        at += 6 + (resources[at + 6] + 2) // 2 * 2
        size = int.from_bytes(resources[at : at + 4], "big")
        if number == PHOTOSHOP_IPTC:
            return resources[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return b""


def _swap_words(record: bytes) -> bytes:
    words = (record[at : at + 4] for at in range(0, min(len(record), _MAX_BYTES), 4))
    return b"".join(word[::-1] for word in words)


def _split_fields(record: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    at = 0
    for _ in range(_MAX_FIELDS):
        if at + 5 > len(record) or record[at] != _MARK:
            return
        dataset = record[at + 1], record[at + 2]
        size = int.from_bytes(record[at + 3 : at + 5], "big")
        at += 5
        if size & 0x8000:
            digits = size & 0x7FFF
            if digits > 4:
                return
            size = int.from_bytes(record[at : at + digits], "big")
            at += digits
        yield dataset, record[at : at + size]
        at += size


def _join_moment(days: tuple[str, ...], times: tuple[str, ...]) -> datetime | None:
    """Joins "20160203" and "040506+0100"."""
    if not days:
        return None
    day = days[0].strip()
    moment = parse_date(f"{day} {times[0].strip()}") if times else None
    return moment or parse_date(day)
