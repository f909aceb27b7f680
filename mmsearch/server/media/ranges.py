"""Which part of a file a request is for, and whether the client has it: RFC 9110, 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

_SPEC = re.compile(r"([0-9]{1,40})-([0-9]{0,40})|-([0-9]{1,40})")
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes of a file from `start` up to, and not with, `end`."""

    start: int
    end: int

    def content_range(self, size_bytes: int) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


class Unsatisfiable(Exception):
    """The range that is asked for lies outside the file."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a file is now: a strong entity tag with its quotes, and when it was changed (Unix)."""

    etag: str
    modified_s: float

    @property
    def last_modified(self) -> str | None:
        """The value of Last-Modified; None for a time before 1970 or after 9999."""
        return formatdate(self.modified_s, usegmt=True) if 0 <= self.modified_s < 2.5e11 else None

    def status_for(self, headers: Mapping[str, str]) -> int:
        """200 where the file is to be sent, 304 or 412 where a condition says that it is not.

        In the order of RFC 9110, 13.2.2. `headers` find a name in any case. A date that cannot be
        read is no condition.
        """
        if (match := headers.get("if-match")) is not None:
            if not _lists(match, self.etag, is_strong=True):
                return 412
        elif self._is_newer(headers.get("if-unmodified-since")) is True:
            return 412
        if (none_match := headers.get("if-none-match")) is not None:
            return 304 if _lists(none_match, self.etag, is_strong=False) else 200
        return 304 if self._is_newer(headers.get("if-modified-since")) is False else 200

    def has_part_of(self, if_range: str | None) -> bool:
        """Whether a part continues what the client has, which `If-Range` names."""
        if if_range is None:
            return True
        value = if_range.strip()
        if '"' in value:
            return value == self.etag
        return value == self.last_modified

    def _is_newer(self, date: str | None) -> bool | None:
        """Whether the file was changed after a date, to the second; None where that is no date."""
        if date is None:
            return None
        try:
            since_s = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        return int(self.modified_s) > since_s


def part_of(header: str | None, size_bytes: int) -> Part | None:
    """The one part that a `Range` asks for; None where the whole file is to be sent.

    So it is for other units and for what is no range, as RFC 9110, 14.2 has it, and for several
    ranges at once, which a server may answer so. Raises Unsatisfiable where none of them lies in
    the file.
    """
    if header is None:
        return None
    unit, equals, listed = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs = [spec.strip(" \t") for spec in listed.split(",")]
    matches = [_SPEC.fullmatch(spec) for spec in specs if spec]
    if not matches:
        return None
    parts = []
    for match in matches:
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            return None
        part = _part(match, size_bytes)
        if part is not None:
            parts.append(part)
    if not parts:
        raise Unsatisfiable
    return parts[0] if len(matches) == 1 else None


def _part(match: re.Match[str], size_bytes: int) -> Part | None:
    if match[3] is not None:
        part = Part(max(0, size_bytes - int(match[3])), size_bytes)
    else:
        end = int(match[2]) + 1 if match[2] else size_bytes
        part = Part(int(match[1]), min(end, size_bytes))
    return part if part.start < part.end else None


def _lists(header: str, etag: str, *, is_strong: bool) -> bool:
    """Whether a list of entity tags has this one, which is strong, or is `*`."""
    if header.strip() == "*":
        return True
    tags = _TAG.findall(header)
    return etag in tags or (not is_strong and f"W/{etag}" in tags)
