"""Exact search over memory-mapped blocks: the oracle, fast to about 100k rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.config import cpu_count
from mmsearch.index.base import Nearest, RowArray, RowMask, best_of
from mmsearch.index.matrix import Matrix
from mmsearch.index.products import Products

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

SPARSE = 0.25
"""Where fewer rows than this share may answer, they are gathered before they are compared."""
SCORED_ROWS, SCORED = 65_536, 1 << 23
"""Rows, and similarities to all queries, that are kept until the best of them are chosen."""
ALONE_BYTES = 4 << 20
"""Up to so much of vectors a second thread costs more than it saves."""
GATHERED_BYTES = 1 << 20
"""Rows that are gathered at a time: they are multiplied while the cache has them. Of a million
vectors 10,000 took 2.4 ms at four times as much, 1.0 ms so."""

Scored = tuple[RowArray, NDArray[Any]]
"""Rows, rising, and the similarity of each to one query, to within a slack."""


class ExactIndex:
    """Compares every row that may answer; fulfils `mmsearch.index.base.VectorIndex`.

    All rows are compared with the query as they are stored, which tells to within a slack how near
    they are; those that are too near to the k-th to be told from it are compared in float32.
    """

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
        products = self._products(queries)

        def scored(first: int, end: int) -> tuple[RowArray, NDArray[Any]]:
            parts = [products.of(block) for _, block in self.matrix.parts(first, end)]
            scores = parts[0] if len(parts) == 1 else np.concatenate(parts)
            numbers = np.arange(first, end, dtype=np.int64)
            if allowed is None:
                return numbers, scores
            passing = allowed[first:end]
            return numbers[passing], scores[passing]

        return self._best(scored, self.count, products, queries, k)

    def among(self, rows: RowArray, queries: FloatArray, k: int) -> Nearest:
        """The k nearest of (n,) rising `rows` to each query; none but these are read."""
        products = self._products(queries)
        step = max(1, GATHERED_BYTES // (2 * max(1, self.matrix.dim)))

        def scored(first: int, end: int) -> tuple[RowArray, NDArray[Any]]:
            parts = [
                products.of(self.matrix.stored(rows[begin : min(begin + step, end)]))
                for begin in range(first, end, step)
            ]
            return rows[first:end], parts[0] if len(parts) == 1 else np.concatenate(parts)

        return self._best(scored, len(rows), products, queries, k)

    def _products(self, queries: FloatArray) -> Products:
        blocks = self.matrix.blocks
        is_half = bool(blocks) and all(block.dtype == np.float16 for block in blocks)
        return Products(queries, np.dtype(np.float16 if is_half else np.float32))

    def _best(
        self,
        scored: Callable[[int, int], tuple[RowArray, NDArray[Any]]],
        count: int,
        products: Products,
        queries: FloatArray,
        k: int,
    ) -> Nearest:
        """The best of all parts of `count` rows, each part looked through in a thread."""

        def near(part: tuple[int, int]) -> list[Scored]:
            rows, scores = scored(*part)
            return [
                _near(rows, column, k, slack)
                for column, slack in zip(scores.T, products.slack.tolist(), strict=True)
            ]

        if not count or not len(queries):
            none = np.empty((len(queries), 0))
            return best_of(none.astype(np.int64), none.astype(np.float32), k)
        threads = 1 if count * self.matrix.dim * 2 <= ALONE_BYTES else cpu_count()
        size = min(SCORED_ROWS, SCORED // len(queries) + 1, -(-count // threads))
        parts = [(first, min(first + size, count)) for first in range(0, count, size)]
        found: Iterable[list[Scored]]
        # NumPy and NumKong let go of the interpreter meanwhile.
        found = map(near, parts) if threads == 1 else _threads().map(near, parts)
        listed = list(found)
        nearest = [
            self._compared([one[number] for one in listed], query, k, slack)
            for number, (query, slack) in enumerate(
                zip(queries, products.slack.tolist(), strict=True)
            )
        ]
        return Nearest(
            np.concatenate([one.rows for one in nearest]),
            np.concatenate([one.similarities for one in nearest]),
        )

    def _compared(self, parts: list[Scored], query: FloatArray, k: int, slack: float) -> Nearest:
        """The k best of the rows of all parts, by their own vectors."""
        rows = np.concatenate([np.empty(0, dtype=np.int64), *(part[0] for part in parts)])
        if len(parts) > 1:
            scores = np.concatenate([part[1] for part in parts])
            rows, _ = _near(rows, scores, k, slack)
        similarities = np.vecdot(self.matrix.take(rows), np.asarray(query, dtype=np.float32))
        return best_of(rows[None], similarities[None], k)


def _near(rows: RowArray, scores: NDArray[Any], k: int, slack: float) -> Scored:
    """Those of (n,) rows that may be among the k best, each score being off by up to `slack`."""
    if len(rows) <= k:
        return rows, scores
    # By partition: sorting a hundred thousand rows costs more than comparing them.
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    near = scores >= least - 2 * slack
    return rows[near], scores[near]


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cpu_count(), thread_name_prefix="exact")
