"""What a vector index is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

RowMask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Rows of an index by falling similarity; equal ones by rising row.

    `rows` is (k,) int64, `similarities` (k,) float32, `queries` (k,) int64: which one was nearest.
    """

    rows: NDArray[np.int64]
    similarities: FloatArray
    queries: NDArray[np.int64]


class VectorIndex(Protocol):
    """Nearest neighbours by cosine among unit vectors."""

    @property
    def count(self) -> int:
        """How many vectors there are."""
        ...

    def vectors(self, rows: NDArray[np.int64]) -> FloatArray:
        """(n, dim) float32: the vectors in these rows."""
        ...

    def search(self, queries: FloatArray, k: int, *, allowed: RowMask | None = None) -> Neighbours:
        """The k rows nearest to any of `queries` ((q, dim) unit rows), among those allowed."""
        ...
