"""Rows of a Lance table by their addresses, and limits to some of them as Lance takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowMask

AddressArray = NDArray[np.uint64]

FEW_ROWS = 2000
"""A limit that leaves no more rows than this has them all compared: it takes 20 ms to read them."""
COOKIE = 12346
ARRAY_VALUES = 4096
"""A container of more values is written as 65,536 bits."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Which rows of a table may answer, or with `is_without` which may not.

    `share` is the share of all rows that may.
    """

    addresses: AddressArray
    share: float
    is_without: bool = False

    @classmethod
    def to(cls, addresses: AddressArray, allowed: RowMask) -> Limit:
        """To those of the rows with these addresses that are allowed."""
        passing = int(np.count_nonzero(allowed))
        share = passing / len(allowed)
        if passing > FEW_ROWS and share > 0.5:  # the shorter of the two lists
            return cls(addresses[~allowed], share, is_without=True)
        return cls(addresses[allowed], share)

    @property
    def is_few(self) -> bool:
        """Whether all of them are compared."""
        return len(self.addresses) <= FEW_ROWS and not self.is_without

    def options(self) -> dict[str, Any]:
        """What a scanner of Lance takes for it."""
        if self.is_few:
            named = ", ".join(map(str, self.addresses.tolist()))
            return {"filter": f"_rowaddr IN ({named})", "prefilter": True}
        listed = address_set(self.addresses)
        return {"row_addr_blocklist" if self.is_without else "row_addr_allowlist": listed}


def address_set(addresses: AddressArray) -> bytes:
    """Row addresses as Lance takes them: for each fragment a roaring bitmap of the places in it.

    The form is that of `lance.dataset.serialize_row_addrs`, which takes a tenth of a second for a
    million: the number of fragments, then of each its id, the size and the bitmap in the portable
    format (https://github.com/RoaringBitmap/RoaringFormatSpec), without runs.
    """
    fragments, places = np.divmod(np.sort(addresses), np.uint64(1 << 32))
    parts = []
    for fragment, some in _split(fragments, places):
        bitmap = _bitmap(some)
        parts += [np.array([fragment, len(bitmap)], dtype="<u4").tobytes(), bitmap]
    return np.array([len(parts) // 2], dtype="<u4").tobytes() + b"".join(parts)


def _bitmap(places: AddressArray) -> bytes:
    heads, containers = [], []
    for upper, lower in _split(*np.divmod(places, np.uint64(1 << 16))):
        heads.append((upper, len(lower) - 1))
        if len(lower) <= ARRAY_VALUES:
            containers.append(lower.astype("<u2").tobytes())
        else:
            bits = np.zeros(1 << 16, dtype=np.bool_)
            bits[lower.astype(np.int64)] = True
            containers.append(np.packbits(bits, bitorder="little").tobytes())
    sizes = np.array([len(container) for container in containers])
    begin = 8 + 8 * len(containers)  # what comes before: two words, then two for each container
    offsets = begin + np.cumsum(sizes) - sizes
    return b"".join(
        [
            np.array([COOKIE, len(containers)], dtype="<u4").tobytes(),
            np.array(heads, dtype="<u2").tobytes(),
            offsets.astype("<u4").tobytes(),
            *containers,
        ]
    )


def _split(keys: AddressArray, values: AddressArray) -> Iterator[tuple[int, AddressArray]]:
    """The values of each of the rising keys."""
    found, begins = np.unique(keys, return_index=True)
    yield from zip(found.tolist(), np.split(values, begins[1:]), strict=False)
