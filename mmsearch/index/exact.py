"""Exact search with NumPy over memory-mapped blocks: the oracle, fast to about 100k rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.index.base import Nearest, RowArray, RowMask, best_of
from mmsearch.index.matrix import Matrix

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

SPARSE = 0.25
"""Where fewer rows than this share may answer, they are gathered before they are compared."""
SCORED_ROWS = 65_536
"""Rows whose similarities are kept until the best of them are chosen."""
ALONE_BYTES = 4 << 20
"""Up to so much of vectors a second thread costs more than it saves."""
FEW_QUERIES = 8
"""More are one large product, for which the library below NumPy has threads of its own."""


class ExactIndex:
    """Compares every row that may answer; fulfils `mmsearch.index.base.VectorIndex`."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.matrix.count

    def nearest(self, queries: FloatArray, k: int, *, allowed: RowMask | None = None) -> Nearest:
        """The k rows nearest to each of `queries` ((q, dim) float32 unit rows)."""
        if allowed is not None:
            rows = np.flatnonzero(allowed)
            if len(rows) <= SPARSE * self.count:
                return self.among(rows, queries, k)

        def best_in(first: int, end: int, turned: FloatArray) -> Nearest:
            scores = np.empty((end - first, len(queries)), dtype=np.float32)
            for begin, values in self.matrix.batches((first, end), is_kept=False):
                _multiply(values, turned, scores[begin - first :][: len(values)])
            numbers = np.arange(first, end, dtype=np.int64)
            if allowed is not None:
                passing = allowed[first:end]
                numbers, scores = numbers[passing], scores[passing]
            return _best(numbers, scores, k)

        return self._merged(best_in, self.count, queries, k)

    def among(self, rows: RowArray, queries: FloatArray, k: int) -> Nearest:
        """The k nearest of (n,) rising `rows` to each query; none but these are read."""
        step = self.matrix.batch_rows

        def best_in(first: int, end: int, turned: FloatArray) -> Nearest:
            scores = np.empty((end - first, len(queries)), dtype=np.float32)
            for begin in range(first, end, step):
                some = rows[begin : min(begin + step, end)]
                at = begin - first
                _multiply(self.matrix.take(some), turned, scores[at : at + len(some)])
            return _best(rows[first:end], scores, k)

        return self._merged(best_in, len(rows), queries, k)

    def _merged(
        self,
        best_in: Callable[[int, int, FloatArray], Nearest],
        count: int,
        queries: FloatArray,
        k: int,
    ) -> Nearest:
        """The best of all parts of `count` rows, each part looked through in a thread."""
        turned = np.ascontiguousarray(np.asarray(queries, dtype=np.float32).T)
        is_small = count * self.matrix.dim * 2 <= ALONE_BYTES or len(queries) > FEW_QUERIES
        threads = 1 if is_small else cpu_count()
        size = min(SCORED_ROWS, max(1, -(-count // threads)))
        parts = [(first, min(first + size, count)) for first in range(0, count, size)]
        found: Iterable[Nearest]
        if threads == 1:
            found = (best_in(first, end, turned) for first, end in parts)
        else:  # NumPy lets go of the interpreter meanwhile
            found = _threads().map(lambda part: best_in(part[0], part[1], turned), parts)
        return _joined(found, len(queries), k)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cpu_count(), thread_name_prefix="exact")


def _multiply(values: FloatArray, turned: FloatArray, out: FloatArray) -> None:
    """(n, dim) times (dim, q) into (n, q)."""
    if turned.shape[1] == 1:
        # For one column BLAS would begin threads of its own, beside those that call it.
        np.vecdot(values, turned[:, 0], out=out[:, 0])
    else:
        np.matmul(values, turned, out=out)


def _best(rows: RowArray, scores: FloatArray, k: int) -> Nearest:
    """The k best of (n,) rising rows for each column of their (n, q) scores."""
    if len(rows) <= k:
        named = np.broadcast_to(rows, (scores.shape[1], len(rows)))
        return best_of(named, np.ascontiguousarray(scores.T), k)
    kept = np.empty((scores.shape[1], k), dtype=np.int64)
    for query, column in enumerate(scores.T):
        # By partition first: sorting a hundred thousand rows costs more than comparing them. It
        # says which similarity is the k-th; of the rows that have it, the first are kept.
        least = np.partition(column, len(column) - k)[len(column) - k]
        above = np.flatnonzero(column > least)
        equal = np.flatnonzero(column == least)
        kept[query] = np.concatenate([above, equal[: k - len(above)]])
    return best_of(rows[kept], np.take_along_axis(scores.T, kept, axis=1), k)


def _joined(found: Iterable[Nearest], queries: int, k: int) -> Nearest:
    parts = list(found)
    if len(parts) == 1:
        return parts[0]
    rows = [np.empty((queries, 0), dtype=np.int64), *(one.rows for one in parts)]
    similarities = [np.empty((queries, 0), np.float32), *(one.similarities for one in parts)]
    return best_of(np.concatenate(rows, axis=1), np.concatenate(similarities, axis=1), k)
