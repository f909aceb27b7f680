"""Turns hits into the documents that frameworks of language models work with."""

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
class RetrieverOptions:
    """The options of a retriever: those of a search."""

    k: int
    kinds: Sequence[str] = ()
    under: Sequence[str | PathLike[str]] = ()
    where: str | None = None
    min_score: float | None = None
    group: bool = True


@dataclass(frozen=True, slots=True)
class RetrievedPassage:
    """The matching part of a file.

    `text` is the spoken or written text there, else its tags, else the reason of the hit, else the
    file name. `metadata` can be written as JSON and holds no None.
    """

    id: str
    text: str
    score: float
    kind: Modality
    path: str
    metadata: dict[str, Any]


class RetrieverSource:
    """A library to retrieve from: an open one, the folder of one, or the URL of a server.

    A library named by its folder is opened with the first search and kept. Safe to use from several
    threads.
    """

    def __init__(self, library: Library | str | PathLike[str] | None) -> None:
        self._named = library
        self._is_mine = isinstance(library, str | PathLike) or library is None
        self._lock = threading.Lock()
        self._library: Library | None = None

    def search(self, words: str, options: RetrieverOptions) -> list[RetrievedPassage]:
        """Returns passages, best first; `words` are taken literally, and no file is read.

        Raises QueryError and the errors of `Library.open`, `Library.search` and
        `RemoteLibrary.search`.
        """
        url = self._named
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            with _open_remote(url) as remote:
                return _build_passages(remote, words, options)
        return _build_passages(self._open(), words, options)

    def _open(self) -> Library:
        with self._lock:
            if self._library is None:
                library = self._named
                if library is None or isinstance(library, str | PathLike):
                    library = _open_local(library)
                self._library = library
            return self._library

    def close(self) -> None:
        """Closes the library if it was opened here."""
        with self._lock:
            if self._library is not None and self._is_mine:
                self._library.close()
            self._library = None


def _open_local(folder: str | PathLike[str] | None) -> Library:
    # Imported here, so that importing a retriever is quick and needs only its framework.
    from mmsearch.config import default_library
    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime
    from mmsearch.store.location import Location

    location = default_library() if folder is None else Location.parse(folder)
    return Library.open(location, create=False, runtime=Runtime(device="cpu"))


def _open_remote(url: str) -> RemoteLibrary:
    from mmsearch.client import RemoteLibrary
    from mmsearch.config import server_token

    return RemoteLibrary(url, token=server_token().strip() or None, has_details=True)


def _build_passages(
    library: Library | RemoteLibrary, words: str, options: RetrieverOptions
) -> list[RetrievedPassage]:
    from mmsearch.query.ranking import Ranking

    hits = library.search(
        words,
        limit=options.k,
        kinds=options.kinds,
        under=options.under,
        where=options.where,
        min_score=options.min_score,
        ranking=Ranking(group=options.group),
    )
    return [build_passage(hit) for hit in hits]


def build_passage(hit: Hit) -> RetrievedPassage:
    """Builds the passage of the part of a hit that matched best."""
    segment = hit.segment
    span = hit.moments[0].span if hit.moments else segment.span
    tags = ", ".join(tag.name for tag in segment.tags)
    metadata = {
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
    return RetrievedPassage(
        id=segment.id,
        text=segment.text or tags or hit.why or Path(hit.path).name,
        score=hit.score,
        kind=hit.kind,
        path=hit.path,
        metadata={name: value for name, value in metadata.items() if value is not None},
    )
