"""Pictures that are there more than once: as copies, or resized, encoded again and cropped.

Two images are the same by the rule that a search uses (`mmsearch.duplicates.near_duplicates`).
Only who is compared with whom is found another way where there are many: up to `CROPS` pictures
each is held against each; beyond, only those are whose hashes are all but equal, which finds what
was resized
and encoded again, and of crops those of a few pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as count_from
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.analytics import asset_rows
from mmsearch.duplicates.near_duplicates import Pictures
from mmsearch.media.thumbprint import MIRROR, compute_hashes, unpack_levels

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot

CROPS = 10_000
"""Pictures among which crops are looked for too."""
MAX_BITS = 5
"""In how many of 64 bits copies that were not cropped differ, at most."""
BANDS = 6
"""One more than `MAX_BITS`: two hashes that differ in no more bits are equal in one of them."""
MAX_COMPARED = 400_000_000
"""Pairs of hashes that are compared, which takes some ten seconds."""
MAX_PAIRS = 50_000
"""Pairs whose pixels are compared, which takes some ten seconds."""
PAIRS = 2_048
LOOKS = 4_096
FIRSTS = 128


@dataclass(frozen=True, slots=True)
class Copies:
    """A content that lies in several files, in the order of their paths."""

    asset_id: str
    paths: tuple[str, ...]
    size_bytes: int

    @property
    def spare_bytes(self) -> int:
        """What all but one of them take."""
        return self.size_bytes * (len(self.paths) - 1)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups of pictures that show the same, in each the largest first; large groups first.

    `pictures` were compared; `has_crops` says whether crops were looked for, `is_whole` whether
    all pairs that could be the same were compared.
    """

    groups: tuple[tuple[str, ...], ...]
    pictures: int
    has_crops: bool
    is_whole: bool


def copies(snapshot: Snapshot, *, at_most: int = 200) -> list[Copies]:
    """What lies in several files, that which takes most room first."""
    counts = np.diff(snapshot.file_offsets)
    several = np.flatnonzero(counts > 1)
    sizes = np.asarray(asset_rows.column(snapshot, "size_bytes", several), dtype=np.int64)
    first = np.argsort(-(sizes * (counts[several] - 1)), kind="stable")[:at_most]
    rows = several[first]
    ids = asset_rows.column(snapshot, "asset_id", rows).to_pylist()
    return [
        Copies(asset_id, tuple(paths), size_bytes)
        for asset_id, paths, size_bytes in zip(
            ids, snapshot.paths(rows.tolist()), sizes[first].tolist(), strict=True
        )
    ]


def duplicates(snapshot: Snapshot) -> Duplicates:
    """The near-duplicates of the whole library."""
    return snapshot.kept("survey.duplicates", lambda: _duplicates(snapshot))


def _duplicates(snapshot: Snapshot) -> Duplicates:
    rows = _largest_first(snapshot)
    at, codes = _hashed(snapshot, rows)
    rows = rows[at]
    has_crops = len(rows) <= CROPS
    pairs = _near(snapshot, rows) if has_crops else _equal_but_few(codes)
    ones, others, is_whole = _first(pairs)
    is_same = _compared(snapshot, rows, ones, others)
    groups = _grouped(ones[is_same], others[is_same])
    ids = asset_rows.column(snapshot, "asset_id", rows).to_pylist()
    found = [tuple(ids[one] for one in group) for group in groups]
    found.sort(key=len, reverse=True)
    return Duplicates(tuple(found), len(rows), has_crops, is_whole)


def _largest_first(snapshot: Snapshot) -> RowArray:
    """The rows of assets, those of the most pixels and then bytes first."""
    rows = asset_rows.rows(snapshot)
    pixels = np.ones(len(rows))
    for name in ("width_px", "height_px"):
        pixels *= np.asarray(asset_rows.column(snapshot, name, rows).fill_null(0), dtype=np.float64)
    sizes = np.asarray(asset_rows.column(snapshot, "size_bytes", rows), dtype=np.int64)
    return rows[np.lexsort([snapshot.asset_keys[rows], -sizes, -pixels])]


def _hashed(snapshot: Snapshot, rows: RowArray) -> tuple[RowArray, NDArray[np.uint64]]:
    """Which of these rows have a look, by their place among them, and its hash."""
    places, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    for begin in range(0, len(rows), LOOKS):
        at, looks = snapshot.looks.of(rows[begin : begin + LOOKS])
        if len(at):
            places.append(at + begin)
            codes.append(compute_hashes(unpack_levels(looks)))
    return np.concatenate(places), np.concatenate(codes)


def _near(snapshot: Snapshot, rows: RowArray) -> Iterator[tuple[RowArray, RowArray]]:
    """The pairs of places among all `rows` that may be the same picture."""
    _, looks = snapshot.looks.of(rows)
    pictures = Pictures(looks)
    for begin in range(0, len(looks), FIRSTS):
        yield pictures.near(begin, min(begin + FIRSTS, len(looks)))


def _equal_but_few(codes: NDArray[np.uint64]) -> Iterator[tuple[RowArray, RowArray]]:
    """The pairs of places whose hashes differ in at most `MAX_BITS`, mirrored or not.

    Each hash is cut into bands, one of which such a pair has in common; a pair comes with the first
    of its bands. A mirrored picture stands beside itself as it would be unmirrored: `MIRROR` flips
    the same bits whichever of the two is turned.
    """
    count = len(codes)
    both = np.concatenate([codes, codes ^ MIRROR])
    edges = [64 * number // BANDS for number in range(BANDS + 1)]
    masks = [np.uint64((1 << end) - (1 << start)) for start, end in pairwise(edges)]
    compared = 0
    for number, mask in enumerate(masks):
        order = np.argsort(both & mask, kind="stable")
        keys = (both & mask)[order]
        left = np.arange(len(order) - 1)
        for step in count_from(1):
            left = left[left < len(order) - step]
            left = left[keys[left] == keys[left + step]]
            if not len(left):
                break
            ones, others = order[left], order[left + step]
            differing = both[ones] ^ both[others]
            is_near = np.bitwise_count(differing) <= MAX_BITS
            # The same pair comes again with both turned, and with every band they share.
            is_near &= np.minimum(ones, others) < count
            for earlier in masks[:number]:
                is_near &= (differing & earlier) != 0
            ones, others = ones[is_near] % count, others[is_near] % count
            is_pair = ones != others
            yield np.minimum(ones, others)[is_pair], np.maximum(ones, others)[is_pair]
            compared += len(left)
            if compared > MAX_COMPARED:
                raise _TooManyError


class _TooManyError(Exception):
    """There are more pairs than are looked through."""


def _first(pairs: Iterator[tuple[RowArray, RowArray]]) -> tuple[RowArray, RowArray, bool]:
    """Pairs, each once, in the order of the first and then of the second; if these are all."""
    found = np.empty(0, dtype=np.int64)
    waiting: list[RowArray] = []
    is_whole = True
    try:
        for ones, others in pairs:
            waiting.append(ones.astype(np.int64) << 32 | others)
            if sum(map(len, waiting)) > MAX_PAIRS:
                found, waiting = np.unique(np.concatenate([found, *waiting])), []
                if len(found) > MAX_PAIRS:
                    is_whole = False
                    break
    except _TooManyError:
        is_whole = False
    found = np.unique(np.concatenate([found, *waiting]))[:MAX_PAIRS]
    return found >> 32, found & 0xFFFFFFFF, is_whole


def _compared(
    snapshot: Snapshot, rows: RowArray, ones: RowArray, others: RowArray
) -> NDArray[np.bool_]:
    """For each pair of places whether both show the same."""
    found = np.zeros(len(ones), dtype=np.bool_)
    for begin in range(0, len(ones), PAIRS):
        batch = slice(begin, begin + PAIRS)
        wanted, at = np.unique(np.concatenate([ones[batch], others[batch]]), return_inverse=True)
        _, looks = snapshot.looks.of(rows[wanted])
        half = len(at) // 2
        found[batch] = Pictures(looks).are_same(at[:half], at[half:])
    return found


def _grouped(ones: RowArray, others: RowArray) -> list[list[int]]:
    """Groups of places: the first leads, and is the same as each of those that follow it."""
    groups: dict[int, list[int]] = {}
    taken: set[int] = set()
    for one, other in zip(ones.tolist(), others.tolist(), strict=True):
        if one in taken or other in taken:
            continue
        groups.setdefault(one, [one]).append(other)
        taken.add(other)
    return list(groups.values())
