"""Vectors and columns of a space as blocks of memory-mapped rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import FloatArray, RowArray

Block = NDArray[np.float16] | NDArray[np.float32]
BATCH_BYTES = 4 << 20
"""Size of the batches that are widened to float32, by default."""
_SIGN_AND_VALUE = np.int32(-0x70002000)
_BIAS = np.float32(2.0**112)


def widen(values: Block) -> FloatArray:
    """Converts finite float16 to float32, three to five times as fast as a cast by NumPy.

    The bits are shifted to their positions in float32, which makes every number 2^112 times too
    small (its exponent counts from 127, that of float16 from 15); the product corrects that.
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
    """An array in several blocks; rows are numbered over all of them."""

    def __init__(self, blocks: Sequence[NDArray[Any]]) -> None:
        # Plain arrays: every access to a memmap costs some microseconds more.
        self.blocks = tuple(np.asarray(block) for block in blocks)
        self.starts = np.cumsum([0, *(len(block) for block in blocks)], dtype=np.int64)

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.starts[-1])

    def take(self, rows: RowArray) -> NDArray[Any]:
        """Returns the entries of these rows, in their order; there must be a block."""
        if len(self.blocks) == 1:
            return np.take(self.blocks[0], rows, axis=0)  # half the time of an index
        block_numbers = np.searchsorted(self.starts, rows, side="right") - 1
        dtype = np.result_type(*(block.dtype for block in self.blocks))
        entries = np.empty((len(rows), *self.blocks[0].shape[1:]), dtype=dtype)
        for number, block in enumerate(self.blocks):
            is_in_block = block_numbers == number
            if is_in_block.any():
                block_rows = rows[is_in_block] - self.starts[number]
                entries[is_in_block] = np.take(block, block_rows, axis=0)
        return entries

    def to_array(self) -> NDArray[Any]:
        """Returns all entries in memory; there must be a block."""
        return np.concatenate(self.blocks) if len(self.blocks) != 1 else np.asarray(self.blocks[0])

    def find_rows(self, value: Any) -> RowArray:
        """Returns the rows with this value, rising."""
        parts = [
            start + np.flatnonzero(block == value)
            for start, block in zip(self.starts.tolist(), self.blocks, strict=False)
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts])


class Matrix:
    """(count, dim) unit vectors as float16 or float32, in consecutive blocks.

    Rows are numbered over all blocks. Nothing is read before it is needed.
    """

    def __init__(self, blocks: Sequence[Block], dim: int) -> None:
        self._column = Column([block for block in blocks if len(block)])
        self.blocks: tuple[Block, ...] = self._column.blocks
        self.starts = self._column.starts
        self.dim = dim

    @classmethod
    def from_array(cls, vectors: Block) -> Matrix:
        """Wraps one array as a single block."""
        return cls([vectors], vectors.shape[1])

    @property
    def count(self) -> int:
        """The number of rows."""
        return self._column.count

    @property
    def dtype(self) -> np.dtype[np.float16] | np.dtype[np.float32]:
        """The dtype that holds every stored value."""
        return np.result_type(*(block.dtype for block in self.blocks), np.float16)

    @property
    def batch_rows(self) -> int:
        """The number of rows that are best widened at a time."""
        return max(1, BATCH_BYTES // (4 * max(1, self.dim)))

    @property
    def size_bytes(self) -> int:
        """The size on disk."""
        return sum(block.nbytes for block in self.blocks)

    def take(self, rows: RowArray) -> FloatArray:
        """Returns (n, dim) float32: the vectors in these rows, in their order."""
        return widen(self.take_stored(rows))

    def take_stored(self, rows: RowArray) -> Block:
        """Returns the same as stored, without conversion."""
        if not len(rows):
            return np.empty((0, self.dim), dtype=np.float32)
        return self._column.take(rows)

    def iter_parts(self, first: int, end: int) -> Iterator[tuple[int, Block]]:
        """Yields (first row, stored vectors) for the rows from `first` to `end`, without a copy."""
        for start, block in zip(self.starts.tolist(), self.blocks, strict=False):
            begin, stop = max(first, start), min(end, start + len(block))
            if begin < stop:
                yield begin, block[begin - start : stop - start]

    def iter_batches(self, *, rows: int | None = None) -> Iterator[tuple[int, FloatArray]]:
        """Yields (first row, (n, dim) float32) for all rows; by default BATCH_BYTES at a time."""
        rows = rows or self.batch_rows
        for start, block in self.iter_parts(0, self.count):
            for begin in range(0, len(block), rows):
                yield start + begin, widen(block[begin : begin + rows])
