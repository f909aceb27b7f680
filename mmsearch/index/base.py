"""What a vector index is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

RowMask = NDArray[np.bool_]
RowArray = NDArray[np.int64]

NO_ROW = -1
NARROWED = 3
"""Where there are so many times as many rows as are wanted, they are parted before sorting."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest rows of each query, best first; equal ones by rising row.

    `rows` is (q, k) int64 and `similarities` (q, k) float32. Where fewer than k rows may answer,
    the rest is NO_ROW and minus infinity.
    """

    rows: RowArray
    similarities: FloatArray


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Rows of an index by falling similarity; equal ones by rising row.

    `rows` is (k,) int64, `similarities` (k,) float32, `queries` (k,) int64: which one was nearest.
    """

    rows: RowArray
    similarities: FloatArray
    queries: RowArray


class VectorIndex(Protocol):
    """Nearest neighbours by cosine among unit vectors. Safe to search from several threads."""

    @property
    def count(self) -> int:
        """How many rows there are, those that are masked among them."""
        ...

    def nearest(self, queries: FloatArray, k: int, *, allowed: RowMask | None = None) -> Nearest:
        """The k rows nearest to each of `queries` ((q, dim) float32 unit rows).

        `allowed` has an entry for each row; None lets all answer. Fewer than k rows are returned
        only where fewer may answer.
        """
        ...


def near_any(
    index: VectorIndex, queries: FloatArray, k: int, *, allowed: RowMask | None = None
) -> Neighbours:
    """The k rows nearest to any of `queries`: each counts with the query it is nearest to."""
    found = index.nearest(queries, k, allowed=allowed)
    is_row = found.rows != NO_ROW
    if len(queries) == 1:
        rows = found.rows[is_row]
        return Neighbours(rows, found.similarities[is_row], np.zeros(len(rows), dtype=np.int64))
    rows = found.rows[is_row]
    similarities = found.similarities[is_row]
    asked = np.broadcast_to(np.arange(len(found.rows))[:, None], found.rows.shape)[is_row]
    order = np.lexsort((asked, -similarities, rows))
    _, first = np.unique(rows[order], return_index=True)
    best = order[first]  # of each row the query that it is nearest to
    best = best[np.lexsort((rows[best], -similarities[best]))][:k]
    return Neighbours(rows[best], similarities[best], asked[best].astype(np.int64))


def best_of(rows: RowArray, similarities: FloatArray, k: int) -> Nearest:
    """The k best of (q, n) rows with their similarities; NO_ROW among them is passed over."""
    similarities = np.where(rows == NO_ROW, -np.inf, similarities)
    if 0 < k * NARROWED <= rows.shape[1]:
        # What is no worse than the k-th best: few are sorted sooner than many.
        near = similarities >= np.partition(similarities, -k, axis=1)[:, -k, None]
        picked = np.argsort(~near, axis=1, kind="stable")[:, : near.sum(axis=1).max(initial=0)]
        rows = np.take_along_axis(rows, picked, axis=1)
        similarities = np.take_along_axis(similarities, picked, axis=1)
    order = np.lexsort((rows, -similarities), axis=1)[:, :k]
    best = np.take_along_axis(rows, order, axis=1)
    scores = np.take_along_axis(similarities, order, axis=1)
    if (short := k - best.shape[1]) > 0:
        missing = ((0, 0), (0, short))
        best = np.pad(best, missing, constant_values=NO_ROW)
        scores = np.pad(scores, missing, constant_values=-np.inf)
    return Nearest(best.astype(np.int64), scores.astype(np.float32))
