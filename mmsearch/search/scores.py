"""Scores of segments for one term of a query in one space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import RowArray

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

METADATA_SPACE = "name"
"""The pseudo-space of file names, folder names, titles and tags."""
LEXICAL_SPACE = "words"
"""The pseudo-space of exact words in speech, OCR and documents."""


@dataclass(frozen=True, slots=True)
class TermScores:
    """The scores of one term in one space: an entry a vector or a text, all arrays of one length.

    `term` is the number of the term. `segments` are rows, NO_ROW where only the asset is known;
    `scores` are calibrated to 0..1; `boxes` is (n, 4), NaN for no box. With `is_complete` a deeper
    search finds no more, else `best_beyond` is the best score that it could find. `rank` is that of
    the asset, where all entries are of one asset.
    """

    space: str
    term: int
    assets: RowArray
    segments: RowArray
    scores: FloatArray
    similarities: FloatArray
    boxes: NDArray[np.float32] | None
    is_complete: bool
    best_beyond: float = 0.0
    rank: int = 0

    def exclude_segments(self, segments: RowArray) -> TermScores:
        """Returns all entries but those of some segments."""
        return self._select(np.flatnonzero(~np.isin(self.segments, segments)))

    def _select(self, entries: RowArray) -> TermScores:
        return replace(
            self,
            assets=self.assets[entries],
            segments=self.segments[entries],
            scores=self.scores[entries],
            similarities=self.similarities[entries],
            boxes=None if self.boxes is None else self.boxes[entries],
        )

    def select_asset(self, entries: RowArray) -> TermScores:
        """Returns entries that are all of one asset, with the rank of that asset."""
        best = entries[int(self.scores[entries].argmax())]
        is_before = self.scores > self.scores[best]
        is_before[:best] |= self.scores[:best] == self.scores[best]
        before = self.assets[is_before]
        return replace(self._select(entries), rank=len(np.unique(before)) + 1)
