"""Conditional requests and byte ranges of files: RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

_SPEC = re.compile(r"([0-9]{1,40})-([0-9]{0,40})|-([0-9]{1,40})")
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes of a file from `start` up to, and not with, `end`."""

    start: int
    end: int

    def content_range(self, size_bytes: int) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


class UnsatisfiableRange(Exception):
    """Raised for a requested range that lies outside the file."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """The state of a file: a strong entity tag with its quotes, and its Unix time of change."""

    etag: str
    modified_s: float

    @property
    def last_modified(self) -> str | None:
        """The value of Last-Modified; None for a time before 1970 or after 9999."""
        return formatdate(self.modified_s, usegmt=True) if 0 <= self.modified_s < 2.5e11 else None

    def evaluate_conditions(self, headers: Mapping[str, str]) -> int:
        """Returns 200 where the file is to be sent, 304 or 412 where a condition forbids it.

        In the order of RFC 9110, 13.2.2. `headers` finds names in any case. A date that cannot be
        read is no condition.
        """
        if (match := headers.get("if-match")) is not None:
            if not _has_etag(match, self.etag, is_strong=True):
                return 412
        elif self._is_modified_since(headers.get("if-unmodified-since")) is True:
            return 412
        if (none_match := headers.get("if-none-match")) is not None:
            return 304 if self.matches_none(none_match) else 200
        return 304 if self._is_modified_since(headers.get("if-modified-since")) is False else 200

    def matches_none(self, if_none_match: str | None) -> bool:
        """Tests if the client has the file already, by the value of `If-None-Match`."""
        return if_none_match is not None and _has_etag(if_none_match, self.etag, is_strong=False)

    def matches_if_range(self, if_range: str | None) -> bool:
        """Tests if a part continues the version that the client has, by the value of `If-Range`."""
        if if_range is None:
            return True
        value = if_range.strip()
        return value == (self.etag if '"' in value else self.last_modified)

    def _is_modified_since(self, date: str | None) -> bool | None:
        """Tests if the file was changed after a date, to the second; None for no valid date."""
        if date is None:
            return None
        try:
            since_s = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        return int(self.modified_s) > since_s


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """Parses the one range of a `Range` header; returns None where the whole file is to be sent.

    That is so for other units and malformed ranges (RFC 9110, 14.2), and for several ranges at
    once, which a server may answer so. Raises Unsatisfiable where none of them lies in
    the file.
    """
    if header is None:
        return None
    unit, equals, value = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs = [spec.strip(" \t") for spec in value.split(",")]
    matches = [_SPEC.fullmatch(spec) for spec in specs if spec]
    if not matches:
        return None
    byte_ranges = []
    for match in matches:
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            return None
        byte_range = _resolve_range(match, size_bytes)
        if byte_range is not None:
            byte_ranges.append(byte_range)
    if not byte_ranges:
        raise UnsatisfiableRange
    return byte_ranges[0] if len(matches) == 1 else None


def _resolve_range(match: re.Match[str], size_bytes: int) -> ByteRange | None:
    if match[3] is not None:
        byte_range = ByteRange(max(0, size_bytes - int(match[3])), size_bytes)
    else:
        end = int(match[2]) + 1 if match[2] else size_bytes
        byte_range = ByteRange(int(match[1]), min(end, size_bytes))
    return byte_range if byte_range.start < byte_range.end else None


def _has_etag(header: str, etag: str, *, is_strong: bool) -> bool:
    """Tests if a list of entity tags has this one, which is strong, or is `*`."""
    if header.strip() == "*":
        return True
    tags = _TAG.findall(header)
    return etag in tags or (not is_strong and f"W/{etag}" in tags)
