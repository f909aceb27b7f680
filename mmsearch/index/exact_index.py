"""Exact search over memory-mapped blocks: the ground truth, fast to about 100k rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.index.base import FloatArray, NearestRows, RowArray, RowMask, select_best
from mmsearch.index.coarse_copy import CoarseCopy, QuantizedQuery
from mmsearch.index.filtered_vectors import FilterCache, FilteredRows
from mmsearch.index.inner_products import FEW_QUERIES, InnerProducts
from mmsearch.index.vector_matrix import Block, Matrix
from mmsearch.runtime.concurrency import run_in_thread

SPARSE = 0.25
"""If a filter allows less than this share of the rows, they are gathered before the comparison."""
SCORED_ROWS, SCORED = 65_536, 1 << 23
"""Rows, and similarities to all queries, that are in memory until the best of them are chosen."""
ALONE_BYTES = 4 << 20
"""For so much of vectors a second thread costs more than it saves."""
GATHERED_BYTES = 1 << 20
"""Rows that are gathered at a time: they are multiplied while the cache has them. Of a million
vectors 10,000 took 2.4 ms at four times as much, 1.0 ms so."""

GROUPS = 8
"""Groups for each of the k best, in the search for the k-th."""
COARSE_AFTER = 4
"""Queries before a coarse copy is worth making: a command has one or two."""
COARSE_BYTES = 128 << 20
"""Above it there is no coarse copy."""
COARSE_SHARE = 8
"""The coarse copy is given up if it cannot rule out more than one in so many rows."""
LEAST_SCORE = np.finfo(np.float32).min
"""Less than any product; that of a row that is not allowed is minus infinity."""


class ScoreBounds(NamedTuple):
    """Rows, rising, and bounds of the product of each with one query."""

    rows: RowArray
    least: FloatArray
    most: FloatArray


RangeScorer = Callable[[int, int], tuple[FloatArray, FloatArray]]
"""Returns the (n, q) products of a range of rows, and the slack of these, of n or 1 rows."""
RowScorer = Callable[[int, int], tuple[RowArray, FloatArray, FloatArray]]
"""Returns rows, their (n, q) products, and the slack of these, of n or 1 rows."""
BlockReader = Callable[[int, int], Iterable[Block]]
"""Returns the vectors of rows, between two positions among them."""


class ExactIndex:
    """Compares every allowed row; fulfils `mmsearch.index.base.VectorIndex`.

    All rows are compared with the query as they are stored, or after a few queries by a copy in
    8 bits, which gives their similarity to within a slack; those that are too near to the k-th to
    be told from it are compared in float32.
    """

    def __init__(self, matrix: Matrix, *, coarse_after: int = COARSE_AFTER) -> None:
        """`coarse_after`: queries after which the copy is made, in the background."""
        self.matrix = matrix
        size = matrix.count * matrix.dim
        self._wants_coarse = 2 * size > ALONE_BYTES and size <= COARSE_BYTES
        self._until_coarse = coarse_after
        self._coarse: Future[CoarseCopy] | None = None
        self._filtered = FilterCache(matrix)

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.matrix.count

    def nearest(
        self, queries: FloatArray, k: int, *, allowed: RowMask | None = None
    ) -> NearestRows:
        """Returns the k rows nearest to each of `queries` ((q, dim) float32 unit rows)."""
        if allowed is not None:
            allowed_count = int(np.count_nonzero(allowed))
            if allowed_count <= SPARSE * self.count:
                filtered = self._filtered.look_up(allowed, allowed_count)
                return self._search_filtered(filtered, queries, k)
        is_few = 0 < len(queries) <= FEW_QUERIES and k * COARSE_SHARE <= self.count
        coarse = self._get_coarse_copy() if is_few else None
        if coarse is not None:
            scorer = _score_all(score_coarsely(coarse, queries), allowed)
            candidates = self._find_candidates(scorer, self.count, len(queries), k)
            if max(map(len, candidates)) * COARSE_SHARE <= self.count:
                return self._rank_by_vectors(candidates, queries, k)
            self._wants_coarse = False
        products = InnerProducts(queries, self.matrix.dtype)

        def score_stored(first: int, end: int) -> tuple[FloatArray, FloatArray]:
            parts = [products.multiply(block) for _, block in self.matrix.iter_parts(first, end)]
            return parts[0] if len(parts) == 1 else np.concatenate(parts), products.slack[None]

        scorer = _score_all(score_stored, allowed)
        candidates = self._find_candidates(scorer, self.count, len(queries), k)
        return self._rank_by_vectors(candidates, queries, k)

    def search_among(self, rows: RowArray, queries: FloatArray, k: int) -> NearestRows:
        """Returns the k nearest of (n,) rising `rows` to each query; reads only these."""
        return self._search_blocks(rows, self._make_reader(rows), queries, k)

    def _search_filtered(self, filtered: FilteredRows, queries: FloatArray, k: int) -> NearestRows:
        """Searches the rows that a filter allows; caches their vectors for a repeated one."""
        rows = filtered.rows
        if (vectors := filtered.vectors) is not None:
            return self._search_blocks(rows, lambda first, end: [vectors[first:end]], queries, k)
        if not filtered.is_repeated:
            return self.search_among(rows, queries, k)
        gathered = np.empty((len(rows), self.matrix.dim), dtype=self.matrix.dtype)
        nearest = self._search_blocks(rows, self._make_reader(rows, gathered), queries, k)
        if len(queries):
            self._filtered.keep_vectors(filtered, gathered)
        return nearest

    def _make_reader(self, rows: RowArray, into: Block | None = None) -> BlockReader:
        """Returns a reader of as many vectors at a time as the cache holds; copies to `into`."""
        step = max(1, GATHERED_BYTES // (2 * max(1, self.matrix.dim)))

        def read(first: int, end: int) -> Iterator[Block]:
            for begin in range(first, end, step):
                part = slice(begin, min(begin + step, end))
                vectors = self.matrix.take_stored(rows[part])
                if into is not None:
                    into[part] = vectors
                yield vectors

        return read

    def _search_blocks(
        self, rows: RowArray, read: BlockReader, queries: FloatArray, k: int
    ) -> NearestRows:
        products = InnerProducts(queries, self.matrix.dtype)

        def score(first: int, end: int) -> tuple[RowArray, FloatArray, FloatArray]:
            parts = [products.multiply(vectors) for vectors in read(first, end)]
            scores = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return rows[first:end], scores, products.slack[None]

        candidates = self._find_candidates(score, len(rows), len(queries), k)
        return self._rank_by_vectors(candidates, queries, k)

    def _get_coarse_copy(self) -> CoarseCopy | None:
        """Returns the coarse copy if it is ready; starts making it after enough queries."""
        if not self._wants_coarse:
            return None
        if self._coarse is None:
            self._until_coarse -= 1  # of two threads one may go uncounted
            if self._until_coarse <= 0:
                self._coarse = run_in_thread(lambda: CoarseCopy.from_matrix(self.matrix))
            return None
        if not self._coarse.done():
            return None
        if self._coarse.exception() is not None:  # no memory for it: search goes on without
            self._wants_coarse = False
            return None
        return self._coarse.result()

    def _find_candidates(
        self, score: RowScorer, count: int, queries: int, k: int
    ) -> list[RowArray]:
        """Returns for each of `queries` the rows that may be among the k best of `count`.

        Each part of the rows is scored in a thread.
        """

        def bound_scores(part: tuple[int, int]) -> list[ScoreBounds]:
            rows, scores, slack = score(*part)
            columns = ((scores[:, at], slack[:, at]) for at in range(queries))
            return [
                _keep_possible(ScoreBounds(rows, middle - margin, middle + margin), k)
                for middle, margin in columns
            ]

        if not count or not queries:
            return [np.empty(0, dtype=np.int64)] * queries
        threads = 1 if count * self.matrix.dim * 2 <= ALONE_BYTES else cpu_count()
        size = min(SCORED_ROWS, SCORED // queries + 1, -(-count // threads))
        parts = [(first, min(first + size, count)) for first in range(0, count, size)]
        # NumPy and NumKong release the interpreter lock meanwhile.
        run = map if threads == 1 else _get_thread_pool().map
        return [_merge(bounds, k) for bounds in zip(*run(bound_scores, parts), strict=True)]

    def _rank_by_vectors(
        self, candidates: list[RowArray], queries: FloatArray, k: int
    ) -> NearestRows:
        """Returns the k best of the rows for each query, by their own vectors."""
        if not candidates:
            empty = np.empty((0, k))
            return NearestRows(empty.astype(np.int64), empty.astype(np.float32))
        ranked = [
            select_best(
                rows[None],
                np.vecdot(self.matrix.take(rows), np.asarray(query, dtype=np.float32))[None],
                k,
            )
            for rows, query in zip(candidates, queries, strict=True)
        ]
        return NearestRows(
            np.concatenate([nearest.rows for nearest in ranked]),
            np.concatenate([nearest.similarities for nearest in ranked]),
        )


def _score_all(score: RangeScorer, allowed: RowMask | None) -> RowScorer:
    """Scores all rows in their order, those that are not allowed as minus infinity."""

    def score_rows(first: int, end: int) -> tuple[RowArray, FloatArray, FloatArray]:
        scores, slack = score(first, end)
        if allowed is not None:
            scores[~allowed[first:end]] = -np.inf
        return np.arange(first, end, dtype=np.int64), scores, slack

    return score_rows


def score_coarsely(coarse: CoarseCopy, queries: FloatArray) -> RangeScorer:
    """Returns a scorer of ranges of rows by their coarse copies."""
    quantized = [QuantizedQuery.quantize(query) for query in queries]

    def score(first: int, end: int) -> tuple[FloatArray, FloatArray]:
        pairs = [coarse.score(query, first, end) for query in quantized]
        products, slack = (np.stack(columns, axis=1) for columns in zip(*pairs, strict=True))
        return products, slack

    return score


def _keep_possible(bounds: ScoreBounds, k: int) -> ScoreBounds:
    """Keeps the rows that may be among the k best."""
    least = _find_kth_best(bounds.least, k) if len(bounds.rows) > k else LEAST_SCORE
    kept = np.flatnonzero(bounds.most >= max(least, LEAST_SCORE))
    return ScoreBounds(bounds.rows[kept], bounds.least[kept], bounds.most[kept])


def _find_kth_best(scores: FloatArray, k: int) -> np.floating:
    """Returns the k-th best of more than k scores.

    Partitions those that are no worse than the k-th best of the maxima of small groups: sorting a
    hundred thousand, and even one partition of them, costs more than comparing the rows.
    """
    groups = GROUPS * k
    if len(scores) >= 4 * groups:
        width = len(scores) // groups
        maxima = scores[: width * groups].reshape(width, groups).max(axis=0)
        scores = scores[scores >= np.partition(maxima, groups - k)[groups - k]]
    kth: np.floating = np.partition(scores, len(scores) - k)[len(scores) - k]
    return kth


def _merge(parts: tuple[ScoreBounds, ...], k: int) -> RowArray:
    """Returns the rows of all parts that may be among the k best of all."""
    if len(parts) == 1:
        return parts[0].rows
    merged = ScoreBounds(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return _keep_possible(merged, k).rows


@lru_cache(maxsize=1)
def _get_thread_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cpu_count(), thread_name_prefix="exact")
