"""Vectors that stay in their Lance table and are read on demand."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from mmsearch.errors import StoreError
from mmsearch.index.base import FloatArray, RowArray, RowMask


class VectorSource(Protocol):
    """The vectors of a space, in memory or in a table."""

    @property
    def dim(self) -> int:
        """The number of dimensions."""

    @property
    def count(self) -> int:
        """The number of rows, removed ones included."""

    def take(self, rows: RowArray) -> FloatArray:
        """Returns (n, dim) float32: the vectors in these rows, in their order."""


class LanceRows:
    """The vectors of a table; `is_there` marks which of `count` rows remain, None for all."""

    def __init__(self, dataset: Any, dim: int, is_there: RowMask | None, count: int) -> None:
        self._dataset = dataset
        self.dim = dim
        self.count = count
        self._positions = None if is_there is None else np.cumsum(is_there) - 1

    def take(self, rows: RowArray) -> FloatArray:
        """Returns (n, dim) float32: the vectors in these rows, which must remain."""
        if not len(rows):
            return np.empty((0, self.dim), dtype=np.float32)
        positions = rows if self._positions is None else self._positions[rows]
        try:
            taken = self._dataset.take(positions.tolist(), columns=["vector"]).column("vector")
        except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
            raise StoreError(f"the vectors of {self._dataset.uri} cannot be read: {exc}") from exc
        flat = np.asarray(taken.combine_chunks().flatten())
        vectors: FloatArray = flat.reshape(-1, self.dim).astype(np.float32)
        return vectors
