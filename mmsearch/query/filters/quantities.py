"""Parses quantities as people write them: `10MB`, `1h30m`, `25km`."""

from __future__ import annotations

import math
import re

from mmsearch.errors import QueryError

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_SIZE = re.compile(rf"({_NUMBER})\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_SPELLED = re.compile(rf"({_NUMBER})\s*(h|min|ms|m|sec|s)", re.IGNORECASE)
_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]+):([0-5][0-9](?:\.[0-9]*)?)")
_DISTANCE = re.compile(rf"({_NUMBER})\s*(km|m|mi|)", re.IGNORECASE)
_PLAIN = re.compile(rf"[+-]?{_NUMBER}", re.IGNORECASE)
_SECONDS = {"h": 3600.0, "min": 60.0, "m": 60.0, "sec": 1.0, "s": 1.0, "ms": 0.001}
_KILOMETRES = {"": 1.0, "km": 1.0, "m": 0.001, "mi": 1.609344}
_MAX_CHARS = 40


def parse_size_bytes(text: str) -> float:
    """Parses `10MB`, `1.5 GB` or `2048`; KB is 1000 bytes and KiB 1024. Raises QueryError."""
    match = _SIZE.fullmatch(_check_length(text))
    if match is None or (match[3] and not match[2]):
        raise QueryError(
            f"{_check_length(text)!r} is no size: write 10MB, 1.5GB or a number of bytes"
        )
    base = 1024 if match[3] else 1000
    return _parse_finite(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "), text)


def parse_seconds(text: str) -> float:
    """Parses `90s`, `5m`, `1h30m`, `1:30`, `1:02:03` or a number of seconds. Raises QueryError."""
    written = _check_length(text)
    if clock := _CLOCK.fullmatch(written):
        hours, minutes, rest = (float(part or 0) for part in clock.groups())
        return _parse_finite(hours * 3600 + minutes * 60 + rest, written)
    parts = _SPELLED.findall(written)
    if parts and not _SPELLED.sub("", written).strip():
        return _parse_finite(
            sum(float(each) * _SECONDS[unit.lower()] for each, unit in parts), written
        )
    if _PLAIN.fullmatch(written) is None:
        raise QueryError(f"{written!r} is no duration: write 90s, 5m, 1h30m or 1:30")
    return parse_number(written)


def parse_kilometres(text: str) -> float:
    """Parses `10km`, `500m`, `3mi` or a number of kilometres. Raises QueryError."""
    match = _DISTANCE.fullmatch(_check_length(text))
    if match is None:
        raise QueryError(f"{_check_length(text)!r} is no distance: write 10km or 500m")
    return _parse_finite(float(match[1]) * _KILOMETRES[match[2].lower()], text)


def parse_count(text: str, unit: str = "") -> float:
    """Parses a number that may have `unit` after it: `1920px`, `12MP`. Raises QueryError."""
    written = _check_length(text)
    if unit and written.lower().endswith(unit.lower()):
        written = written[: -len(unit)].rstrip()
    return parse_number(written)


def parse_degrees(text: str, bound: float) -> float:
    """Parses a latitude (`bound` 90) or longitude (180), negative south and west; or QueryError."""
    degrees = parse_number(text, signed=True)
    if abs(degrees) > bound:
        raise QueryError(f"{_check_length(text)} is beyond {bound:g} degrees")
    return degrees


def parse_number(text: str, *, signed: bool = False) -> float:
    """Parses a finite number, not negative unless `signed`; raises QueryError."""
    written = _check_length(text)
    if _PLAIN.fullmatch(written) is None:
        raise QueryError(f"{written!r} is no number")
    number = _parse_finite(float(written), written)
    if number < 0 and not signed:
        raise QueryError(f"{written} is below zero")
    return number


def _parse_finite(value: float, text: str) -> float:
    if not math.isfinite(value):
        raise QueryError(f"{_check_length(text)} is too large a number")
    return value


def _check_length(text: str) -> str:
    """Checks the length: nothing that is a quantity is longer."""
    written = text.strip()
    return written if len(written) <= _MAX_CHARS else f"{written[:_MAX_CHARS]}…"
