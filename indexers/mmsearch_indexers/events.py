"""The events of an indexing run."""

from __future__ import annotations

from dataclasses import dataclass

from mmsearch.snapshot.maintenance import IndexProgress, IndexReady


@dataclass(frozen=True, slots=True)
class Indexed:
    """A new path can be found; `segments` is 0 for a further copy of a known asset.

    `partial` says what was not read of it, a phrase each.
    """

    path: str
    kind: str
    segments: int
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Updated:
    """A known path has new content, or more of it was read; `partial` is as in `Indexed`."""

    path: str
    kind: str
    segments: int
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """A known asset has a new path, and its old one is gone."""

    path: str
    moved_from: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path was left as it is, because it has not changed."""

    path: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A file could not be read; `error` is the name of the class in `mmsearch.errors`."""

    path: str
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A path was taken out of the library."""

    path: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the run: files dealt with, and files that need work."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event: counts of files, and the seconds that the run took.

    `partial` counts those of the indexed and updated of which a part was not read.
    """

    indexed: int = 0
    updated: int = 0
    moved: int = 0
    skipped: int = 0
    removed: int = 0
    failed: int = 0
    partial: int = 0
    seconds: float = 0.0


Event = (
    Indexed
    | Updated
    | Moved
    | Skipped
    | Failed
    | Removed
    | Progress
    | IndexProgress
    | IndexReady
    | Finished
)
