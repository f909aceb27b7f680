"""A built index that stays right while the table goes on: with a tail, a mask, and a way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mmsearch.index.base import NO_ROW, Nearest, RowArray, RowMask, best_of
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.vector_matrix import Matrix

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

FEW_ROWS = 20_000
"""A filter that leaves no more than this is searched exactly: 3 ms at 512 dimensions."""
FEW_SHARE = 0.02
"""The same, as a share of all rows: below it an index looks at most of its rows in vain."""
SOME_ROWS, SOME_SHARE = 120_000, 0.12
"""So is one that leaves no more than both: 100,000 of a million took 14 to 22 ms, and 4 ms from the
third time on, where an index took 30, and of 64 queries at once a fifth; and none is missed."""
TAIL_BYTES = 4 << 20
"""A tail of no more than this is held in memory."""
MOST_CANDIDATES = 1024
GATHERED_ROWS = 4096
"""Candidates whose vectors are gathered at a time: 8 MB at 512 dimensions."""


class Candidates(Protocol):
    """A built index: rows that are probably near, by numbers of its own."""

    @property
    def count(self) -> int:
        """How many rows it was built over."""
        ...

    def candidates(
        self, queries: FloatArray, count: int, *, allowed: RowMask | None = None
    ) -> RowArray:
        """Rows of the index that are probably nearest to each of `queries`, in any order.

        About `count` for each, none twice, none that `allowed` leaves out; padded with NO_ROW.
        """
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A built index, and which rows of the matrix its own stand for now.

    `rows` has a row of the matrix for each of the index, NO_ROW for one that is gone; None where
    row i stands for row i. `tail` are the rows that came since. Of each query `refine` times as
    many candidates are compared exactly as are asked for; no more than MOST_CANDIDATES, unless two
    for each are more.
    """

    index: Candidates
    refine: int
    rows: RowArray | None
    tail: RowArray


class LiveIndex:
    """Answers for all rows of a matrix that are there; fulfils `VectorIndex`."""

    def __init__(
        self,
        matrix: Matrix,
        *,
        is_there: RowMask | None = None,
        built: Built | None = None,
        few_rows: int | None = None,
    ) -> None:
        """`few_rows`: what a filter leaves is compared exactly up to so many rows."""
        self._matrix = matrix
        self._exact = ExactIndex(matrix)
        self._is_there = is_there
        self._built = built
        # Which rows of the index are there still; None where all are.
        stays = None if built is None or built.rows is None else built.rows != NO_ROW
        self._stays = None if stays is None or stays.all() else stays
        # A short tail is read once, not at every query.
        tail = () if built is None else built.tail
        is_short = 0 < len(tail) * matrix.dim * 4 <= TAIL_BYTES
        self._tail = matrix.take(np.asarray(tail)) if is_short else None
        default = max(
            FEW_ROWS,
            int(FEW_SHARE * matrix.count),
            min(SOME_ROWS, int(SOME_SHARE * matrix.count)),
        )
        self._few_rows = default if few_rows is None else few_rows

    @property
    def count(self) -> int:
        """How many rows there are, those that are gone among them."""
        return self._matrix.count

    def nearest(self, queries: FloatArray, k: int, *, allowed: RowMask | None = None) -> Nearest:
        """The k rows nearest to each of `queries` ((q, dim) float32 unit rows)."""
        passing = self._is_there
        if allowed is not None:
            passing = allowed if passing is None else allowed & passing
        if self._built is None or not self.count or not len(queries):
            return self._exact.nearest(queries, k, allowed=passing)
        if allowed is not None and passing is not None:
            left = int(np.count_nonzero(passing))
            if left <= self._few_rows:
                return self._exact.nearest(queries, k, allowed=passing)
        found = self._refined(self._built, queries, k, passing)
        if _is_short(found, k, passing, self.count):
            # Rare: an index that was built when much was there that is gone now.
            return self._exact.nearest(queries, k, allowed=passing)
        return found

    def _refined(
        self, built: Built, queries: FloatArray, k: int, passing: RowMask | None
    ) -> Nearest:
        within = self._stays
        if passing is not None:
            within = passing[: built.index.count] if built.rows is None else passing[built.rows]
            within = within if self._stays is None else within & self._stays
            within = None if within.all() else within
        # Of hundreds of rows that are wanted the last are not worth thousands of candidates.
        count = min(k * built.refine, max(2 * k, MOST_CANDIDATES))
        rows = built.index.candidates(queries, count, allowed=within)
        if built.rows is not None:
            rows = np.where(rows == NO_ROW, NO_ROW, built.rows[rows])
        near = compared(self._matrix, queries, rows, k)
        if not len(built.tail):
            return near
        if passing is None and self._tail is not None:
            rows = np.broadcast_to(built.tail, (len(queries), len(built.tail)))
            # Not `queries @ tail`: threads of BLAS wait for those of FAISS, for milliseconds.
            late = best_of(rows, np.vecdot(queries[:, None], self._tail), k)
        else:
            tail = built.tail if passing is None else built.tail[passing[built.tail]]
            late = self._exact.among(tail, queries, k)
        return best_of(
            np.concatenate([near.rows, late.rows], axis=1),
            np.concatenate([near.similarities, late.similarities], axis=1),
            k,
        )


def compared(matrix: Matrix, queries: FloatArray, rows: RowArray, k: int) -> Nearest:
    """The k best of (q, n) candidate `rows`, by their own vectors."""
    similarities = np.empty(rows.shape, dtype=np.float32)
    step = max(1, GATHERED_ROWS // max(1, rows.shape[1]))
    for begin in range(0, len(rows), step):
        some = rows[begin : begin + step]
        vectors = matrix.take(np.maximum(some, 0).ravel()).reshape(*some.shape, matrix.dim)
        asked = queries[begin : begin + step, None]
        similarities[begin : begin + step] = np.vecdot(vectors, asked)
    return best_of(rows, similarities, k)


def _is_short(found: Nearest, k: int, passing: RowMask | None, count: int) -> bool:
    """Whether fewer rows answered than might."""
    if not (found.rows == NO_ROW).any():
        return False
    might = count if passing is None else int(np.count_nonzero(passing))
    return bool((np.count_nonzero(found.rows != NO_ROW, axis=1) < min(k, might)).any())
