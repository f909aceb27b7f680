"""The vectors of a space and what is known of each, as blocks of memory-mapped rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowArray

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

Block = NDArray[np.float16] | NDArray[np.float32]
BATCH_BYTES = 4 << 20
"""Vectors that are widened to float32 at a time, by default."""
_SIGN_AND_VALUE = np.int32(-0x70002000)
_BIAS = np.float32(2.0**112)


def widened(values: Block) -> FloatArray:
    """Finite float16 as float32, three to five times as fast as NumPy casts them.

    The bits are put where float32 has them, which makes every number 2^112 times too small (its
    exponent counts from 127, that of float16 from 15); the product mends that, exactly.
    """
    if values.dtype == np.float32:
        return np.ascontiguousarray(values)
    bits = np.empty(values.shape, dtype=np.int32)
    np.copyto(bits, values.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, _SIGN_AND_VALUE, out=bits)
    wide: FloatArray = bits.view(np.float32)
    np.multiply(wide, _BIAS, out=wide)
    return wide


class Column:
    """An array over several blocks; a row is known by its number over all of them."""

    def __init__(self, blocks: Sequence[NDArray[Any]]) -> None:
        # Plain arrays: every look into a memmap costs some microseconds for being one.
        self.blocks = tuple(np.asarray(block) for block in blocks)
        self.starts = np.cumsum([0, *(len(block) for block in blocks)], dtype=np.int64)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.starts[-1])

    def take(self, rows: RowArray) -> NDArray[Any]:
        """The entries of these rows, in their order; there must be a block."""
        if len(self.blocks) == 1:
            return np.take(self.blocks[0], rows, axis=0)  # half the time of an index
        at = np.searchsorted(self.starts, rows, side="right") - 1
        dtype = np.result_type(*(block.dtype for block in self.blocks))
        found = np.empty((len(rows), *self.blocks[0].shape[1:]), dtype=dtype)
        for number, block in enumerate(self.blocks):
            here = at == number
            if here.any():
                found[here] = np.take(block, rows[here] - self.starts[number], axis=0)
        return found

    def whole(self) -> NDArray[Any]:
        """All of it in memory; there must be a block."""
        return np.concatenate(self.blocks) if len(self.blocks) != 1 else np.asarray(self.blocks[0])

    def rows_of(self, value: Any) -> RowArray:
        """The rows with that value, rising."""
        found = [
            start + np.flatnonzero(block == value)
            for start, block in zip(self.starts.tolist(), self.blocks, strict=False)
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *found])


class Matrix:
    """(count, dim) unit vectors as float16 or float32, in blocks that follow each other.

    A row is known by its number over all blocks. Nothing is read before it is asked for.
    """

    def __init__(self, blocks: Sequence[Block], dim: int) -> None:
        self._column = Column([block for block in blocks if len(block)])
        self.blocks: tuple[Block, ...] = self._column.blocks
        self.starts = self._column.starts
        self.dim = dim

    @classmethod
    def of(cls, vectors: Block) -> Matrix:
        """One block."""
        return cls([vectors], vectors.shape[1])

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._column.count

    @property
    def dtype(self) -> np.dtype[np.float16] | np.dtype[np.float32]:
        """What holds every value as it is stored."""
        return np.result_type(*(block.dtype for block in self.blocks), np.float16)

    @property
    def batch_rows(self) -> int:
        """How many rows are best widened at a time."""
        return max(1, BATCH_BYTES // (4 * max(1, self.dim)))

    @property
    def size_bytes(self) -> int:
        """What they take on disk."""
        return sum(block.nbytes for block in self.blocks)

    def take(self, rows: RowArray) -> FloatArray:
        """(n, dim) float32: the vectors in these rows, in their order."""
        return widened(self.stored(rows))

    def stored(self, rows: RowArray) -> Block:
        """The same as they are stored."""
        if not len(rows):
            return np.empty((0, self.dim), dtype=np.float32)
        return self._column.take(rows)

    def parts(self, first: int, end: int) -> Iterator[tuple[int, Block]]:
        """(first row, vectors as they are stored) for the rows from `first` to `end`, block-wise.

        Nothing is copied.
        """
        for start, block in zip(self.starts.tolist(), self.blocks, strict=False):
            begin, stop = max(first, start), min(end, start + len(block))
            if begin < stop:
                yield begin, block[begin - start : stop - start]

    def batches(self, *, rows: int | None = None) -> Iterator[tuple[int, FloatArray]]:
        """(first row, (n, dim) float32) for all rows in their order.

        At most `rows` come at a time, by default BATCH_BYTES of them.
        """
        rows = rows or self.batch_rows
        for start, block in self.parts(0, self.count):
            for begin in range(0, len(block), rows):
                yield start + begin, widened(block[begin : begin + rows])
