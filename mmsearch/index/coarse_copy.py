"""An 8-bit copy of vectors that rules out rows which cannot be the nearest in half the time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import FloatArray
from mmsearch.index.inner_products import ROUNDING
from mmsearch.index.vector_matrix import Matrix

LEVELS = 127
_TINY = np.float32(1e-30)


class QuantizedQuery(NamedTuple):
    """A query in 8 bits: (1, dim) `values` times `scale`, its norm and that of the error."""

    values: NDArray[np.int8]
    scale: np.float32
    norm: np.float32
    error_norm: np.float32

    @classmethod
    def quantize(cls, query: FloatArray) -> QuantizedQuery:
        """Quantizes a (dim,) query."""
        values, scales, error_norms = _quantize(np.asarray(query, dtype=np.float32)[None])
        return cls(values, scales[0], np.float32(np.linalg.norm(query)), error_norms[0])


class CoarseCopy:
    """Every row as int8 with a scale of its own and the norm of its quantization error.

    The product of a row with a query is then known up to a bound: the norm of the error of either
    times the norm of the other (Cauchy and Schwarz). The usual error is a tenth of that. Threads
    may share it.
    """

    def __init__(
        self, values: NDArray[np.int8], scales: FloatArray, error_norms: FloatArray
    ) -> None:
        """`values` is (n, dim), `scales` and `error_norms` are (n,)."""
        import numkong

        self._values = values
        self._scales = scales
        self._error_norms = error_norms
        self._inner = numkong.cdist

    @classmethod
    def from_matrix(cls, matrix: Matrix) -> CoarseCopy:
        """Quantizes all rows; takes a byte for every value."""
        values = np.empty((matrix.count, matrix.dim), dtype=np.int8)
        scales = np.empty(matrix.count, dtype=np.float32)
        error_norms = np.empty(matrix.count, dtype=np.float32)
        for first, vectors in matrix.iter_batches():
            part = slice(first, first + len(vectors))
            values[part], scales[part], error_norms[part] = _quantize(vectors)
        return cls(values, scales, error_norms)

    @property
    def size_bytes(self) -> int:
        """The memory that it takes."""
        return self._values.nbytes + self._scales.nbytes + self._error_norms.nbytes

    def score(self, query: QuantizedQuery, first: int, end: int) -> tuple[FloatArray, FloatArray]:
        """Returns products of the rows from `first` to `end` with a query, and their slack."""
        products: NDArray[Any] = np.asarray(
            self._inner(self._values[first:end], query.values, "inner")
        )
        scores: FloatArray = products[:, 0].astype(np.float32)
        scores *= self._scales[first:end] * query.scale
        # Rows of float16 are longer than 1 by up to its own rounding.
        query_slack = 1.001 * query.error_norm + ROUNDING * query.norm
        slack: FloatArray = (
            self._error_norms[first:end] * (query.norm + query.error_norm) + query_slack
        )
        return scores, slack.astype(np.float32, copy=False)


def _quantize(vectors: FloatArray) -> tuple[NDArray[np.int8], FloatArray, FloatArray]:
    """Returns (n, dim) rows as int8, (n,) scales, and (n,) norms of the errors."""
    scales = np.maximum(np.abs(vectors).max(axis=1) / LEVELS, _TINY).astype(np.float32)
    values = np.rint(vectors / scales[:, None])
    errors = vectors - values * scales[:, None]
    return values.astype(np.int8), scales, np.sqrt(np.vecdot(errors, errors))
