"""What a search finds, as the passages that frameworks of language models work with."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.types import Hit, Modality

if TYPE_CHECKING:
    from mmsearch.client import RemoteLibrary
    from mmsearch.library.library import Library

SHOWN_COPIES = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a library; all but the words."""

    k: int
    kinds: Sequence[str] = ()
    under: Sequence[str | PathLike[str]] = ()
    where: str | None = None
    min_score: float | None = None
    group: bool = True


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a file that was found.

    `text` is what is said or written there, else the tags of what is seen or heard, else why it was
    found. `metadata` can be written as JSON and holds no None.
    """

    id: str
    text: str
    score: float
    kind: Modality
    path: str
    metadata: dict[str, Any]


class Source:
    """A library to retrieve from: one that is open, the folder of one, or the URL of a server.

    What is named by its folder is opened with the first search and kept; searches may come from
    several threads.
    """

    def __init__(self, library: Library | str | PathLike[str] | None) -> None:
        self._named = library
        self._is_mine = isinstance(library, str | PathLike) or library is None
        self._lock = threading.Lock()
        self._library: Library | None = None

    def search(self, words: str, wanted: Wanted) -> list[Passage]:
        """The passages, best first; `words` are taken literally, and no file is read.

        Raises QueryError and what else `Library.open`, `Library.search` and `RemoteLibrary.search`
        raise.
        """
        url = self._named
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            with _remote(url) as remote:
                return _passages(remote, words, wanted)
        return _passages(self._opened(), words, wanted)

    def _opened(self) -> Library:
        with self._lock:
            if self._library is None:
                named = self._named
                if named is None or isinstance(named, str | PathLike):
                    self._library = _local(named)
                else:
                    self._library = named
            return self._library

    def close(self) -> None:
        """Let go of the library, where it was opened here."""
        with self._lock:
            if self._library is not None and self._is_mine:
                self._library.close()
            self._library = None


def _local(folder: str | PathLike[str] | None) -> Library:
    # Here: to import a retriever is quick, and needs no more than its framework.
    from mmsearch.config import default_library
    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime
    from mmsearch.store.location import Location

    location = default_library() if folder is None else Location.parse(folder)
    return Library.open(location, create=False, runtime=Runtime(device="cpu"))


def _remote(url: str) -> RemoteLibrary:
    from mmsearch.client import RemoteLibrary
    from mmsearch.config import server_token

    return RemoteLibrary(url, token=server_token().strip() or None, has_details=True)


def _passages(library: Library | RemoteLibrary, words: str, wanted: Wanted) -> list[Passage]:
    from mmsearch.query.ranking import Ranking

    hits = library.search(
        words,
        limit=wanted.k,
        kinds=wanted.kinds,
        under=wanted.under,
        where=wanted.where,
        min_score=wanted.min_score,
        ranking=Ranking(group=wanted.group),
    )
    return [passage(hit) for hit in hits]


def passage(hit: Hit) -> Passage:
    """A hit by the part of it that matched best."""
    segment = hit.segment
    span = hit.moments[0].span if hit.moments else segment.span
    tags = ", ".join(tag.name for tag in segment.tags)
    told = {
        "path": hit.path,
        "kind": hit.kind.value,
        "part": segment.kind.value,
        "score": round(hit.score, 4),
        "start_s": None if span is None else round(span.start_s, 3),
        "end_s": None if span is None else round(span.end_s, 3),
        "page": segment.place.page,
        "tags": [tag.name for tag in segment.tags] or None,
        "why": hit.why or None,
        "also_at": list(hit.also_at[:SHOWN_COPIES]) or None,
        "asset_id": hit.asset.id,
        "segment_id": segment.id,
    }
    return Passage(
        id=segment.id,
        text=segment.text or tags or hit.why or Path(hit.path).name,
        score=hit.score,
        kind=hit.kind,
        path=hit.path,
        metadata={name: value for name, value in told.items() if value is not None},
    )
