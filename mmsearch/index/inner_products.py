"""Inner products of stored vectors with queries, without widening what is stored as float16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.vector_matrix import Block, widened

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

FEW_QUERIES = 2
"""More are multiplied as one matrix, whose rows are then read once for all."""
ROUNDING = 2e-6
"""What sums of float32 products are off by at most, for unit vectors of up to 4096 dimensions."""


class Products:
    """Inner products with (q, dim) float32 unit `queries`, by NumKong's kernels.

    They multiply values as they are stored, so a query is rounded to float16 for rows of float16:
    the products of unit rows are then off by no more than `slack`, (q,) float32, for the inner
    product with what the rounding took away is at most its length (Cauchy and Schwarz). Threads may
    share it: the kernels let go of the interpreter.
    """

    def __init__(self, queries: FloatArray, dtype: np.dtype[Any]) -> None:
        import numkong

        self._queries = np.ascontiguousarray(queries, dtype=dtype)
        lost = np.linalg.norm(queries - self._queries.astype(np.float32), axis=1)
        # Rows of float16 are longer than 1 by up to its own rounding.
        self.slack: FloatArray = (1.001 * lost + ROUNDING).astype(np.float32)
        self._inner = numkong.cdist
        self._multiplied: Any = numkong.dots_packed
        self._packed = numkong.dots_pack(self._queries) if len(queries) > FEW_QUERIES else None

    def of(self, values: Block) -> NDArray[Any]:
        """(n, q) products of (n, dim) rows; those of float16 are widened for float32 queries."""
        values = values if values.dtype == self._queries.dtype else widened(values)
        if self._packed is not None:
            return np.asarray(self._multiplied(values, self._packed))
        # One matrix of one column is 2.5 times as slow with the other function.
        each = [np.asarray(self._inner(values, one[None], "inner")) for one in self._queries]
        return each[0] if len(each) == 1 else np.concatenate(each, axis=1)
