"""Parses dates as people write them: each is a period of the calendar, a year or a minute."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from mmsearch.errors import QueryError

FORMS = "2024, 2024-05, 2024-05-01, 2024-05-01T12:00, today, yesterday, or 7d, 2w, 3m, 1y ago"
YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MICROSECOND = range(1, 8)
_LENGTHS = {YEAR: 4, MONTH: 7, DAY: 10, HOUR: 13, MINUTE: 16, SECOND: 19, MICROSECOND: 26}
_STEPS = {
    DAY: timedelta(days=1),
    HOUR: timedelta(hours=1),
    MINUTE: timedelta(minutes=1),
    SECOND: timedelta(seconds=1),
    MICROSECOND: timedelta(microseconds=1),
}
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[T ]([0-9]{1,2})"
    r"(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?)?)?",
    re.IGNORECASE,
)
_AGO = re.compile(r"([0-9]{1,5})([dwmy])", re.IGNORECASE)
_FIRST = (1, 1, 1, 0, 0, 0, 0)
_MAX_CHARS = 40


@dataclass(frozen=True, slots=True)
class Period:
    """A period of wall time.

    `start` is its first moment, `parts` its precision: 1 for a year, 2 for a month, up to 7 for a
    fraction of a second.
    """

    start: datetime
    parts: int

    @property
    def end(self) -> datetime:
        """The first moment after it; the last one is the end of the year 9999."""
        try:
            if self.parts in _STEPS:
                return self.start + _STEPS[self.parts]
            months = 1 if self.parts == MONTH else 12
            return _add_months(self.start, months)
        except OverflowError:
            return datetime.max  # noqa: DTZ901 - without a zone, as all of them

    def __str__(self) -> str:
        return self.start.isoformat(timespec="microseconds")[: _LENGTHS[self.parts]]


def parse_period(value: str | date, *, today: date | None = None) -> Period:
    """Parses a date, a moment or a text of one of `FORMS`.

    A moment with a time zone is converted to the zone of this machine. Relative dates count back
    from `today`, by default the current day. Raises QueryError for any other text or day.
    """
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone().replace(tzinfo=None)
        return Period(value, MICROSECOND)
    if isinstance(value, date):
        return Period(datetime(value.year, value.month, value.day), DAY)  # noqa: DTZ001
    text = value.strip()
    today = today or datetime.now().astimezone().date()
    if len(text) <= _MAX_CHARS:
        if text.lower() in ("today", "yesterday"):
            return _days_before(today, 0 if text.lower() == "today" else 1)
        if ago := _AGO.fullmatch(text):
            return _period_before(today, int(ago[1]), ago[2].lower(), text)
        if match := _DATE.fullmatch(text):
            return _period_of(match, text)
    raise QueryError(f"{text[:_MAX_CHARS]!r} is no date: write {FORMS}")


def _period_of(match: re.Match[str], text: str) -> Period:
    parts = [part for part in match.groups() if part is not None]
    if len(parts) == MICROSECOND:
        parts[-1] = parts[-1].ljust(6, "0")
    year, month, day, hour, minute, second, micro = (*map(int, parts), *_FIRST[len(parts) :])
    try:
        # The clock on the wall: that of a camera knows no zone either.
        start = datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001
    except ValueError as exc:
        raise QueryError(f"{text!r} is not on the calendar: {exc}") from exc
    return Period(start, len(parts))


def _period_before(today: date, count: int, unit: str, text: str) -> Period:
    try:
        if unit in "dw":
            return _days_before(today, count * (7 if unit == "w" else 1))
        first = datetime(today.year, today.month, today.day)  # noqa: DTZ001
        return Period(_add_months(first, -count * (12 if unit == "y" else 1)), DAY)
    except OverflowError as exc:
        raise QueryError(f"{text!r} is further back than the calendar goes") from exc


def _days_before(today: date, days: int) -> Period:
    return parse_period(today - timedelta(days=days))


def _add_months(start: datetime, months: int) -> datetime:
    """Adds months, to the last day of a shorter month; raises OverflowError."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError(f"there is no year {year}")
    last = calendar.monthrange(year, month + 1)[1]
    return start.replace(year=year, month=month + 1, day=min(start.day, last))
