"""Vectors that stay in their Lance table and are read when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmsearch.errors import StoreError
from mmsearch.index.base import RowArray, RowMask

if TYPE_CHECKING:
    from mmsearch.types import FloatArray


class Vectors(Protocol):
    """The vectors of a space, wherever they are."""

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        ...

    @property
    def count(self) -> int:
        """How many rows there are, those that are gone among them."""
        ...

    def take(self, rows: RowArray) -> FloatArray:
        """(n, dim) float32: the vectors in these rows, in their order."""
        ...


class LanceRows:
    """The vectors of a table; `is_there` says which of `count` rows it has still, None for all."""

    def __init__(self, dataset: Any, dim: int, is_there: RowMask | None, count: int) -> None:
        self._dataset = dataset
        self.dim = dim
        self.count = count
        self._positions = None if is_there is None else np.cumsum(is_there) - 1

    def take(self, rows: RowArray) -> FloatArray:
        """(n, dim) float32: the vectors in these rows, which are there still."""
        if not len(rows):
            return np.empty((0, self.dim), dtype=np.float32)
        at = rows if self._positions is None else self._positions[rows]
        try:
            taken = self._dataset.take(at.tolist(), columns=["vector"]).column("vector")
        except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
            raise StoreError(f"the vectors of {self._dataset.uri} cannot be read: {exc}") from exc
        flat = np.asarray(taken.combine_chunks().flatten())
        vectors: FloatArray = flat.reshape(-1, self.dim).astype(np.float32)
        return vectors
