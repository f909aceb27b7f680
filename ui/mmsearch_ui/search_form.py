"""What is filled in on the search page, as a query and what narrows it down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import MediaError, QueryError
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query, TermKind
from mmsearch.query.filters.shorthand import narrowed
from mmsearch.query.ranking import Ranking

if TYPE_CHECKING:
    from mmsearch.query.filters.expressions import Expression

DURATIONS = {"under a minute": "..1m", "1 to 5 minutes": "1m..5m", "over 5 minutes": "5m.."}
SIZES = {"under 1 MB": "..1MB", "1 to 10 MB": "1MB..10MB", "over 10 MB": "10MB.."}
SCORES = {"anything": "0", "0.3": "0.3", "0.5": "0.5", "0.7": "0.7"}
"""What is offered; who knows better types a range, or a number, as on the command line."""


@dataclass(frozen=True, slots=True)
class AssetExample:
    """Something of the library to look for more of, or less: its id, and what it is called."""

    asset_id: str
    name: str
    is_avoided: bool = False


@dataclass(frozen=True, slots=True)
class SearchForm:
    """The box and the filters, as they are filled in; what is empty asks for nothing.

    `since` and `until` are days, the last of them included. `duration`, `size` and `score` are one
    of what is offered, or typed.
    """

    line: str = ""
    like: tuple[AssetExample, ...] = ()
    kinds: tuple[str, ...] = ()
    folder: str = ""
    since: date | None = None
    until: date | None = None
    duration: str = ""
    size: str = ""
    cameras: tuple[str, ...] = ()
    languages: str = ""
    score: str = ""
    where: str = ""
    is_grouped: bool = True
    is_deduped: bool = True

    @property
    def is_narrowed(self) -> bool:
        """Whether any filter is set."""
        return self.says_which or bool(self.score.strip())

    @property
    def says_which(self) -> bool:
        """Whether any filter is set that says which files, not only how well they must match."""
        plain = (self.folder, self.duration, self.size, self.languages, self.where)
        days = (self.since, self.until)
        is_said = any(one.strip() for one in plain) or any(one is not None for one in days)
        return bool(self.kinds or self.cameras) or is_said


@dataclass(frozen=True, slots=True)
class Filters:
    """The same as `Library.search` takes them."""

    kinds: tuple[str, ...]
    under: tuple[str, ...]
    where: Expression | None
    min_score: float | None
    ranking: Ranking


def query_of(form: SearchForm, files: Sequence[Path] = ()) -> Query:
    """The box, the examples of the library, and files to search by, as one query.

    No path that is written in the box is ever read. Raises QueryError.
    """
    asked = queries.parse(queries.split(form.line), reads_files=False)
    for one in form.like:
        asked += (-1.0 if one.is_avoided else 1.0) * queries.asset(one.asset_id)
    for path in files:
        asked += queries.file(path)
    return asked


def is_empty(form: SearchForm, files: Sequence[object] = ()) -> bool:
    """Whether nothing is asked for at all."""
    return not (form.line.strip() or form.like or files or form.says_which)


def filters_of(form: SearchForm) -> Filters:
    """What the filters ask for; raises QueryError, which names the one that cannot be read."""
    folder = form.folder.strip()
    if folder and not folder.startswith(("/", "~")):
        raise QueryError(f"folder: {folder!r} does not begin with / or ~: write the whole path")
    condition = narrowed(
        form.where.strip() or None,
        after=None if form.since is None else form.since.isoformat(),
        # `before` ends where its day begins.
        before=None if form.until is None else _next(form.until).isoformat(),
        duration=_offered(form.duration, DURATIONS),
        size=_offered(form.size, SIZES),
        camera=[one for one in form.cameras if one.strip()],
        lang=form.languages.strip() or None,
        mark="",
    )
    return Filters(
        kinds=form.kinds,
        under=(str(Path(folder).expanduser()),) if folder else (),
        where=condition,
        min_score=_score(form.score),
        ranking=Ranking(group=form.is_grouped, dedupe=form.is_deduped),
    )


def _next(day: date) -> date:
    try:
        return day + timedelta(days=1)
    except OverflowError:
        return day


def _offered(said: str, offered: dict[str, str]) -> str | None:
    written = said.strip()
    return offered.get(written, written) or None


def _score(said: str) -> float | None:
    written = _offered(said, SCORES)
    if written is None:
        return None
    try:
        found = float(written)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 1:
        raise QueryError(f"score: {written[:40]!r} is no number between 0 and 1")
    return found


def sought_words(query: Query) -> str:
    """The words that a query looks for, without those that it avoids."""
    return " ".join(
        term.value for term in query.terms if term.kind is TermKind.TEXT and term.weight > 0
    )


def complaint(error: QueryError, files: Sequence[tuple[Path, str]]) -> str:
    """What an error says, with the names that files were given instead of where they were kept."""
    said = str(error)
    for path, name in files:
        cause = error.__cause__
        if isinstance(cause, MediaError) and cause.path == str(path):
            return f"{name!r} cannot be searched by: {cause.reason}"
        said = said.replace(str(path), repr(name))
    return said
