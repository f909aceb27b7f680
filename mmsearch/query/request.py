"""The search request: a query, its filters and settings; every interface builds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from mmsearch.errors import QueryError
from mmsearch.query.algebra import Query, as_query
from mmsearch.query.ranking import DEFAULT_RANKING, Ranking

if TYPE_CHECKING:
    from mmsearch.query.filters.dates import Period
    from mmsearch.query.filters.expressions import Expression
    from mmsearch.types import Modality

DEFAULT_LIMIT = 10
MIN_LIMIT = 1
MAX_LIMIT = 10_000
"""Of the command line; Python has no bound."""
MAX_LIMIT_HTTP = 1000
MAX_LIMIT_MCP = 50
LOWEST_SCORE, HIGHEST_SCORE = 0.0, 1.0

Day = str | date
"""A date, a moment, or a text such as 2024-05 or 7d."""


class SearchOptions(TypedDict, total=False):
    """The keyword arguments of `Library.search`, which are the fields of a `SearchRequest`."""

    kinds: Iterable[str]
    under: Iterable[str | PathLike[str]]
    after: Day | None
    before: Day | None
    where: str | Expression | None
    without: Iterable[str]
    limit: int
    min_score: float | None
    ranking: Ranking
    explain: bool


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Everything that one search asks for.

    `kinds` are names of modalities, `under` absolute folders, `after` and `before` dates as
    "2024-05" or "7d", `where` a condition (docs/filters.md), `without` ids of assets that may not
    be hits. Hits below `min_score` are left out; None takes the usual cut-off. `explain` asks a
    server for similarities and matching characters too.
    """

    query: Query
    kinds: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    after: Day | None = None
    before: Day | None = None
    where: str | Expression | None = None
    without: tuple[str, ...] = ()
    limit: int = DEFAULT_LIMIT
    min_score: float | None = None
    ranking: Ranking = DEFAULT_RANKING
    explain: bool = False

    def __str__(self) -> str:
        return str(self.query)

    @property
    def is_narrowed(self) -> bool:
        """True if a filter says which assets are meant, not only which are not."""
        conditions = (self.after, self.before, self.where)
        return bool(self.kinds or self.under) or any(one is not None for one in conditions)

    def checked(self) -> SearchRequest:
        """Returns the request with `after`, `before` and `where` read as one condition, `where`.

        Raises QueryError for a condition that cannot be read, an unknown kind, a limit below 1, a
        ranking that there is not, and an empty query without filters.
        """
        condition = self.condition()
        parse_kinds(self.kinds)
        self.query.checked(is_narrowed=self.is_narrowed)
        if self.limit < MIN_LIMIT:
            raise QueryError(f"the limit must be at least {MIN_LIMIT}, not {self.limit}")
        self.ranking.checked()
        return replace(self, after=None, before=None, where=condition)

    def condition(self) -> Expression | None:
        """Reads `after`, `before` and `where` as one condition; None where none is given.

        `after` begins with the first moment of the period that it names, `before` ends there.
        Raises QueryError.
        """
        if self.after is None and self.before is None and not isinstance(self.where, str):
            return self.where
        # Here, so that a search without filters does not wait for their language.
        from mmsearch.query.filters import parser
        from mmsearch.query.filters.expressions import Compare, all_of

        return all_of(
            [
                None
                if self.after is None
                else Compare("date", ">=", _parse_period("after", self.after)),
                None
                if self.before is None
                else Compare("date", "<", _parse_period("before", self.before)),
                parser.parse(self.where) if isinstance(self.where, str) else self.where,
            ]
        )


def as_request(
    query: str | Query | SearchRequest, **options: Unpack[SearchOptions]
) -> SearchRequest:
    """Returns the request for a query, or a request with some of its fields replaced.

    Folders are made absolute.
    """
    request = query if isinstance(query, SearchRequest) else SearchRequest(as_query(query))
    fields: dict[str, Any] = {**options}
    for name in ("kinds", "without"):
        if name in fields:
            fields[name] = tuple(fields[name])
    if "under" in fields:
        from mmsearch.media.files import make_absolute, make_storable

        fields["under"] = tuple(
            make_storable(make_absolute(Path(folder))) for folder in fields["under"]
        )
    return replace(request, **fields) if fields else request


def parse_kinds(kinds: Iterable[str]) -> frozenset[Modality]:
    """Returns kinds by their names; raises QueryError for one that there is not."""
    from mmsearch.types import Modality

    names = list(kinds)
    unknown = next((name for name in names if name not in set(Modality)), None)
    if unknown is not None:
        raise QueryError(f"there is no kind {unknown!r}: kinds are {', '.join(Modality)}")
    return frozenset(Modality(name) for name in names)


def _parse_period(option: str, day: Day) -> Period:
    from mmsearch.query.filters.dates import parse_period

    try:
        return parse_period(day)
    except QueryError as exc:
        raise QueryError(f"{option}: {exc}") from exc
