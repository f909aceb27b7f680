"""Runs the search of a form; uploads are on disk only while it runs."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mmsearch.errors import QueryError
from mmsearch_ui.search_form import SearchForm, build_query, build_request, format_error, is_empty

if TYPE_CHECKING:
    from mmsearch.library.heatmap import HeatMap
    from mmsearch.library.library import Library
    from mmsearch.types import Hit

_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file to search by: its name and its content."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """The hits of a form and uploads, or the error.

    `words` are marked in texts. `is_listed`: the form has filters alone, and the hits are all
    assets that pass them.
    """

    form: SearchForm = SearchForm()
    uploads: tuple[UploadedFile, ...] = ()
    hits: tuple[Hit, ...] = ()
    words: str = ""
    took_ms: float = 0.0
    has_more: bool = False
    is_listed: bool = False
    error: str = ""


@contextlib.contextmanager
def store_uploads(uploads: Sequence[UploadedFile]) -> Iterator[list[tuple[Path, str]]]:
    """Stores uploads in a private folder for the time of the block; yields paths and names."""
    if not uploads:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="mmsearch-example-") as folder:
        files = []
        for number, upload in enumerate(uploads):
            # Some formats of text are recognized by their ending alone.
            suffix = PurePath(upload.name).suffix
            ending = suffix if _ENDING.fullmatch(suffix) else ""
            path = Path(folder) / f"example-{number}{ending}"
            path.write_bytes(upload.data)
            files.append((path, upload.name))
        yield files


def run_search(
    library: Library, form: SearchForm, uploads: Sequence[UploadedFile], limit: int
) -> SearchOutcome:
    """Returns at most `limit` hits for a form; none for an empty form.

    A QueryError becomes `error`; other errors are raised.
    """
    if is_empty(form, uploads):
        return SearchOutcome()
    start_s = time.perf_counter()
    with store_uploads(uploads) as files:
        try:
            request = build_request(form, [path for path, _ in files])
            hits = library.search(request, limit=limit + 1)
        except QueryError as exc:
            return SearchOutcome(error=format_error(exc, files))
    return SearchOutcome(
        form=form,
        uploads=tuple(uploads),
        hits=tuple(hits[:limit]),
        words=request.query.words,
        took_ms=(time.perf_counter() - start_s) * 1000,
        has_more=len(hits) > limit,
        is_listed=not request.query.seeks,
    )


def locate_match(library: Library, outcome: SearchOutcome, hit: Hit, *, is_quick: bool) -> HeatMap:
    """Maps where the picture of a hit matches the query; raises QueryError."""
    with store_uploads(outcome.uploads) as files:
        query = build_query(outcome.form, [path for path, _ in files])
        try:
            return library.heat_map(hit, query, is_quick=is_quick)
        except QueryError as exc:
            raise QueryError(format_error(exc, files)) from exc
