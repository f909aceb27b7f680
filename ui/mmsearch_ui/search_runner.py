"""Asks the library what the form asks for; files that are given are kept for that long alone."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mmsearch.errors import QueryError
from mmsearch_ui.search_form import (
    SearchForm,
    complaint,
    filters_of,
    is_empty,
    query_of,
    sought_words,
)

if TYPE_CHECKING:
    from mmsearch.library.heatmap import HeatMap
    from mmsearch.library.library import Library
    from mmsearch.types import Hit

_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that was dropped, pasted or chosen: what it is called there, and what is in it."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """What a search found for a form and files, or why it could not be made.

    `words` are those that are marked in texts. `is_listed` is whether it is all that passes the
    filters, for nothing else was asked.
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
def kept(uploads: Sequence[UploadedFile]) -> Iterator[list[tuple[Path, str]]]:
    """The files on disk, each with its name; nobody else can read them, and none is left."""
    if not uploads:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="mmsearch-example-") as folder:
        found = []
        for number, upload in enumerate(uploads):
            # Of the name nothing is taken but a plain ending, which tells some texts apart.
            ending = PurePath(upload.name).suffix
            known = ending if _ENDING.fullmatch(ending) else ""
            path = Path(folder) / f"example-{number}{known}"
            path.write_bytes(upload.data)
            found.append((path, upload.name))
        yield found


def answer(
    library: Library, form: SearchForm, uploads: Sequence[UploadedFile], limit: int
) -> SearchOutcome:
    """What is found for a form; at most `limit` hits. An empty form finds nothing.

    What the user can put right is told in `error`; other errors are raised.
    """
    if is_empty(form, uploads):
        return SearchOutcome()
    began = time.perf_counter()
    with kept(uploads) as files:
        try:
            asked = query_of(form, [path for path, _ in files])
            filters = filters_of(form)
            hits = library.search(
                asked,
                # One more tells whether there are more.
                limit=limit + 1,
                kinds=filters.kinds,
                under=filters.under,
                where=filters.where,
                without=[one.asset_id for one in form.like],
                min_score=filters.min_score,
                ranking=filters.ranking,
            )
        except QueryError as exc:
            return SearchOutcome(error=complaint(exc, files))
    found = SearchOutcome(
        form=form,
        uploads=tuple(uploads),
        hits=tuple(hits[:limit]),
        words=sought_words(asked),
        has_more=len(hits) > limit,
        is_listed=not asked.seeks,
    )
    return replace(found, took_ms=(time.perf_counter() - began) * 1000)


def located(library: Library, found: SearchOutcome, hit: Hit, *, is_quick: bool) -> HeatMap:
    """Where in the picture of a hit lies what was asked for; raises QueryError."""
    with kept(found.uploads) as files:
        asked = query_of(found.form, [path for path, _ in files])
        try:
            return library.heat_map(hit, asked, is_quick=is_quick)
        except QueryError as exc:
            raise QueryError(complaint(exc, files)) from exc
