"""Row addresses of a Lance table, and filters by them in the form that Lance reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowMask

AddressArray = NDArray[np.uint64]

FEW_ROWS = 2000
"""A filter that allows no more rows than this has them all compared: reading them takes 20 ms."""
COOKIE = 12346
ARRAY_VALUES = 4096
"""A container of more values is written as 65,536 bits."""


@dataclass(frozen=True, slots=True)
class AddressFilter:
    """The rows of a table that are allowed, or with `is_blocklist` those that are not.

    `share` is the share of all rows that is allowed.
    """

    addresses: AddressArray
    share: float
    is_blocklist: bool = False

    @classmethod
    def from_mask(cls, addresses: AddressArray, allowed: RowMask) -> AddressFilter:
        """Builds the filter from a mask over the rows with these addresses."""
        allowed_count = int(np.count_nonzero(allowed))
        share = allowed_count / len(allowed)
        if allowed_count > FEW_ROWS and share > 0.5:  # the shorter of the two lists
            return cls(addresses[~allowed], share, is_blocklist=True)
        return cls(addresses[allowed], share)

    @property
    def is_few(self) -> bool:
        """True if so few rows are allowed that all of them are compared."""
        return len(self.addresses) <= FEW_ROWS and not self.is_blocklist

    def to_options(self) -> dict[str, Any]:
        """Returns the options of a Lance scanner for it."""
        if self.is_few:
            listed = ", ".join(map(str, self.addresses.tolist()))
            return {"filter": f"_rowaddr IN ({listed})", "prefilter": True}
        serialized = serialize_addresses(self.addresses)
        return {"row_addr_blocklist" if self.is_blocklist else "row_addr_allowlist": serialized}


def serialize_addresses(addresses: AddressArray) -> bytes:
    """Serializes row addresses for Lance: for each fragment a roaring bitmap of row offsets.

    The format is that of `lance.dataset.serialize_row_addrs`, which takes a tenth of a second for a
    million: the number of fragments, then of each its id, the size and the bitmap in the portable
    format (https://github.com/RoaringBitmap/RoaringFormatSpec), without runs.
    """
    fragments, offsets = np.divmod(np.sort(addresses), np.uint64(1 << 32))
    parts = []
    for fragment, group in _group(fragments, offsets):
        bitmap = _serialize_bitmap(group)
        parts += [np.array([fragment, len(bitmap)], dtype="<u4").tobytes(), bitmap]
    return np.array([len(parts) // 2], dtype="<u4").tobytes() + b"".join(parts)


def _serialize_bitmap(offsets: AddressArray) -> bytes:
    heads, containers = [], []
    for upper, lower in _group(*np.divmod(offsets, np.uint64(1 << 16))):
        heads.append((upper, len(lower) - 1))
        if len(lower) <= ARRAY_VALUES:
            containers.append(lower.astype("<u2").tobytes())
        else:
            bits = np.zeros(1 << 16, dtype=np.bool_)
            bits[lower.astype(np.int64)] = True
            containers.append(np.packbits(bits, bitorder="little").tobytes())
    sizes = np.array([len(container) for container in containers])
    head_bytes = 8 + 8 * len(containers)  # two words, then two for each container
    begins = head_bytes + np.cumsum(sizes) - sizes
    return b"".join(
        [
            np.array([COOKIE, len(containers)], dtype="<u4").tobytes(),
            np.array(heads, dtype="<u2").tobytes(),
            begins.astype("<u4").tobytes(),
            *containers,
        ]
    )


def _group(keys: AddressArray, values: AddressArray) -> Iterator[tuple[int, AddressArray]]:
    """Yields each of the rising keys with its values."""
    distinct, begins = np.unique(keys, return_index=True)
    yield from zip(distinct.tolist(), np.split(values, begins[1:]), strict=False)
