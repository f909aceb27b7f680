"""Finds copies, and images that are resized, re-encoded or cropped versions of others.

Two images are the same by the rule that a search uses (`mmsearch.duplicates.near_duplicates`).
Up to `CROPS` images, each is compared with each. Beyond, only those whose hashes are nearly equal
are compared, which finds resized and re-encoded images, and crops of a few pixels only.
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
from mmsearch.duplicates.near_duplicates import ThumbprintPairs
from mmsearch.media.pictures.thumbprint import MIRROR, compute_hashes, unpack_levels

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot

CROPS = 10_000
"""The most images among which crops are looked for."""
MAX_BITS = 5
"""The most of 64 bits in which copies that were not cropped differ."""
BANDS = 6
"""One more than `MAX_BITS`, so that two hashes that near are equal in at least one band."""
MAX_COMPARED = 400_000_000
"""The most pairs of hashes that are compared: some ten seconds."""
MAX_PAIRS = 50_000
"""The most pairs whose pixels are compared: some ten seconds."""
PAIRS = 2_048
LOOKS = 4_096
FIRSTS = 128


@dataclass(frozen=True, slots=True)
class Copies:
    """An asset with several files, in the order of their paths."""

    asset_id: str
    paths: tuple[str, ...]
    size_bytes: int

    @property
    def spare_bytes(self) -> int:
        """The size of all files but one."""
        return self.size_bytes * (len(self.paths) - 1)


@dataclass(frozen=True, slots=True)
class DuplicateGroups:
    """Groups of images that show the same, the largest image of each first; large groups first.

    `pictures` is the number of compared images, `has_crops` is True if crops were looked for,
    `is_whole` if all candidate pairs were compared.
    """

    groups: tuple[tuple[str, ...], ...]
    pictures: int
    has_crops: bool
    is_whole: bool


def find_copies(snapshot: Snapshot, *, at_most: int = 200) -> list[Copies]:
    """Returns the assets with several files, those with the most spare bytes first."""
    counts = np.diff(snapshot.file_offsets)
    several = np.flatnonzero(counts > 1)
    sizes = np.asarray(asset_rows.read_column(snapshot, "size_bytes", several), dtype=np.int64)
    first = np.argsort(-(sizes * (counts[several] - 1)), kind="stable")[:at_most]
    rows = several[first]
    ids = asset_rows.read_column(snapshot, "asset_id", rows).to_pylist()
    return [
        Copies(asset_id, tuple(paths), size_bytes)
        for asset_id, paths, size_bytes in zip(
            ids, snapshot.paths(rows.tolist()), sizes[first].tolist(), strict=True
        )
    ]


def find_duplicates(snapshot: Snapshot) -> DuplicateGroups:
    """Returns the near-duplicates of the whole library."""
    return snapshot.memoize("survey.duplicates", lambda: _find_duplicates(snapshot))


def _find_duplicates(snapshot: Snapshot) -> DuplicateGroups:
    rows = _sort_by_size(snapshot)
    positions, codes = _hash_thumbprints(snapshot, rows)
    rows = rows[positions]
    has_crops = len(rows) <= CROPS
    pairs = _find_candidates(snapshot, rows) if has_crops else _find_similar_hashes(codes)
    ones, others, is_whole = _take_first(pairs)
    is_same = _compare_pixels(snapshot, rows, ones, others)
    groups = _group_pairs(ones[is_same], others[is_same])
    ids = asset_rows.read_column(snapshot, "asset_id", rows).to_pylist()
    named_groups = [tuple(ids[position] for position in group) for group in groups]
    named_groups.sort(key=len, reverse=True)
    return DuplicateGroups(tuple(named_groups), len(rows), has_crops, is_whole)


def _sort_by_size(snapshot: Snapshot) -> RowArray:
    """Returns rows of assets, those of the most pixels and then bytes first."""
    rows = asset_rows.list_rows(snapshot)
    pixels = np.ones(len(rows))
    for name in ("width_px", "height_px"):
        pixels *= np.asarray(
            asset_rows.read_column(snapshot, name, rows).fill_null(0), dtype=np.float64
        )
    sizes = np.asarray(asset_rows.read_column(snapshot, "size_bytes", rows), dtype=np.int64)
    return rows[np.lexsort([snapshot.asset_keys[rows], -sizes, -pixels])]


def _hash_thumbprints(snapshot: Snapshot, rows: RowArray) -> tuple[RowArray, NDArray[np.uint64]]:
    """Returns the positions in `rows` that have a thumbprint, and the hash of each."""
    places, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    for begin in range(0, len(rows), LOOKS):
        found_positions, thumbprints = snapshot.thumbprints.find(rows[begin : begin + LOOKS])
        if len(found_positions):
            places.append(found_positions + begin)
            codes.append(compute_hashes(unpack_levels(thumbprints)))
    return np.concatenate(places), np.concatenate(codes)


def _find_candidates(snapshot: Snapshot, rows: RowArray) -> Iterator[tuple[RowArray, RowArray]]:
    """Returns pairs of positions in `rows` that may be the same image."""
    _, thumbprints = snapshot.thumbprints.find(rows)
    comparison = ThumbprintPairs(thumbprints)
    for begin in range(0, len(thumbprints), FIRSTS):
        yield comparison.find_candidates(begin, min(begin + FIRSTS, len(thumbprints)))


def _find_similar_hashes(codes: NDArray[np.uint64]) -> Iterator[tuple[RowArray, RowArray]]:
    """Returns pairs of positions whose hashes differ in at most `MAX_BITS`, mirrored or not.

    Each hash is cut into bands, one of which such a pair has in common; a pair comes with the first
    of its bands. Every hash is compared in both orientations: `MIRROR` flips the same bits for
    either of a pair.
    """
    count = len(codes)
    oriented = np.concatenate([codes, codes ^ MIRROR])
    edges = [64 * number // BANDS for number in range(BANDS + 1)]
    masks = [np.uint64((1 << end) - (1 << start)) for start, end in pairwise(edges)]
    compared = 0
    for number, mask in enumerate(masks):
        order = np.argsort(oriented & mask, kind="stable")
        keys = (oriented & mask)[order]
        starts = np.arange(len(order) - 1)
        for step in count_from(1):
            starts = starts[starts < len(order) - step]
            starts = starts[keys[starts] == keys[starts + step]]
            if not len(starts):
                break
            ones, others = order[starts], order[starts + step]
            differing = oriented[ones] ^ oriented[others]
            is_near = np.bitwise_count(differing) <= MAX_BITS
            # A pair comes again with both mirrored, and with every band that they share.
            is_near &= np.minimum(ones, others) < count
            for earlier in masks[:number]:
                is_near &= (differing & earlier) != 0
            ones, others = ones[is_near] % count, others[is_near] % count
            is_pair = ones != others
            yield np.minimum(ones, others)[is_pair], np.maximum(ones, others)[is_pair]
            compared += len(starts)
            if compared > MAX_COMPARED:
                raise _TooManyError


class _TooManyError(Exception):
    """There are more candidate pairs than are compared."""


def _take_first(pairs: Iterator[tuple[RowArray, RowArray]]) -> tuple[RowArray, RowArray, bool]:
    """Returns distinct pairs, in order of the first and then the second, and if they are all."""
    kept = np.empty(0, dtype=np.int64)
    waiting: list[RowArray] = []
    is_complete = True
    try:
        for ones, others in pairs:
            waiting.append(ones.astype(np.int64) << 32 | others)
            if sum(map(len, waiting)) > MAX_PAIRS:
                kept, waiting = np.unique(np.concatenate([kept, *waiting])), []
                if len(kept) > MAX_PAIRS:
                    is_complete = False
                    break
    except _TooManyError:
        is_complete = False
    kept = np.unique(np.concatenate([kept, *waiting]))[:MAX_PAIRS]
    return kept >> 32, kept & 0xFFFFFFFF, is_complete


def _compare_pixels(
    snapshot: Snapshot, rows: RowArray, ones: RowArray, others: RowArray
) -> NDArray[np.bool_]:
    """Returns a mask of the pairs that show the same image."""
    is_same = np.zeros(len(ones), dtype=np.bool_)
    for begin in range(0, len(ones), PAIRS):
        batch = slice(begin, begin + PAIRS)
        positions, indices = np.unique(
            np.concatenate([ones[batch], others[batch]]), return_inverse=True
        )
        _, thumbprints = snapshot.thumbprints.find(rows[positions])
        half = len(indices) // 2
        is_same[batch] = ThumbprintPairs(thumbprints).check_pairs(indices[:half], indices[half:])
    return is_same


def _group_pairs(ones: RowArray, others: RowArray) -> list[list[int]]:
    """Returns groups of positions; the first of a group shows the same as each other one."""
    groups: dict[int, list[int]] = {}
    followers: set[int] = set()
    for first, second in zip(ones.tolist(), others.tolist(), strict=True):
        if first in followers or second in followers:
            continue
        groups.setdefault(first, [first]).append(second)
        followers.add(second)
    return list(groups.values())
