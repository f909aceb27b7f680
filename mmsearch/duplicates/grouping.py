"""Puts near-duplicates under the best of them: one picture, resized, encoded again or cropped.

Only still pictures are compared, and only with the picture that leads a group: what looks like the
second in a group and not like the first leads a group of its own.

Pictures that were indexed by a version that kept no looks stay alone until they are indexed again.
Vectors do not take the place of looks: in the space of `mini` photographs have a cosine of 0.91 to
1.00 with their altered copies, different photographs up to 0.96 with each other, and different
slides, pages, tables and receipts 0.99 to 1.00.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.duplicates.near_duplicates import Pictures

if TYPE_CHECKING:
    from mmsearch.index.base import RowArray
    from mmsearch.snapshot.snapshot import Snapshot

FIRSTS = 32
"""Pictures whose hashes are compared with all that follow, at a time."""
BATCH = 48
"""Pairs whose pixels are compared together, if there are so many."""
MAX_PAIRS = 512
"""Pairs whose pixels are compared for one ranking, which takes a tenth of a second; what lies
beyond (further down among hundreds of slides of one deck) stays alone."""


def collapsed(
    snapshot: Snapshot, ranked: Sequence[int], *, limit: int | None = None
) -> list[tuple[int, list[int]]]:
    """Rows of assets, best first, as groups: the best of each, and its near-duplicates in order.

    At most `limit` groups, the first ones; near-duplicates are looked for among all of `ranked`.
    """
    rows = np.asarray(ranked, dtype=np.int64)
    places, looks = snapshot.looks.of(rows)
    followers = grouped(looks, places, len(rows), limit=limit)
    return [
        (ranked[place], [ranked[follower] for follower in found])
        for place, found in followers.items()
    ]


def grouped(
    looks: NDArray[np.uint8], places: RowArray, count: int, *, limit: int | None = None
) -> dict[int, list[int]]:
    """Groups of the places 0 to `count` of a ranking, in order, by the place that leads each.

    `looks` is (n, 1024) of what lies at `places`, which rise; what has no look stays alone.
    """
    walk = _Walk(looks)
    picture_at = dict(zip(places.tolist(), range(len(places)), strict=True))
    groups: dict[int, list[int]] = {}
    for place in range(count):
        if len(groups) == limit:
            break
        picture = picture_at.get(place)
        if picture is None:
            groups[place] = []
        elif not walk.is_taken[picture]:
            groups[place] = [int(places[one]) for one in walk.followers(picture)]
    return groups


class _Walk:
    """Goes through pictures in their order and takes those that are the same as an earlier one."""

    def __init__(self, looks: NDArray[np.uint8]) -> None:
        self.is_taken = np.zeros(len(looks), dtype=np.bool_)
        self._pictures = Pictures(looks)
        self._near: dict[int, RowArray] = {}
        self._same: dict[int, RowArray] = {}
        self._end = 0
        self._pairs = 0

    def followers(self, leader: int) -> list[int]:
        """What shows the same as `leader` and is not taken yet; it is taken now."""
        if leader >= self._end:
            self._look_ahead(leader)
        if leader in self._near:
            self._compare(leader)
        same = self._same.get(leader)
        if same is None:
            return []
        found: list[int] = same[~self.is_taken[same]].tolist()
        self.is_taken[found] = True
        return found

    def _look_ahead(self, begin: int) -> None:
        self._end = begin + FIRSTS
        ones, others = self._pictures.near(begin, self._end)
        for one in np.unique(ones).tolist():
            self._near[one] = others[ones == one]

    def _compare(self, leader: int) -> None:
        """Compare the pixels of a leader's pairs, and those of the next until it is a batch."""
        ones: list[int] = []
        others: list[int] = []
        for one in [each for each in self._near if each >= leader]:
            near = self._near[one]
            left = [] if self.is_taken[one] else near[~self.is_taken[near]].tolist()
            room = MAX_PAIRS - self._pairs - len(ones)
            if ones and (len(ones) + len(left) > BATCH or room < len(left)):
                break
            ones += [one] * len(left[:room])
            others += left[:room]
            del self._near[one]
        self._pairs += len(ones)
        if not ones:
            return
        first, second = np.array(ones), np.array(others)
        is_same = self._pictures.are_same(first, second)
        for one in set(ones):
            self._same[one] = second[is_same & (first == one)]
