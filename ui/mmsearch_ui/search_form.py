"""The form of the search page, and the search request that it makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from mmsearch.errors import MediaError, QueryError
from mmsearch.query import algebra as queries
from mmsearch.query.algebra import Query
from mmsearch.query.filters.shorthand import Shorthand
from mmsearch.query.ranking import Ranking
from mmsearch.query.request import HIGHEST_SCORE, LOWEST_SCORE, SearchRequest, as_request

DURATIONS = {"under a minute": "..1m", "1 to 5 minutes": "1m..5m", "over 5 minutes": "5m.."}
SIZES = {"under 1 MB": "..1MB", "1 to 10 MB": "1MB..10MB", "over 10 MB": "10MB.."}
SCORES = {"anything": "0", "0.3": "0.3", "0.5": "0.5", "0.7": "0.7"}
"""The choices by their labels; a range or a number may be typed, as on the command line."""


@dataclass(frozen=True, slots=True)
class AssetExample:
    """An asset of the library to search by: its id, and its name."""

    asset_id: str
    name: str
    is_avoided: bool = False


@dataclass(frozen=True, slots=True)
class SearchForm:
    """The box and the filters as the user filled them in; an empty field sets no condition.

    `since` and `until` are days, both included. `duration`, `size` and `score` are one of the
    choices, or typed.
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
        """True if any filter is set."""
        return self.has_conditions or bool(self.score.strip())

    @property
    def has_conditions(self) -> bool:
        """True if a filter other than the score is set."""
        texts = (self.folder, self.duration, self.size, self.languages, self.where)
        choices = (self.kinds, self.cameras, self.since, self.until)
        return any(choices) or any(text.strip() for text in texts)


def build_query(form: SearchForm, files: Sequence[Path] = ()) -> Query:
    """Returns the box, the examples of the library and example files as one query.

    Never reads a path that is written in the box. Raises QueryError.
    """
    query = queries.parse(queries.split(form.line), reads_files=False)
    for example in form.like:
        query += (-1.0 if example.is_avoided else 1.0) * queries.asset(example.asset_id)
    for path in files:
        query += queries.file(path)
    return query


def is_empty(form: SearchForm, files: Sequence[object] = ()) -> bool:
    """Tests if nothing is searched for."""
    return not (form.line.strip() or form.like or files or form.has_conditions)


def build_request(form: SearchForm, files: Sequence[Path] = ()) -> SearchRequest:
    """Returns the request of a form and of example files.

    Leaves out the examples of the library from the hits. Raises QueryError, which names the filter
    that cannot be read.
    """
    folder = form.folder.strip()
    if folder and not folder.startswith(("/", "~")):
        raise QueryError(f"folder: {folder!r} does not begin with / or ~: write the whole path")
    before = None
    if form.until is not None:  # `before` excludes its day
        day = timedelta(days=1)
        before = (min(form.until, date.max - day) + day).isoformat()
    shorthand = Shorthand(
        form.where.strip() or None,
        after=None if form.since is None else form.since.isoformat(),
        before=before,
        duration=_read_choice(form.duration, DURATIONS),
        size=_read_choice(form.size, SIZES),
        camera=[name for name in form.cameras if name.strip()],
        lang=form.languages.strip() or None,
    )
    return as_request(
        build_query(form, files),
        kinds=form.kinds,
        under=[folder] if folder else (),
        where=shorthand.condition(mark=""),
        without=[example.asset_id for example in form.like],
        min_score=_read_score(form.score),
        ranking=Ranking(group=form.is_grouped, dedupe=form.is_deduped),
    )


def _read_choice(text: str, choices: dict[str, str]) -> str | None:
    text = text.strip()
    return choices.get(text, text) or None


def _read_score(text: str) -> float | None:
    choice = _read_choice(text, SCORES)
    if choice is None:
        return None
    try:
        score = float(choice)
    except ValueError:
        score = math.nan
    if not LOWEST_SCORE <= score <= HIGHEST_SCORE:
        raise QueryError(f"score: {choice[:40]!r} is no number between 0 and 1")
    return score


def format_error(error: QueryError, files: Sequence[tuple[Path, str]]) -> str:
    """Returns the message of an error with the names of files instead of their paths."""
    message = str(error)
    for path, name in files:
        cause = error.__cause__
        if isinstance(cause, MediaError) and cause.path == str(path):
            return f"{name!r} cannot be searched by: {cause.reason}"
        message = message.replace(str(path), repr(name))
    return message
