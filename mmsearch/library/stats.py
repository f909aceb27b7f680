"""What is in a library: counts, spaces, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mmsearch.index import index_files, planner
from mmsearch.index.index_config import EXACT
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS, SEGMENTS, vectors_table
from mmsearch.types import Modality, Provenance, SegmentKind, Space


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """An index over one space: its kind, how many vectors, and what it was measured to do.

    `recall_at_10` is against exact search, `latency_ms` for one query, None for exact search
    itself; `tail` are the vectors that came since it was built and are searched exactly;
    `size_bytes` and `seconds` are what it takes on disk and what building it took; `advice` says
    what would make it faster, where anything would.
    """

    space: str
    kind: str
    vectors: int
    recall_at_10: float
    latency_ms: float | None = None
    tail: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """What is in a library."""

    library: str
    preset: str
    speech_model: str
    speech: Provenance | None
    assets: dict[str, int]
    files: int
    segments: dict[str, int]
    spaces: tuple[Space, ...]
    indexes: tuple[IndexStatus, ...]
    failed: int
    size_bytes: int
    first_indexed_at: datetime | None
    last_indexed_at: datetime | None


def status_of(location: Location, manifest: Manifest) -> Status:
    """Look into the tables of the library."""
    reader = Reader.open(location)
    files = reader.files()
    listed = reader.column(ASSETS, "modality", "indexed_at")
    assets = Counter(listed.column("modality").to_pylist())
    times = listed.column("indexed_at").to_pylist()
    segments = Counter(reader.column(SEGMENTS, "kind").column(0).to_pylist())
    return Status(
        library=str(location),
        preset=manifest.preset,
        speech_model=manifest.speech_model,
        speech=manifest.speech,
        assets=_counts(assets, Modality),
        files=sum(1 for row in files if row.error is None),
        segments=_counts(segments, SegmentKind),
        spaces=manifest.spaces,
        indexes=tuple(
            _index_status(location.cache_folder, name, reader.count(vectors_table(name)))
            for name in reader.space_names
        ),
        failed=sum(1 for row in files if row.error is not None),
        size_bytes=location.size_bytes(),
        first_indexed_at=min(times, default=None),
        last_indexed_at=max(times, default=None),
    )


def _index_status(cache: Path, space: str, vectors: int) -> IndexStatus:
    kept = index_files.find(cache, space)
    if kept is None or kept.header.kind == EXACT:
        return IndexStatus(space, EXACT, vectors, 1.0, advice=planner.advice(EXACT, vectors))
    header = kept.header
    return IndexStatus(
        space=space,
        kind=header.kind,
        vectors=vectors,
        recall_at_10=header.measured.recall,
        latency_ms=header.measured.latency_ms,
        tail=max(0, vectors - header.count),
        size_bytes=header.size_bytes,
        seconds=header.seconds,
        advice=planner.advice(header.kind, vectors),
    )


def _counts(found: Mapping[str, int], kinds: Iterable[str]) -> dict[str, int]:
    """How many of each kind; what only plugins make is not mentioned where there is none."""
    return {str(kind): found[kind] for kind in kinds if kind != "other" or found[kind]}
