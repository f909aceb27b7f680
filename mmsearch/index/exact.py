"""Exact search with NumPy over memory-mapped blocks: the oracle, fast to about 100k rows."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.index.base import NO_ROW, Nearest, RowArray, RowMask, best_of
from mmsearch.index.matrix import Matrix

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

SPARSE = 0.25
"""Where fewer rows than this share may answer, they are gathered before they are compared."""
GATHERED_ROWS = 4096
SCORED_ROWS = 65_536
"""Rows whose similarities are kept until the best of them are chosen."""
ALONE_ROWS = 16_384
"""Up to here a second thread costs more than it saves."""
FEW_QUERIES = 8


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
        turned = _turned(queries)

        def best_in(part: tuple[int, int]) -> Nearest:
            found = []
            for first in range(*part, SCORED_ROWS):
                end = min(first + SCORED_ROWS, part[1])
                scores = np.empty((end - first, len(queries)), dtype=np.float32)
                for begin, values in self.matrix.batches((first, end)):
                    np.matmul(values, turned, out=scores[begin - first :][: len(values)])
                found.append(_best(first, scores, k, allowed))
            return _merged(found, len(queries), k)

        # Many queries are one large product, for which the library of NumPy has threads of its own.
        is_small = self.count <= ALONE_ROWS or len(queries) > FEW_QUERIES
        threads = 1 if is_small else cpu_count()
        edges = np.linspace(0, self.count, threads + 1).astype(int).tolist()
        parts = list(pairwise(edges))
        if threads == 1:
            return best_in(parts[0])
        with ThreadPoolExecutor(threads) as pool:  # NumPy lets go of the interpreter meanwhile
            return _merged(pool.map(best_in, parts), len(queries), k)

    def among(self, rows: RowArray, queries: FloatArray, k: int) -> Nearest:
        """The k nearest of (n,) rising `rows` to each query; none but these are read."""
        turned = _turned(queries)
        found = []
        for begin in range(0, len(rows), GATHERED_ROWS):
            some = rows[begin : begin + GATHERED_ROWS]
            best = _best(0, self.matrix.take(some) @ turned, k, None)
            named = np.where(best.rows == NO_ROW, NO_ROW, some[best.rows])
            found.append(Nearest(named, best.similarities))
        return _merged(found, len(queries), k)


def _turned(queries: FloatArray) -> FloatArray:
    return np.ascontiguousarray(np.asarray(queries, dtype=np.float32).T)


def _best(begin: int, scores: FloatArray, k: int, allowed: RowMask | None) -> Nearest:
    """The k best of each column of (n, q) `scores`, whose first row has the number `begin`."""
    rows = np.arange(begin, begin + len(scores), dtype=np.int64)
    if allowed is not None:
        passing = allowed[rows]
        rows, scores = rows[passing], scores[passing]
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


def _merged(found: Iterable[Nearest], queries: int, k: int) -> Nearest:
    parts = list(found)
    if len(parts) == 1:
        return parts[0]
    rows = [np.empty((queries, 0), dtype=np.int64), *(one.rows for one in parts)]
    similarities = [np.empty((queries, 0), np.float32), *(one.similarities for one in parts)]
    return best_of(np.concatenate(rows, axis=1), np.concatenate(similarities, axis=1), k)
