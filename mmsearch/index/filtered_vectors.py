"""What filters leave of the vectors, gathered, for as long as they are asked for again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmsearch.index.base import RowArray, RowMask
from mmsearch.index.vector_matrix import Block, Matrix

KEPT_BYTES = 128 << 20
"""What is kept for a space, of all filters together: a tenth of a million rows of 512 float16."""
MOST = 4
"""Filters that are known at a time."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a filter leaves: (n,) rising `rows`.

    `vectors` are theirs, (n, dim), if they were kept; `came_again` says that they are worth it.
    """

    mask: RowMask
    rows: RowArray
    vectors: Block | None = None
    came_again: bool = False


class Filtered:
    """What the last filters left of a matrix.

    Who searches under a filter searches again under it: another word, another page. Rows that lie
    scattered over a gigabyte take four times as long to read as to multiply, so their vectors are
    kept when a filter comes for the second time. Threads may share it.
    """

    def __init__(self, matrix: Matrix, *, at_most_bytes: int = KEPT_BYTES) -> None:
        self._matrix = matrix
        self._at_most_bytes = at_most_bytes
        # By how many rows they leave, oldest first. It is replaced, never changed.
        self._known: dict[int, Left] = {}

    def by(self, mask: RowMask, count: int) -> Left:
        """What a filter leaves; `mask` has an entry for each row, `count` of them true."""
        known = self._known.get(count)
        if known is not None and np.array_equal(known.mask, mask):
            return known if known.came_again else replace(known, came_again=True)
        left = Left(mask, np.flatnonzero(mask))
        if self._needed_bytes(count) <= self._at_most_bytes:
            self._keep(replace(left, mask=mask.copy()))
        return left

    def keep(self, left: Left, vectors: Block) -> None:
        """Keep the vectors of what came again."""
        self._keep(replace(left, vectors=vectors))

    @property
    def size_bytes(self) -> int:
        """What the vectors that are kept take in memory."""
        return sum(one.vectors.nbytes for one in self._known.values() if one.vectors is not None)

    def _needed_bytes(self, count: int) -> int:
        """What a filter that leaves so many rows takes with their vectors."""
        vector = self._matrix.dtype.itemsize * self._matrix.dim
        return self._matrix.count + count * (8 + vector)

    def _keep(self, left: Left) -> None:
        """Keep one, and of the others those that came last, as far as they fit."""
        others = [one for one in self._known.values() if len(one.rows) != len(left.rows)]
        free = self._at_most_bytes
        kept: dict[int, Left] = {}
        for one in [*others, left][: -MOST - 1 : -1]:
            free -= self._needed_bytes(len(one.rows))
            if free < 0:
                break
            kept[len(one.rows)] = one
        self._known = dict(reversed(kept.items()))
