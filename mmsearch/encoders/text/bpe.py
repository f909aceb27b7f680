"""Byte-pair merges (Sennrich et al., ACL 2016) from a table that stays on disk."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NONE = -1
_LOW = 0xFFFFFFFF


def packed(merges: Iterable[tuple[int, int, int]]) -> NDArray[np.uint64]:
    """Merges as (2, n) uint64, from (left id, right id, merged id) in order of rank.

    The first row has `left << 32 | right`, rising; the second `rank << 32 | merged`. Where a pair
    comes twice the later counts, as in the tokenizers library.
    """
    table = {
        left << 32 | right: rank << 32 | made for rank, (left, right, made) in enumerate(merges)
    }
    keys = np.fromiter(table.keys(), dtype=np.uint64, count=len(table))
    values = np.fromiter(table.values(), dtype=np.uint64, count=len(table))
    order = np.argsort(keys, kind="stable")
    return np.stack([keys[order], values[order]])


class Merges:
    """Joins tokens, two at a time, the pair of the lowest rank first and the leftmost of those."""

    def __init__(self, table: NDArray[np.uint64]) -> None:
        self._keys = memoryview(table[0])
        self._values = memoryview(table[1])

    @classmethod
    def open(cls, path: Path) -> Merges:
        """Map a file that `packed` made; only the pages that are looked at are ever read."""
        try:
            table = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as exc:
            raise ModelError(f"{path} cannot be read: {exc}; pull the model again") from exc
        if table.dtype != np.uint64 or table.ndim != 2 or len(table) != 2:
            raise ModelError(f"{path} is no table of merges: pull the model again")
        return cls(table)

    def _find(self, left: int, right: int) -> int:
        """`rank << 32 | merged` of a pair, or -1."""
        key = left << 32 | right
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            return self._values[at]
        return _NONE

    def apply(self, ids: Sequence[int]) -> list[int]:
        """The ids of a word's tokens after all merges, from those of its characters or bytes."""
        tokens = list(ids)
        after = [*range(1, len(tokens)), _NONE]
        before = [*range(-1, len(tokens) - 1)]
        waiting: list[tuple[int, int, int]] = []

        def look(left: int, right: int) -> None:
            found = self._find(tokens[left], tokens[right])
            if found != _NONE:
                heapq.heappush(waiting, (found >> 32, left, found & _LOW))

        for left in range(len(tokens) - 1):
            look(left, left + 1)
        while waiting:
            _, left, made = heapq.heappop(waiting)
            right = after[left]
            if tokens[left] == _NONE or right == _NONE:
                continue
            found = self._find(tokens[left], tokens[right])
            if found == _NONE or found & _LOW != made:
                continue  # one of the two has been merged with another since
            tokens[left], tokens[right] = made, _NONE
            after[left] = after[right]
            if after[left] != _NONE:
                before[after[left]] = left
                look(left, after[left])
            if before[left] != _NONE:
                look(before[left], left)
        return [token for token in tokens if token != _NONE]
