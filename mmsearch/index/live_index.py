"""An index over a growing table: a brute-force tail, a deletion mask, exact search as fallback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mmsearch.index.base import NO_ROW, FloatArray, NearestRows, RowArray, RowMask, select_best
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.vector_matrix import Matrix

FEW_ROWS = 20_000
"""A filter that allows at most so many rows is searched exactly: 3 ms at 512 dimensions."""
FEW_SHARE = 0.02
"""The same as a share of all rows: below it an index reads most of its rows in vain."""
SOME_ROWS, SOME_SHARE = 120_000, 0.12
"""So is one that allows no more than both: 100,000 of a million took 14 to 22 ms, and 4 ms from the
third time on, where an index took 30, and of 64 queries at once a fifth; and none is missed."""
TAIL_BYTES = 4 << 20
"""A tail of at most this size is held in memory."""
MAX_CANDIDATES = 1024
GATHERED_ROWS = 4096
"""Candidates whose vectors are gathered at a time: 8 MB at 512 dimensions."""


class CandidateIndex(Protocol):
    """An approximate index, which numbers its rows itself."""

    @property
    def count(self) -> int:
        """The number of rows that it was built over."""

    def find_candidates(
        self, queries: FloatArray, count: int, *, allowed: RowMask | None = None
    ) -> RowArray:
        """Returns rows of the index that are probably nearest to each of `queries`, in any order.

        About `count` for each, none twice, only those in `allowed`; padded with NO_ROW.
        """


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """An index, and the rows of the matrix that its own rows stand for now.

    `rows` has a row of the matrix for each of the index, NO_ROW for a removed one; None if the rows
    are the same. `tail` are the rows added since. For each wanted row `refine` candidates are
    compared exactly; at most MAX_CANDIDATES, unless two for each are more.
    """

    index: CandidateIndex
    refine: int
    rows: RowArray | None
    tail: RowArray


class LiveIndex:
    """An index of the remaining rows of a matrix; fulfils `VectorIndex`."""

    def __init__(
        self,
        matrix: Matrix,
        *,
        is_there: RowMask | None = None,
        built: BuiltIndex | None = None,
        few_rows: int | None = None,
    ) -> None:
        """`few_rows`: the rows of a filter are compared exactly up to this number."""
        self._matrix = matrix
        self._exact = ExactIndex(matrix)
        self._is_there = is_there
        self._built = built
        remains = None if built is None or built.rows is None else built.rows != NO_ROW
        self._remains = None if remains is None or remains.all() else remains  # None for all
        # A short tail is read once, not at every query.
        tail = () if built is None else built.tail
        is_short = 0 < len(tail) * matrix.dim * 4 <= TAIL_BYTES
        self._tail = matrix.take(np.asarray(tail)) if is_short else None
        if few_rows is None:
            some_rows = min(SOME_ROWS, int(SOME_SHARE * matrix.count))
            few_rows = max(FEW_ROWS, int(FEW_SHARE * matrix.count), some_rows)
        self._few_rows = few_rows

    @property
    def count(self) -> int:
        """The number of rows, removed ones included."""
        return self._matrix.count

    def nearest(
        self, queries: FloatArray, k: int, *, allowed: RowMask | None = None
    ) -> NearestRows:
        """Returns the k rows nearest to each of `queries` ((q, dim) float32 unit rows)."""
        mask = self._is_there
        is_few = self._built is None
        if allowed is not None:
            mask = allowed if mask is None else allowed & mask
            is_few = is_few or int(np.count_nonzero(mask)) <= self._few_rows
        if self._built is None or is_few or not self.count or not len(queries):
            return self._exact.nearest(queries, k, allowed=mask)
        nearest = self._search_index(self._built, queries, k, mask)
        if _is_incomplete(nearest, k, mask, self.count):
            # Rare: many rows of the index have been removed since it was built.
            return self._exact.nearest(queries, k, allowed=mask)
        return nearest

    def _search_index(
        self, built: BuiltIndex, queries: FloatArray, k: int, mask: RowMask | None
    ) -> NearestRows:
        index_mask = self._remains
        if mask is not None:
            index_mask = mask[: built.index.count] if built.rows is None else mask[built.rows]
            index_mask = index_mask if self._remains is None else index_mask & self._remains
            index_mask = None if index_mask.all() else index_mask
        # Of hundreds of wanted rows the last are not worth thousands of candidates.
        count = min(k * built.refine, max(2 * k, MAX_CANDIDATES))
        rows = built.index.find_candidates(queries, count, allowed=index_mask)
        if built.rows is not None:
            rows = np.where(rows == NO_ROW, NO_ROW, built.rows[rows])
        near = rank_by_vectors(self._matrix, queries, rows, k)
        if not len(built.tail):
            return near
        if mask is None and self._tail is not None:
            rows = np.broadcast_to(built.tail, (len(queries), len(built.tail)))
            # Not `queries @ tail`: threads of BLAS wait for those of FAISS, for milliseconds.
            added = select_best(rows, np.vecdot(queries[:, None], self._tail), k)
        else:
            tail = built.tail if mask is None else built.tail[mask[built.tail]]
            added = self._exact.search_among(tail, queries, k)
        return select_best(
            np.concatenate([near.rows, added.rows], axis=1),
            np.concatenate([near.similarities, added.similarities], axis=1),
            k,
        )


def rank_by_vectors(matrix: Matrix, queries: FloatArray, rows: RowArray, k: int) -> NearestRows:
    """Returns the k best of (q, n) candidate `rows`, by their own vectors."""
    similarities = np.empty(rows.shape, dtype=np.float32)
    step = max(1, GATHERED_ROWS // max(1, rows.shape[1]))
    for begin in range(0, len(rows), step):
        part = rows[begin : begin + step]
        vectors = matrix.take(np.maximum(part, 0).ravel()).reshape(*part.shape, matrix.dim)
        similarities[begin : begin + step] = np.vecdot(vectors, queries[begin : begin + step, None])
    return select_best(rows, similarities, k)


def _is_incomplete(nearest: NearestRows, k: int, mask: RowMask | None, count: int) -> bool:
    """Returns True if a query has fewer rows than are allowed."""
    is_row = nearest.rows != NO_ROW
    if is_row.all():
        return False
    allowed_count = count if mask is None else int(np.count_nonzero(mask))
    return bool((np.count_nonzero(is_row, axis=1) < min(k, allowed_count)).any())
