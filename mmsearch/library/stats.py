"""Counts and sizes of a library, its spaces and its indexes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path

from mmsearch.index import index_files, planner
from mmsearch.index.index_config import EXACT
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS, SEGMENTS, name_vectors_table
from mmsearch.types import Modality, Omission, Provenance, SegmentKind, Space


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """An index over one space.

    `recall_at_10` is measured against exact search, `latency_ms` for one query (None for exact
    search itself); `tail` counts the vectors added since it was built, which are searched exactly;
    `seconds` is the time of its building; `advice` names a faster alternative, if there is one.
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
    """The state of a library.

    `failed` counts files that could not be read, `partial` those of which a part was not read.
    """

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
    partial: int
    size_bytes: int
    first_indexed_at: datetime | None
    last_indexed_at: datetime | None


def read_status(location: Location, manifest: Manifest) -> Status:
    """Reads the state of a library from its tables and its manifest."""
    reader = Reader.open(location)
    files = reader.read_files()
    columns = reader.read_columns(ASSETS, "modality", "indexed_at")
    assets = Counter(columns.column("modality").to_pylist())
    times = columns.column("indexed_at").to_pylist()
    segments = Counter(reader.read_columns(SEGMENTS, "kind").column(0).to_pylist())
    # A file that cannot be read has an asset for its name alone.
    refused = {row.asset_id for row in files if row.error is not None and row.asset_id is not None}
    assets[Modality.OTHER] -= len(refused)
    segments[SegmentKind.TEXT] -= len(refused)
    return Status(
        library=str(location),
        preset=manifest.preset,
        speech_model=manifest.speech_model,
        speech=manifest.speech,
        assets=_count_kinds(assets, Modality),
        files=sum(1 for row in files if row.error is None),
        segments=_count_kinds(segments, SegmentKind),
        spaces=manifest.spaces,
        indexes=tuple(
            _read_index(location.cache_folder, name, reader.count_rows(name_vectors_table(name)))
            for name in reader.space_names
        ),
        failed=sum(1 for row in files if row.error is not None),
        partial=len(list_partial_files(reader)),
        size_bytes=location.measure_bytes(),
        first_indexed_at=min(times, default=None),
        last_indexed_at=max(times, default=None),
    )


@dataclass(frozen=True, slots=True)
class PartialFile:
    """A file of which a part was not read."""

    path: str
    omissions: tuple[Omission, ...]


def list_partial_files(reader: Reader) -> list[PartialFile]:
    """Lists the files of which a part was not read, by their paths."""
    omissions = reader.read_omissions()
    return [
        PartialFile(row.path, omissions[row.asset_id])
        for row in sorted(reader.read_files(), key=attrgetter("path"))
        if row.error is None and row.asset_id in omissions
    ]


def _read_index(cache: Path, space: str, vectors: int) -> IndexStatus:
    index = index_files.find(cache, space)
    if index is None or index.header.kind == EXACT:
        return IndexStatus(space, EXACT, vectors, 1.0, advice=planner.suggest_faiss(EXACT, vectors))
    header = index.header
    return IndexStatus(
        space=space,
        kind=header.kind,
        vectors=vectors,
        recall_at_10=header.measured.recall,
        latency_ms=header.measured.latency_ms,
        tail=max(0, vectors - header.count),
        size_bytes=header.size_bytes,
        seconds=header.seconds,
        advice=planner.suggest_faiss(header.kind, vectors),
    )


def _count_kinds(counts: Mapping[str, int], kinds: Iterable[str]) -> dict[str, int]:
    """Counts each kind; `other`, which only plugins make, is left out where there is none."""
    return {str(kind): counts[kind] for kind in kinds if kind != "other" or counts[kind]}
