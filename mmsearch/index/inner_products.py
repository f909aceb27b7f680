"""Inner products of stored vectors with queries, without widening stored float16."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import FloatArray
from mmsearch.index.vector_matrix import Block, widen

FEW_QUERIES = 2
"""More are multiplied as one matrix, so that the rows are read once for all of them."""
ROUNDING = 2e-6
"""The largest error of sums of float32 products, for unit vectors of up to 4096 dimensions."""


class InnerProducts:
    """Inner products with (q, dim) float32 unit `queries`, by NumKong's kernels.

    They multiply values as they are stored, so a query is rounded to float16 for rows of float16.
    The products of unit rows are then off by at most `slack`, (q,) float32, because the inner
    product with the rounding error is at most its norm (Cauchy and Schwarz). Threads may share it:
    the kernels release the interpreter lock.
    """

    def __init__(self, queries: FloatArray, dtype: np.dtype[Any]) -> None:
        import numkong

        self._queries = np.ascontiguousarray(queries, dtype=dtype)
        error_norms = np.linalg.norm(queries - self._queries.astype(np.float32), axis=1)
        # Rows of float16 are longer than 1 by up to its own rounding.
        self.slack: FloatArray = (1.001 * error_norms + ROUNDING).astype(np.float32)
        self._inner = numkong.cdist
        self._multiply_packed: Any = numkong.dots_packed
        self._packed = numkong.dots_pack(self._queries) if len(queries) > FEW_QUERIES else None

    def multiply(self, values: Block) -> NDArray[Any]:
        """Returns (n, q) products of (n, dim) rows; widens float16 rows for float32 queries."""
        values = values if values.dtype == self._queries.dtype else widen(values)
        if self._packed is not None:
            return np.asarray(self._multiply_packed(values, self._packed))
        # One matrix of one column is 2.5 times as slow with the other function.
        columns = [np.asarray(self._inner(values, query[None], "inner")) for query in self._queries]
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
