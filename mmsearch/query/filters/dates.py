"""Dates as people write them: each names a stretch of the calendar, a whole year or a minute."""

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
    """A stretch of time, in what clocks on the wall show.

    `start` is its first moment, `parts` how much of that was said: 1 the year, 2 the month, up to
    7 with a fraction of a second.
    """

    start: datetime
    parts: int

    @property
    def end(self) -> datetime:
        """The first moment after it; the last there is at the end of the year 9999."""
        try:
            if self.parts in _STEPS:
                return self.start + _STEPS[self.parts]
            months = 1 if self.parts == MONTH else 12
            return _moved(self.start, months)
        except OverflowError:
            return datetime.max  # noqa: DTZ901 - without a zone, as all of them

    def __str__(self) -> str:
        return self.start.isoformat(timespec="microseconds")[: _LENGTHS[self.parts]]


def period(said: str | date, *, today: date | None = None) -> Period:
    """What a date, a moment or a text of one of `FORMS` names.

    A moment with a time zone is taken in that of this machine; `today` is another day for what is
    counted back from. Raises QueryError for a text that is none, and a day that there is not.
    """
    if isinstance(said, datetime):
        if said.tzinfo is not None:
            said = said.astimezone().replace(tzinfo=None)
        return Period(said, MICROSECOND)
    if isinstance(said, date):
        return Period(datetime(said.year, said.month, said.day), DAY)  # noqa: DTZ001
    text = said.strip()
    today = today or datetime.now().astimezone().date()
    if len(text) <= _MAX_CHARS:
        if text.lower() in ("today", "yesterday"):
            return _days_before(today, 0 if text.lower() == "today" else 1)
        if ago := _AGO.fullmatch(text):
            return _before(today, int(ago[1]), ago[2].lower(), text)
        if found := _DATE.fullmatch(text):
            return _period(found, text)
    raise QueryError(f"{text[:_MAX_CHARS]!r} is no date: write {FORMS}")


def _period(found: re.Match[str], text: str) -> Period:
    said = [part for part in found.groups() if part is not None]
    if len(said) == MICROSECOND:
        said[-1] = said[-1].ljust(6, "0")
    year, month, day, hour, minute, second, micro = (*map(int, said), *_FIRST[len(said) :])
    try:
        # The clock on the wall: that of a camera knows no zone either.
        start = datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001
    except ValueError as exc:
        raise QueryError(f"{text!r} is not on the calendar: {exc}") from exc
    return Period(start, len(said))


def _before(today: date, count: int, unit: str, text: str) -> Period:
    try:
        if unit in "dw":
            return _days_before(today, count * (7 if unit == "w" else 1))
        first = datetime(today.year, today.month, today.day)  # noqa: DTZ001
        return Period(_moved(first, -count * (12 if unit == "y" else 1)), DAY)
    except OverflowError as exc:
        raise QueryError(f"{text!r} is further back than the calendar goes") from exc


def _days_before(today: date, days: int) -> Period:
    return period(today - timedelta(days=days))


def _moved(start: datetime, months: int) -> datetime:
    """So many months on, the last day of the month where it has fewer; raises OverflowError."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError(f"there is no year {year}")
    last = calendar.monthrange(year, month + 1)[1]
    return start.replace(year=year, month=month + 1, day=min(start.day, last))
