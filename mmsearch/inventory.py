"""What is in a library: counts, spaces, sizes."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS, SEGMENTS, vectors_table
from mmsearch.types import Modality, Provenance, SegmentKind, Space


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """An index over one space: its kind, how many vectors, and its recall against exact search."""

    space: str
    kind: str
    vectors: int
    recall_at_10: float


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


def status_of(path: Path, manifest: Manifest) -> Status:
    """Look into the tables of the library at `path`."""
    reader = Reader.open(path)
    files = reader.files()
    listed = reader.column(ASSETS, "modality", "indexed_at")
    assets = Counter(listed.column("modality").to_pylist())
    times = listed.column("indexed_at").to_pylist()
    segments = Counter(reader.column(SEGMENTS, "kind").column(0).to_pylist())
    return Status(
        library=str(path),
        preset=manifest.preset,
        speech_model=manifest.speech_model,
        speech=manifest.speech,
        assets=_counts(assets, Modality),
        files=sum(1 for row in files if row.error is None),
        segments=_counts(segments, SegmentKind),
        spaces=manifest.spaces,
        indexes=tuple(
            IndexStatus(name, "exact", reader.count(vectors_table(name)), 1.0)
            for name in reader.space_names
        ),
        failed=sum(1 for row in files if row.error is not None),
        size_bytes=_size_bytes(path),
        first_indexed_at=min(times, default=None),
        last_indexed_at=max(times, default=None),
    )


def _counts(found: Mapping[str, int], kinds: Iterable[str]) -> dict[str, int]:
    """How many of each kind; what only plugins make is not mentioned where there is none."""
    return {str(kind): found[kind] for kind in kinds if kind != "other" or found[kind]}


def _size_bytes(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):  # a writer beside us replaces files all the time
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
    return total
