"""Indexes that are compared, each behind the same few calls.

A peer is named with its parameters: `hnswlib:16:200` is hnswlib with M 16, efConstruction 200.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.ann_data import Dataset, FloatArray, Mask

RowArray = NDArray[np.int64]
NO_ROW = -1
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard is searched: nodes or lists that are visited, and candidates compared exactly.

    `refine` is for each row that is wanted; 0 compares none.
    """

    visited: int = 0
    refine: int = 0

    def __str__(self) -> str:
        shown = [str(self.visited)] if self.visited else []
        return "x".join([*shown, str(self.refine)]) if self.refine else "".join(shown)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter by its name in the data, and the rows that it leaves."""

    name: str
    mask: Mask


class Peer(Protocol):
    """An index in this process; vectors are numbered as they come."""

    modules: Sequence[str]
    """What must be installed; imported before memory is looked at."""
    visits: tuple[int, int]
    """The least and the most that `Effort.visited` can be; (0, 0): there is no choice."""
    refines: Sequence[int]
    filters: bool
    grows: bool

    def build(self, data: Dataset, folder: Path) -> None:
        """Build over the vectors and write to `folder`, which is empty."""
        ...

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        """Open what was written, by mapping where that can be; `to_grow`: so that `add` works."""
        ...

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        """(q, k) rows for (q, dim) unit rows; NO_ROW where there are none."""
        ...

    def add(self, vectors: FloatArray) -> None:
        """More vectors, to be found at once."""
        ...


def blocks(vectors: NDArray[np.float16]) -> Iterator[tuple[int, FloatArray]]:
    """(first row, float32 vectors): never all of them twice in memory."""
    for begin in range(0, len(vectors), _BLOCK):
        yield begin, vectors[begin : begin + _BLOCK].astype(np.float32)


OURS = (
    "ours:auto",
    "ours:hnsw",
    "ours:ivf-rabitq",
    "ours:ivf-rabitq4",
    "ours:ivf-sq8",
    "ours-lance",
)
PEERS = (
    "numpy",
    "faiss-hnsw:16:100",
    "faiss-hnsw:32:100",
    "usearch:f16:16:128",
    "usearch:i8:16:128",
    "hnswlib:16:100",
    "lance:pq:8",
    "lance:hnsw",
)
"""Those of other people, as they are compared where nothing else is asked for."""

FEW = ("ours:hnsw", "ours:ivf-rabitq4", "numpy", "faiss-hnsw:16:100", "usearch:f16:16:128",
       "lance:hnsw")  # fmt: skip
"""Those of a small run: what learns long, or has a sister among these, is left out."""

SMALL_ROWS = 50_000
EXACT = ("ours-exact", "numpy", "faiss-flat")
GPU = ("ours:gpu-flat", "ours:gpu-ivf-pq", "ours:cagra")
ON_CPU = ("faiss-flat", "ours:ivf-pq", "ours:hnsw")
"""The same as GPU, on the CPU."""


def usual(rows: int) -> tuple[str, ...]:
    """Who is compared where nothing else is asked for."""
    return FEW if rows <= SMALL_ROWS else (*OURS, *PEERS)


def make(name: str, threads: int) -> Peer:
    """The peer of that name; raises ValueError, or TypeError where its parameters are wrong."""
    from benchmarks import ann_ours, ann_rivals  # which fulfil the protocol above

    makers: dict[str, Callable[..., Peer]] = {
        "ours": ann_ours.Ours,
        "ours-exact": ann_ours.OursExact,
        "ours-lance": ann_ours.OursLance,
        "numpy": ann_rivals.NumPy,
        "faiss-flat": ann_rivals.Faiss,
        "faiss-hnsw": ann_rivals.Faiss,
        "usearch": ann_rivals.Usearch,
        "hnswlib": ann_rivals.Hnswlib,
        "lance": ann_rivals.LanceDb,
    }
    kind, *written = name.split(":")
    if kind not in makers:
        raise ValueError(f"there is no peer {kind!r}; there are: {', '.join(makers)}")
    parameters = [int(one) if one.isdigit() else one for one in written]
    return makers[kind](threads, *parameters)


def missing(name: str) -> str:
    """Which module the peer needs that is not installed; empty where there is none."""
    for module in make(name, 1).modules:
        if importlib.util.find_spec(module.split(".")[0]) is None:
            return module.split(".")[0]
    return ""
