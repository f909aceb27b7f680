"""Groups near-duplicates (resized, re-encoded or cropped images) under the best of them.

Only still images are compared, and only with the image that leads a group: one like the second of
a group and unlike the first leads a group of its own.

Images that were indexed by a version without thumbprints stay alone until they are indexed again.
Vectors do not take the place of thumbprints: in the space of `mini` photographs have a cosine of
0.91 to 1.00 with their altered copies, different photographs up to 0.96 with each other, and
different slides, pages, tables and receipts 0.99 to 1.00.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.duplicates.near_duplicates import ThumbprintPairs

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot

FIRSTS = 32
"""Images whose hashes are compared with all that follow, at a time."""
BATCH = 48
"""Pairs whose pixels are compared together, if there are so many."""
MAX_PAIRS = 512
"""Pairs whose pixels are compared for one ranking, which takes a tenth of a second; what lies
beyond (further down among hundreds of slides of one deck) stays alone."""


def group_ranking(
    snapshot: Snapshot, ranked: Sequence[int], *, limit: int | None = None
) -> list[tuple[int, list[int]]]:
    """Groups rows of assets, best first: the best of each group, and its near-duplicates in order.

    At most `limit` groups, the first ones; near-duplicates are looked for among all of `ranked`.
    """
    rows = np.asarray(ranked, dtype=np.int64)
    places, thumbprints = snapshot.thumbprints.find(rows)
    groups = group_thumbprints(thumbprints, places, len(rows), limit=limit)
    return [
        (ranked[place], [ranked[follower] for follower in group]) for place, group in groups.items()
    ]


def group_thumbprints(
    thumbprints: NDArray[np.uint8], places: RowArray, count: int, *, limit: int | None = None
) -> dict[int, list[int]]:
    """Groups the places 0 to `count` of a ranking, in order, by the place that leads each group.

    `thumbprints` is (n, 1024), one for each of `places`, which rise; a place without one stays
    alone.
    """
    builder = _GroupBuilder(thumbprints)
    image_at = dict(zip(places.tolist(), range(len(places)), strict=True))
    groups: dict[int, list[int]] = {}
    for place in range(count):
        if len(groups) == limit:
            break
        image = image_at.get(place)
        if image is None:
            groups[place] = []
        elif not builder.is_taken[image]:
            groups[place] = [int(places[follower]) for follower in builder.take_followers(image)]
    return groups


class _GroupBuilder:
    """Goes through images in order and takes those that are the same as an earlier one."""

    def __init__(self, thumbprints: NDArray[np.uint8]) -> None:
        self.is_taken = np.zeros(len(thumbprints), dtype=np.bool_)
        self._thumbprints = ThumbprintPairs(thumbprints)
        self._near: dict[int, RowArray] = {}
        self._same: dict[int, RowArray] = {}
        self._end = 0
        self._pairs = 0

    def take_followers(self, leader: int) -> list[int]:
        """Takes and return the images that show the same as `leader` and are not taken yet."""
        if leader >= self._end:
            self._look_ahead(leader)
        if leader in self._near:
            self._compare(leader)
        same = self._same.get(leader)
        if same is None:
            return []
        followers: list[int] = same[~self.is_taken[same]].tolist()
        self.is_taken[followers] = True
        return followers

    def _look_ahead(self, begin: int) -> None:
        self._end = begin + FIRSTS
        ones, others = self._thumbprints.find_candidates(begin, self._end)
        for leader in np.unique(ones).tolist():
            self._near[leader] = others[ones == leader]

    def _compare(self, leader: int) -> None:
        """Compare the pixels of a leader's pairs, and those of the next until it is a batch."""
        ones: list[int] = []
        others: list[int] = []
        for image in [near for near in self._near if near >= leader]:
            near = self._near[image]
            left = [] if self.is_taken[image] else near[~self.is_taken[near]].tolist()
            room = MAX_PAIRS - self._pairs - len(ones)
            if ones and (len(ones) + len(left) > BATCH or room < len(left)):
                break
            ones += [image] * len(left[:room])
            others += left[:room]
            del self._near[image]
        self._pairs += len(ones)
        if not ones:
            return
        first, second = np.array(ones), np.array(others)
        is_same = self._thumbprints.check_pairs(first, second)
        for image in set(ones):
            self._same[image] = second[is_same & (first == image)]
