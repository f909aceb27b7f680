"""The protocol of vector indexes, and the values that a search of one returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
RowMask = NDArray[np.bool_]
RowArray = NDArray[np.int64]

NO_ROW = -1
PARTITION_FACTOR = 3
"""With this many times more rows than wanted, they are partitioned before they are sorted."""


@dataclass(frozen=True, slots=True)
class NearestRows:
    """The nearest rows of each query, best first; equal ones by rising row.

    `rows` is (q, k) int64 and `similarities` (q, k) float32. If fewer than k rows are allowed, the
    rest is NO_ROW and minus infinity.
    """

    rows: RowArray
    similarities: FloatArray


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Rows of an index by falling similarity to the nearest of several queries.

    `rows` is (k,) int64, `similarities` (k,) float32, `queries` (k,) int64: the number of the query
    that is nearest to the row. Equal ones come by rising row.
    """

    rows: RowArray
    similarities: FloatArray
    queries: RowArray


class VectorIndex(Protocol):
    """Nearest neighbours by cosine among unit vectors. Safe to search from several threads."""

    @property
    def count(self) -> int:
        """The number of rows, masked ones included."""

    def nearest(
        self, queries: FloatArray, k: int, *, allowed: RowMask | None = None
    ) -> NearestRows:
        """Returns the k rows nearest to each of `queries` ((q, dim) float32 unit rows).

        `allowed` has an entry for each row; None allows all. Fewer than k rows are returned only
        if fewer are allowed.
        """


def find_nearest_to_any(
    index: VectorIndex, queries: FloatArray, k: int, *, allowed: RowMask | None = None
) -> Neighbours:
    """Returns the k rows nearest to any of `queries`, each with the query it is nearest to."""
    nearest = index.nearest(queries, k, allowed=allowed)
    is_row = nearest.rows != NO_ROW
    rows, similarities = nearest.rows[is_row], nearest.similarities[is_row]
    if len(queries) == 1:
        return Neighbours(rows, similarities, np.zeros(len(rows), dtype=np.int64))
    query_numbers = np.broadcast_to(np.arange(len(is_row))[:, None], is_row.shape)[is_row]
    order = np.lexsort((query_numbers, -similarities, rows))
    _, first = np.unique(rows[order], return_index=True)
    best = order[first]  # the nearest query of each row
    best = best[np.lexsort((rows[best], -similarities[best]))][:k]
    return Neighbours(rows[best], similarities[best], query_numbers[best].astype(np.int64))


def select_best(rows: RowArray, similarities: FloatArray, k: int) -> NearestRows:
    """Selects the k best of (q, n) rows by their similarities; skips NO_ROW."""
    similarities = np.where(rows == NO_ROW, -np.inf, similarities)
    if 0 < k * PARTITION_FACTOR <= rows.shape[1]:
        # Sort only those that are no worse than the k-th best.
        is_near = similarities >= np.partition(similarities, -k, axis=1)[:, -k, None]
        picked = np.argsort(~is_near, axis=1, kind="stable")[
            :, : is_near.sum(axis=1).max(initial=0)
        ]
        rows = np.take_along_axis(rows, picked, axis=1)
        similarities = np.take_along_axis(similarities, picked, axis=1)
    order = np.lexsort((rows, -similarities), axis=1)[:, :k]
    best = np.take_along_axis(rows, order, axis=1)
    scores = np.take_along_axis(similarities, order, axis=1)
    if (missing_count := k - best.shape[1]) > 0:
        padding = ((0, 0), (0, missing_count))
        best = np.pad(best, padding, constant_values=NO_ROW)
        scores = np.pad(scores, padding, constant_values=-np.inf)
    return NearestRows(best.astype(np.int64), scores.astype(np.float32))
