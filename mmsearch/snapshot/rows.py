"""Finds rows of the tables `segments` and `assets` by key, owner and address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.addresses import AddressArray
from mmsearch.index.array_folders import Arrays
from mmsearch.index.base import RowArray, RowMask
from mmsearch.index.vector_matrix import Column
from mmsearch.index.word_index import WordIndex
from mmsearch.snapshot.keys import NO_KEY
from mmsearch.snapshot.names import NameIndexPart
from mmsearch.store.reader import Fragment


class SegmentRows:
    """The rows of the table `segments`, by key, by owner and by address.

    `parts` are the arrays of each fragment, `is_there` marks the rows that are not deleted (None:
    all). A row is its position among those that are not deleted.
    """

    def __init__(
        self, fragments: Sequence[Fragment], parts: Sequence[Arrays], is_there: RowMask | None
    ) -> None:
        self._keys = Column([part["keys"] for part in parts])
        self._owners = Column([part["owners"] for part in parts])
        self._orders = [part["order"] for part in parts]
        self._parts = parts
        self._fragments = fragments
        self._is_there = is_there
        self._positions = None if is_there is None else np.cumsum(is_there) - 1

    @property
    def count(self) -> int:
        """The number of rows, deleted ones included."""
        return self._keys.count

    def find(self, keys: NDArray[np.uint64]) -> RowArray:
        """Returns the row of each key, -1 for an unknown key."""
        rows = np.full(len(keys), -1, dtype=np.int64)
        for start, block, order in zip(
            self._keys.starts.tolist(), self._keys.blocks, self._orders, strict=False
        ):
            if len(block):
                nearest = np.minimum(np.searchsorted(block, keys, sorter=order), len(block) - 1)
                in_block = order[nearest]
                is_equal = (block[in_block] == keys) & self._check_there(start + in_block)
                rows[is_equal] = start + in_block[is_equal]
        return self._skip_deleted(rows)

    def addresses(self) -> AddressArray:
        """Returns the Lance address of every row, deleted ones included."""
        return addresses_of(self._fragments, self._parts)

    def find_at(self, addresses: AddressArray) -> tuple[RowArray, NDArray[np.uint64]]:
        """Returns the row at each Lance address and the key of its owner.

        They are -1 and NO_KEY for a row that is not there.
        """
        rows = np.full(len(addresses), -1, dtype=np.int64)
        owners = np.full(len(addresses), NO_KEY)
        for start, fragment, part in zip(
            self._keys.starts.tolist(), self._fragments, self._parts, strict=False
        ):
            in_part = np.flatnonzero(addresses >> np.uint64(32) == fragment.id)
            offsets = part["offsets"]
            if len(in_part) and len(offsets):
                sought = (addresses[in_part] & np.uint64(0xFFFFFFFF)).astype(offsets.dtype)
                nearest = np.minimum(np.searchsorted(offsets, sought), len(offsets) - 1)
                is_equal = (offsets[nearest] == sought) & self._check_there(start + nearest)
                rows[in_part[is_equal]] = start + nearest[is_equal]
                owners[in_part[is_equal]] = part["owners"][nearest[is_equal]]
        return self._skip_deleted(rows), owners

    def owners(self) -> NDArray[np.uint64]:
        """Returns the key of the owner of every row, deleted ones included."""
        return concatenate(self._owners.blocks, np.uint64)

    def owned_by(self, key: np.uint64) -> RowArray:
        """Returns the rows of an owner, rising."""
        rows = self._owners.find_rows(key)
        return self._skip_deleted(rows[self._check_there(rows)])

    def tags(
        self, find_owners: Callable[[NDArray[np.uint64]], RowArray]
    ) -> Iterator[NameIndexPart]:
        """Yields the word indexes of tags; `find_owners` turns keys of owners into their rows.

        The key of a deleted row is NO_KEY.
        """
        for start, part in zip(self._keys.starts.tolist(), self._parts, strict=False):
            if len(part["vocabulary"]):
                keys = partial(self._owners_at, start)
                yield NameIndexPart(
                    WordIndex.from_arrays(part),
                    lambda rows, keys=keys: find_owners(keys(rows)),  # type: ignore[misc]
                    lambda rows, start=start: self._skip_deleted(start + rows),  # type: ignore[misc]
                )

    def _owners_at(self, start: int, rows: RowArray) -> NDArray[np.uint64]:
        keys = np.asarray(self._owners.take(start + rows), dtype=np.uint64)
        return np.where(self._check_there(start + rows), keys, NO_KEY)

    def _check_there(self, rows: RowArray) -> RowMask:
        if self._is_there is None:
            return np.ones(len(rows), dtype=np.bool_)
        return self._is_there[rows]

    def _skip_deleted(self, rows: RowArray) -> RowArray:
        if self._positions is None:
            return rows
        return np.where(rows >= 0, self._positions[rows], -1)


@dataclass(frozen=True, slots=True)
class AssetRows:
    """The rows of the table `assets` by key, of the assets that have a file."""

    keys: NDArray[np.uint64]
    order: NDArray[np.int64]
    file_offsets: NDArray[np.int64]

    def find(self, keys: NDArray[np.uint64]) -> RowArray:
        """Returns the row of each asset; -1 for one that is unknown or has no file."""
        if not len(self.keys):
            return np.full(len(keys), -1, dtype=np.int64)
        nearest = np.searchsorted(self.keys, keys, sorter=self.order)
        rows = self.order[np.minimum(nearest, len(self.keys) - 1)].astype(np.int64)
        has_file = self.file_offsets[rows + 1] > self.file_offsets[rows]
        return np.where((self.keys[rows] == keys) & has_file, rows, -1)


def addresses_of(fragments: Sequence[Fragment], parts: Sequence[Arrays]) -> AddressArray:
    """Returns the Lance address of every row of a table, fragment after fragment."""
    addresses = [
        part["offsets"].astype(np.uint64) | np.uint64(fragment.id << 32)
        for fragment, part in zip(fragments, parts, strict=True)
    ]
    return concatenate(addresses, np.uint64)


def concatenate(parts: Sequence[NDArray[Any]], dtype: type[Any]) -> NDArray[Any]:
    """Joins arrays; an empty list gives an empty array of `dtype`."""
    return np.concatenate([np.empty(0, dtype=dtype), *parts])
