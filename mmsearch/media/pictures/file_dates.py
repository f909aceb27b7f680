"""Reads dates as metadata writes them, and those in the names of files."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from mmsearch.media.strings import split_words

_EARLIEST_YEAR = 1800
# Digital cameras began to name files by their dates after this year.
_EARLIEST_NAMED_YEAR = 1990

_STAMP = re.compile(
    r"(\d{4})(?:[:\-/.]?(\d\d)(?:[:\-/.]?(\d\d)"
    r"(?:[ T]{1,2}(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.I,
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")

_YEAR, _MONTH, _DAY = r"(?P<year>(?:19|20)\d\d)", r"(?P<month>[01]\d)", r"(?P<day>[0-3]\d)"
_CLOCK = r"(?P<hour>[0-2]\d)(?P<minute>[0-5]\d)(?P<second>[0-5]\d)(?P<milli>\d{3})?"
_SPACED_CLOCK = (
    r"(?P<hour>[0-2]?\d)(?P<mark>[.:_\-h： ∶])(?P<minute>[0-5]\d)"
    r"(?:[.:_\-m： ∶](?P<second>[0-5]\d))?(?!\d)(?:\s?(?P<half>[aApP])\.?[mM]\b)?"
)
_NAMES = (
    # IMG_20160203_040506, PXL_20210101_123456789, DJI_20210506120000_0001.
    re.compile(rf"(?<!\d){_YEAR}{_MONTH}{_DAY}[_\-. T]?{_CLOCK}(?!\d)"),
    # WIN_20160203_04_05_06_Pro.
    re.compile(rf"(?<!\d){_YEAR}{_MONTH}{_DAY}[_\- ]{_SPACED_CLOCK}"),
    # Screenshot 2016-03-09 at 4.05.06 PM, photo_2020-05-06_04-05-06, signal-2020-05-06-040506.
    re.compile(
        rf"(?<!\d){_YEAR}(?P<part>[\-_.]){_MONTH}(?P=part){_DAY}(?!\d)[^\d]{{1,12}}{_CLOCK}(?!\d)"
    ),
    re.compile(
        rf"(?<!\d){_YEAR}(?P<part>[\-_. ]){_MONTH}(?P=part){_DAY}(?!\d)[^\d]{{1,12}}{_SPACED_CLOCK}"
    ),
    # A day alone.
    re.compile(rf"(?<!\d){_YEAR}(?P<part>[\-_. ]){_MONTH}(?P=part){_DAY}(?!\d)"),
    re.compile(rf"(?<!\d){_YEAR}年(?P<month>[01]?\d)月(?P<day>[0-3]?\d)日"),
    re.compile(rf"(?:(?<![^\W_])|(?<=IMG)|(?<=VID)){_YEAR}{_MONTH}{_DAY}(?![^\W_])"),
)
_PARTS = split_words("year month day hour minute second milli")
_DAY_OR_MONTH_FIRST = re.compile(r"(?<![\d.])(\d\d?)([.\-_])(\d\d?)\2((?:19|20)\d\d)(?!\d)")
_AFTERNOON = re.compile("午後|下午|오후")
_EPOCH_MS = re.compile(r"^(?:FB_IMG_|mmexport|wx_camera_)(\d{13})(?!\d)", re.I)


def parse_date(text: str | None) -> datetime | None:
    """Parses a date of EXIF, IPTC or XMP: "2023:05:01 12:30:00", "20230501", "2023-05".

    A day without a time is its midnight, and a year its first day. None for zeros and impossible
    dates; without an offset from UTC the moment has no time zone.
    """
    match = _STAMP.match((text or "").strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        # The clock of a camera has no time zone.
        moment = datetime(year, month or 1, day or 1)  # noqa: DTZ001
    except ValueError:
        return None
    if moment.year <= _EARLIEST_YEAR:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return moment
    moment = moment.replace(hour=hour, minute=minute, second=min(second, 59))
    if match[7]:
        moment = moment.replace(microsecond=int(match[7][:6].ljust(6, "0")))
    return apply_offset(moment, match[8])


def apply_offset(moment: datetime, offset: str | None) -> datetime:
    """Returns the moment with the time zone of an offset such as "+02:00" or "Z", if it is one."""
    if offset in ("Z", "z"):
        return moment.replace(tzinfo=UTC)
    match = _OFFSET.fullmatch(offset or "")
    if match is None or int(match[2]) >= 24 or int(match[3]) >= 60:
        return moment
    minutes = int(match[2]) * 60 + int(match[3])
    shift = timedelta(minutes=-minutes if match[1] == "-" else minutes)
    return moment.replace(tzinfo=timezone(shift))


def parse_date_in_name(name: str) -> datetime | None:
    """Returns the moment that the name of a file states as cameras, phones and screenshots do.

    Without a time of day it is midnight; it has no time zone, except in names known to be in UTC.
    Ambiguous orders of day and month, and years before 1990 or after the next, give None.
    """
    stem = name[:255].rpartition(".")[0] or name[:255]
    if epoch := _EPOCH_MS.match(stem):
        return _check_year(datetime.fromtimestamp(int(epoch[1]) / 1000, UTC))
    for pattern in _NAMES:
        for match in pattern.finditer(stem):
            parts = match.groupdict()
            if _AFTERNOON.search(match[0]):
                parts["half"] = "p"
            moment = _build_moment(parts)
            if moment is not None:
                return moment.replace(tzinfo=UTC) if stem.startswith("PXL_") else moment
    unordered = _DAY_OR_MONTH_FIRST.search(stem)
    return _build_unordered(unordered) if unordered is not None else None


def _build_moment(parts: dict[str, str | None]) -> datetime | None:
    year, month, day, hour, minute, second, milli = (int(parts.get(part) or 0) for part in _PARTS)
    half = (parts.get("half") or "").lower()
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    try:
        moment = datetime(year, month, day, hour, minute, second, milli * 1000)  # noqa: DTZ001
    except ValueError:
        return None
    return _check_year(moment)


def _build_unordered(match: re.Match[str]) -> datetime | None:
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    if first > 12 or first == second:
        day, month = first, second
    elif second > 12:
        day, month = second, first
    else:
        return None  # 03-02-2016 is in March or in February
    return _build_moment({"year": str(year), "month": str(month), "day": str(day)})


def _check_year(moment: datetime) -> datetime | None:
    latest = datetime.now(UTC).year + 1
    return moment if _EARLIEST_NAMED_YEAR <= moment.year <= latest else None
