"""Exact search over memory-mapped blocks: the oracle, fast to about 100k rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.index.base import Nearest, RowArray, RowMask, best_of
from mmsearch.index.coarse_copy import Coarse, Question
from mmsearch.index.filtered_vectors import Filtered, Left
from mmsearch.index.inner_products import FEW_QUERIES, Products
from mmsearch.index.vector_matrix import Block, Matrix
from mmsearch.runtime.concurrency import started

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

GROUPS = 8
"""Groups for each of the k best, when the k-th is looked for."""
COARSE_AFTER = 4
"""Queries that are asked before a coarse copy is worth making: a command asks one or two."""
COARSE_BYTES = 128 << 20
"""Above it there is no coarse copy."""
COARSE_SHARE = 8
"""Where more than one in so many rows cannot be told from the best by it, it is not used again."""
NOWHERE = np.finfo(np.float32).min
"""Less than any product; that of a row that may not answer is minus infinity."""


class Scored(NamedTuple):
    """Rows, rising, and the products of each with one query: between `least` and `most`."""

    rows: RowArray
    least: FloatArray
    most: FloatArray


Scores = Callable[[int, int], tuple[RowArray, "FloatArray", "FloatArray"]]
"""Gives rows, their (n, q) products, and the slack of these, of n or 1 rows."""
Gathered = Callable[[int, int], Iterable[Block]]
"""Gives the vectors of rows, between two places among them."""


class ExactIndex:
    """Compares every row that may answer; fulfils `mmsearch.index.base.VectorIndex`.

    All rows are compared with the query as they are stored, or as a copy in 8 bits has them when a
    few queries were asked, which tells to within a slack how near they are; those that are too
    near to the k-th to be told from it are compared in float32.
    """

    def __init__(self, matrix: Matrix, *, coarse_after: int = COARSE_AFTER) -> None:
        """`coarse_after`: queries after which the copy is made, aside."""
        self.matrix = matrix
        size = matrix.count * matrix.dim
        self._wants_coarse = 2 * size > ALONE_BYTES and size <= COARSE_BYTES
        self._until_coarse = coarse_after
        self._coarse: Future[Coarse] | None = None
        self._filtered = Filtered(matrix)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.matrix.count

    def nearest(self, queries: FloatArray, k: int, *, allowed: RowMask | None = None) -> Nearest:
        """The k rows nearest to each of `queries` ((q, dim) float32 unit rows)."""
        if allowed is not None:
            passing = int(np.count_nonzero(allowed))
            if passing <= SPARSE * self.count:
                return self._left(self._filtered.by(allowed, passing), queries, k)
        is_few = 0 < len(queries) <= FEW_QUERIES and k * COARSE_SHARE <= self.count
        coarse = self._ready() if is_few else None
        if coarse is not None:
            scored = self._all(coarsely(coarse, queries), allowed)
            near = self._best(scored, self.count, len(queries), k)
            if max(map(len, near)) * COARSE_SHARE <= self.count:
                return self._compared(near, queries, k)
            self._wants_coarse = False
        products = self._products(queries)

        def stored(first: int, end: int) -> tuple[FloatArray, FloatArray]:
            parts = [products.of(block) for _, block in self.matrix.parts(first, end)]
            return parts[0] if len(parts) == 1 else np.concatenate(parts), products.slack[None]

        near = self._best(self._all(stored, allowed), self.count, len(queries), k)
        return self._compared(near, queries, k)

    def among(self, rows: RowArray, queries: FloatArray, k: int) -> Nearest:
        """The k nearest of (n,) rising `rows` to each query; none but these are read."""
        return self._among(rows, self._gather(rows), queries, k)

    def _left(self, left: Left, queries: FloatArray, k: int) -> Nearest:
        """The k nearest of those that a filter leaves; their vectors are kept if it came again."""
        if (vectors := left.vectors) is not None:
            return self._among(left.rows, lambda first, end: [vectors[first:end]], queries, k)
        if not left.came_again:
            return self.among(left.rows, queries, k)
        kept = np.empty((len(left.rows), self.matrix.dim), dtype=self.matrix.dtype)
        found = self._among(left.rows, self._gather(left.rows, kept), queries, k)
        if len(queries):
            self._filtered.keep(left, kept)
        return found

    def _gather(self, rows: RowArray, into: Block | None = None) -> Gathered:
        """Vectors of the rows, as many at a time as the cache holds; copied to `into` besides."""
        step = max(1, GATHERED_BYTES // (2 * max(1, self.matrix.dim)))

        def gathered(first: int, end: int) -> Iterator[Block]:
            for begin in range(first, end, step):
                part = slice(begin, min(begin + step, end))
                vectors = self.matrix.stored(rows[part])
                if into is not None:
                    into[part] = vectors
                yield vectors

        return gathered

    def _among(self, rows: RowArray, gathered: Gathered, queries: FloatArray, k: int) -> Nearest:
        products = self._products(queries)

        def scored(first: int, end: int) -> tuple[RowArray, FloatArray, FloatArray]:
            parts = [products.of(vectors) for vectors in gathered(first, end)]
            scores = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return rows[first:end], scores, products.slack[None]

        return self._compared(self._best(scored, len(rows), len(queries), k), queries, k)

    def _products(self, queries: FloatArray) -> Products:
        return Products(queries, self.matrix.dtype)

    def _ready(self) -> Coarse | None:
        """The coarse copy, where it is made; it is made aside when enough was asked."""
        if not self._wants_coarse:
            return None
        if self._coarse is None:
            self._until_coarse -= 1  # of two threads one may go uncounted
            if self._until_coarse <= 0:
                self._coarse = started(lambda: Coarse.of(self.matrix))
            return None
        if not self._coarse.done():
            return None
        if self._coarse.exception() is not None:  # no memory for it: things go on without
            self._wants_coarse = False
            return None
        return self._coarse.result()

    @staticmethod
    def _all(
        scores: Callable[[int, int], tuple[FloatArray, FloatArray]], allowed: RowMask | None
    ) -> Scores:
        """All rows in their order, those that may not answer nowhere."""

        def scored(first: int, end: int) -> tuple[RowArray, FloatArray, FloatArray]:
            found, slack = scores(first, end)
            if allowed is not None:
                found[~allowed[first:end]] = -np.inf
            return np.arange(first, end, dtype=np.int64), found, slack

        return scored

    def _best(self, scored: Scores, count: int, queries: int, k: int) -> list[RowArray]:
        """Rows that may be among the k best of `count` for each of `queries`.

        Each part of them is looked through in a thread.
        """

        def near(part: tuple[int, int]) -> list[Scored]:
            rows, scores, slack = scored(*part)
            return [
                _narrowed(
                    Scored(rows, scores[:, at] - slack[:, at], scores[:, at] + slack[:, at]), k
                )
                for at in range(queries)
            ]

        if not count or not queries:
            return [np.empty(0, dtype=np.int64)] * queries
        threads = 1 if count * self.matrix.dim * 2 <= ALONE_BYTES else cpu_count()
        size = min(SCORED_ROWS, SCORED // queries + 1, -(-count // threads))
        parts = [(first, min(first + size, count)) for first in range(0, count, size)]
        found: Iterable[list[Scored]]
        # NumPy and NumKong let go of the interpreter meanwhile.
        found = map(near, parts) if threads == 1 else _threads().map(near, parts)
        return [_joined(list(one), k) for one in zip(*found, strict=True)]

    def _compared(self, near: list[RowArray], queries: FloatArray, k: int) -> Nearest:
        """The k best of the rows for each query, by their own vectors."""
        found = [
            best_of(
                rows[None],
                np.vecdot(self.matrix.take(rows), np.asarray(query, dtype=np.float32))[None],
                k,
            )
            for rows, query in zip(near, queries, strict=True)
        ]
        if not found:
            none = np.empty((0, k))
            return Nearest(none.astype(np.int64), none.astype(np.float32))
        return Nearest(
            np.concatenate([one.rows for one in found]),
            np.concatenate([one.similarities for one in found]),
        )


def coarsely(
    coarse: Coarse, queries: FloatArray
) -> Callable[[int, int], tuple[FloatArray, FloatArray]]:
    """Products with each query, by the coarse copy, and their slack."""
    asked = [Question.of(query) for query in queries]

    def scores(first: int, end: int) -> tuple[FloatArray, FloatArray]:
        pairs = [coarse.scores(one, first, end) for one in asked]
        products, slack = (np.stack(one, axis=1) for one in zip(*pairs, strict=True))
        return products, slack

    return scores


def _narrowed(scored: Scored, k: int) -> Scored:
    """Those that may be among the k best."""
    least = _kth(scored.least, k) if len(scored.rows) > k else NOWHERE
    near = np.flatnonzero(scored.most >= max(least, NOWHERE))
    return Scored(scored.rows[near], scored.least[near], scored.most[near])


def _kth(scores: FloatArray, k: int) -> np.floating:
    """The k-th best of more than k scores.

    By partition, of what is no worse than the k-th best of the best of small groups: sorting a
    hundred thousand, and even one partition of them, costs more than comparing the rows.
    """
    groups = GROUPS * k
    if len(scores) >= 4 * groups:
        width = len(scores) // groups
        best = scores[: width * groups].reshape(width, groups).max(axis=0)
        scores = scores[scores >= np.partition(best, groups - k)[groups - k]]
    found: np.floating = np.partition(scores, len(scores) - k)[len(scores) - k]
    return found


def _joined(parts: list[Scored], k: int) -> RowArray:
    """The rows of all parts that may be among the k best of all."""
    if len(parts) == 1:
        return parts[0].rows
    return _narrowed(Scored(*(np.concatenate(one) for one in zip(*parts, strict=True))), k).rows


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cpu_count(), thread_name_prefix="exact")
