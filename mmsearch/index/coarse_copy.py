"""A copy of vectors in 8 bits, which tells in half the time which of them cannot be the nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.inner_products import ROUNDING
from mmsearch.index.vector_matrix import Matrix

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

LEVELS = 127
_TINY = np.float32(1e-30)


class Question(NamedTuple):
    """A query as the copy is asked: (1, dim) `values` times `scale`, how long it is, the loss."""

    values: NDArray[np.int8]
    scale: np.float32
    length: np.float32
    lost: np.float32

    @classmethod
    def of(cls, query: FloatArray) -> Question:
        """That of a (dim,) query."""
        values, scales, lost = _rounded(np.asarray(query, dtype=np.float32)[None])
        return cls(values, scales[0], np.float32(np.linalg.norm(query)), lost[0])


class Coarse:
    """Every row as int8 with a scale of its own, and how far that is off.

    The product of a row with a query is then known up to a bound: it is off by no more than the
    lengths of what rounding took away from either, times the length of the other (Cauchy and
    Schwarz). A tenth of that is usual. Threads may share it.
    """

    def __init__(self, values: NDArray[np.int8], scales: FloatArray, off: FloatArray) -> None:
        """`values` is (n, dim), `scales` (n,); `off` is (n,): the lengths of what was lost."""
        import numkong

        self._values = values
        self._scales = scales
        self._off = off
        self._inner = numkong.cdist

    @classmethod
    def of(cls, matrix: Matrix) -> Coarse:
        """That of all rows; takes a byte for every value."""
        values = np.empty((matrix.count, matrix.dim), dtype=np.int8)
        scales = np.empty(matrix.count, dtype=np.float32)
        off = np.empty(matrix.count, dtype=np.float32)
        for first, vectors in matrix.batches():
            part = slice(first, first + len(vectors))
            values[part], scales[part], off[part] = _rounded(vectors)
        return cls(values, scales, off)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self._values.nbytes + self._scales.nbytes + self._off.nbytes

    def scores(self, asked: Question, first: int, end: int) -> tuple[FloatArray, FloatArray]:
        """Products of the rows from `first` to `end` with a query, and their slack."""
        whole: NDArray[Any] = np.asarray(
            self._inner(self._values[first:end], asked.values, "inner")
        )
        scores: FloatArray = whole[:, 0].astype(np.float32)
        scores *= self._scales[first:end] * asked.scale
        # Rows of float16 are longer than 1 by up to its own rounding.
        away = 1.001 * asked.lost + ROUNDING * asked.length
        slack: FloatArray = self._off[first:end] * (asked.length + asked.lost) + away
        return scores, slack.astype(np.float32, copy=False)


def _rounded(vectors: FloatArray) -> tuple[NDArray[np.int8], FloatArray, FloatArray]:
    """(n, dim) rows as int8, (n,) scales, and (n,) lengths of what is lost."""
    scales = np.maximum(np.abs(vectors).max(axis=1) / LEVELS, _TINY).astype(np.float32)
    values = np.rint(vectors / scales[:, None])
    lost = vectors - values * scales[:, None]
    return values.astype(np.int8), scales, np.sqrt(np.vecdot(lost, lost))
