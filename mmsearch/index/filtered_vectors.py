"""A cache of the rows and vectors that recent filters allow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmsearch.index.base import RowArray, RowMask
from mmsearch.index.vector_matrix import Block, Matrix

CACHE_BYTES = 128 << 20
"""The memory for a space, for all filters together: 100,000 rows of 512 float16."""
MAX_FILTERS = 4


@dataclass(frozen=True, slots=True)
class FilteredRows:
    """The (n,) rising `rows` that a filter allows.

    `vectors` are theirs, (n, dim), if they are cached; `is_repeated` says that the filter was used
    before, so that caching them pays.
    """

    mask: RowMask
    rows: RowArray
    vectors: Block | None = None
    is_repeated: bool = False


class FilterCache:
    """The rows of a matrix that the most recent filters allow.

    A search under a filter is usually followed by others under the same filter: another word,
    another page. Rows that lie scattered over a gigabyte take four times as long to read as to
    multiply, so their vectors are cached when a filter comes for the second time. Threads may share
    it.
    """

    def __init__(self, matrix: Matrix, *, at_most_bytes: int = CACHE_BYTES) -> None:
        self._matrix = matrix
        self._at_most_bytes = at_most_bytes
        # By the number of rows, oldest first. It is replaced, never changed.
        self._cached: dict[int, FilteredRows] = {}

    def look_up(self, mask: RowMask, count: int) -> FilteredRows:
        """Returns the rows of a filter; `mask` has an entry for each row, `count` of them true."""
        cached = self._cached.get(count)
        if cached is not None and np.array_equal(cached.mask, mask):
            return cached if cached.is_repeated else replace(cached, is_repeated=True)
        filtered = FilteredRows(mask, np.flatnonzero(mask))
        if self._required_bytes(count) <= self._at_most_bytes:
            self._cache(replace(filtered, mask=mask.copy()))
        return filtered

    def keep_vectors(self, filtered: FilteredRows, vectors: Block) -> None:
        """Caches the vectors of a repeated filter."""
        self._cache(replace(filtered, vectors=vectors))

    @property
    def size_bytes(self) -> int:
        """The memory that the cached vectors take."""
        return sum(
            filtered.vectors.nbytes
            for filtered in self._cached.values()
            if filtered.vectors is not None
        )

    def _required_bytes(self, count: int) -> int:
        """Returns the memory for a filter that allows so many rows, with their vectors."""
        return self._matrix.count + count * (8 + self._matrix.dtype.itemsize * self._matrix.dim)

    def _cache(self, newest: FilteredRows) -> None:
        """Caches the newest filter, and the most recent others as far as they fit."""
        count = len(newest.rows)
        others = [other for number, other in self._cached.items() if number != count]
        free_bytes = self._at_most_bytes
        cached: dict[int, FilteredRows] = {}
        for filtered in [*others, newest][: -MAX_FILTERS - 1 : -1]:
            free_bytes -= self._required_bytes(len(filtered.rows))
            if free_bytes < 0:
                break
            cached[len(filtered.rows)] = filtered
        self._cached = dict(reversed(cached.items()))
