"""Exact search with NumPy over a memory-mapped matrix: the oracle, fast to about 100k rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import Neighbours, RowMask

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

BLOCK_ROWS = 8192
"""Rows that are widened to float32 at a time: 12 MB at 384 dimensions, which stays in cache."""


class ExactIndex:
    """All similarities, then the best k."""

    def __init__(self, vectors: NDArray[np.float16]) -> None:
        self._vectors = vectors

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return len(self._vectors)

    def vectors(self, rows: NDArray[np.int64]) -> FloatArray:
        """(n, dim) float32: the vectors in these rows."""
        return self._vectors[rows].astype(np.float32)

    def search(self, queries: FloatArray, k: int, *, allowed: RowMask | None = None) -> Neighbours:
        """The k rows nearest to any of `queries` ((q, dim) unit rows), among those allowed."""
        similarities = np.empty(self.count, dtype=np.float32)
        nearest = np.zeros(self.count, dtype=np.int64)
        turned = np.ascontiguousarray(queries.T, dtype=np.float32)
        for begin in range(0, self.count, BLOCK_ROWS):
            block = self._vectors[begin : begin + BLOCK_ROWS].astype(np.float32)
            scores = block @ turned
            end = begin + len(block)
            similarities[begin:end] = scores.max(axis=1)
            if len(queries) > 1:
                nearest[begin:end] = scores.argmax(axis=1)
        rows = np.arange(self.count) if allowed is None else np.flatnonzero(allowed)
        if len(rows) > k:
            # By partition first: sorting a hundred thousand rows costs more than comparing them.
            # It says which similarity is the k-th; of the rows that have it, the first are kept.
            least = np.partition(similarities[rows], len(rows) - k)[len(rows) - k]
            above = rows[similarities[rows] > least]
            equal = rows[similarities[rows] == least]
            rows = np.concatenate([above, equal[: k - len(above)]])
        order = np.lexsort((rows, -similarities[rows]))
        rows = rows[order]
        return Neighbours(rows.astype(np.int64), similarities[rows], nearest[rows])
