"""What one space says of segments for one term of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.base import NO_ROW, RowArray, RowMask, near_any
from mmsearch.index.word_index import words
from mmsearch.models.presets import Calibration
from mmsearch.search import lexical
from mmsearch.search.calibration import curves_by_kind
from mmsearch.search.query_vectors import WeightedQueryVector, combine_terms
from mmsearch.snapshot.snapshot import MODALITIES, Snapshot

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

NAMES = "name"
"""The pseudo-space of file names, folder names, titles and tags."""
WORDS = "words"
"""The pseudo-space of exact words in what is said and written."""
NAME_WEIGHT = 0.9
CALLED = 0.999
"""A file that is called just that is what is meant."""
WHOLE, MOST_WHOLE = 0.999, 64
WORD_WEIGHT = 0.95
MIN_WRITTEN, WRITTEN_SHARE = 64, 4
"""Texts are looked into one by one: of them a quarter as many as of vectors."""
RANK_SHARE = 0.15
"""How much of a score for words is left to their rank by BM25."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a space says: one entry a vector or a text, all arrays of the same length.

    `term` is the number of the term. `segments` are rows, NO_ROW where only the asset is known;
    `scores` are calibrated to 0..1; `boxes` is (n, 4), NaN where there is none. `is_all` says that
    a deeper search would find no more, else `beyond` is the best score that it could bring; `rank`
    is that of the asset, where all entries are of one.
    """

    space: str
    term: int
    assets: RowArray
    segments: RowArray
    scores: FloatArray
    similarities: FloatArray
    boxes: NDArray[np.float32] | None
    is_all: bool
    beyond: float = 0.0
    rank: int = 0

    def without(self, segments: RowArray) -> Evidence:
        """All but the entries of these segments."""
        return self._of(np.flatnonzero(~np.isin(self.segments, segments)))

    def _of(self, entries: RowArray) -> Evidence:
        return replace(
            self,
            assets=self.assets[entries],
            segments=self.segments[entries],
            scores=self.scores[entries],
            similarities=self.similarities[entries],
            boxes=None if self.boxes is None else self.boxes[entries],
        )

    def at(self, entries: RowArray) -> Evidence:
        """Some entries, all of one asset, with the rank of that asset."""
        best = entries[int(self.scores[entries].argmax())]
        is_before = self.scores > self.scores[best]
        is_before[:best] |= self.scores[:best] == self.scores[best]
        before = self.assets[is_before]
        return replace(self._of(entries), rank=len(np.unique(before)) + 1)


def seen(
    snapshot: Snapshot,
    probes: Sequence[WeightedQueryVector],
    curves: Mapping[str, Calibration],
    mask: RowMask | None,
    depth: int,
) -> list[Evidence]:
    """What one space says, for each term, of the segments that are nearest to any of them.

    All `probes` are of terms that are looked for, and in that space.
    """
    wanted = [one for one in probes if f"{one.vector.source}>{one.vector.space}" in curves]
    if not wanted:
        return []
    space = wanted[0].vector.space
    arrays = snapshot.spaces[space]
    allowed = None if mask is None else np.append(mask, False)[snapshot.owners(space)]
    asked = [one.vector.values for one in wanted]
    if len(wanted) > 1:  # what is a little of each term may be far from any one of them
        asked.append(combine_terms([(one.vector.values, one.weight) for one in wanted]))
    found = [near_any(arrays.index, vectors, depth, allowed=allowed) for vectors in asked]
    rows = found[0].rows if len(found) == 1 else np.unique(np.concatenate([f.rows for f in found]))
    owners = snapshot.asset_rows(arrays.assets.take(rows)) if len(rows) else rows
    if mask is None and (owners == NO_ROW).any():
        # An asset without a file is being removed, or was never finished: it is not found.
        everything = np.ones(len(snapshot.modalities), dtype=np.bool_)
        return seen(snapshot, probes, curves, everything, depth)
    segments = snapshot.segments.of(arrays.segments.take(rows)) if len(rows) else rows
    # A segment that is not there was being written when the writer was killed.
    there = (segments != NO_ROW) & (owners != NO_ROW)
    is_all = all(len(one.rows) < depth for one in found)
    similarities = found[0].similarities if len(wanted) == 1 else None
    rows, owners, segments = rows[there], owners[there], segments[there]
    boxes = arrays.boxes.take(rows) if len(rows) else np.empty((0, 4), dtype=np.float32)
    vectors = arrays.matrix.take(rows) if similarities is None else None
    evidence = []
    for one, own in zip(wanted, found, strict=False):
        curve = curves[f"{one.vector.source}>{one.vector.space}"]
        near = _best(vectors, one.vector.values) if similarities is None else similarities[there]
        evidence.append(
            Evidence(
                space=space,
                term=one.term,
                assets=owners,
                segments=segments,
                scores=calibrated(snapshot, space, curve, near, owners, one.vector.ceiling),
                similarities=near,
                boxes=boxes,
                is_all=is_all,
                beyond=_most(snapshot, space, curve, own.similarities[-1:], one.vector.ceiling),
            )
        )
    return evidence


def calibrated(
    snapshot: Snapshot,
    space: str,
    curve: Calibration,
    similarities: FloatArray,
    owners: RowArray,
    ceiling: float,
) -> FloatArray:
    """By the curve for the kind of each asset."""
    scores = curve.scores(similarities, ceiling)
    if curve.background is None:
        return scores  # it is the same for all kinds
    kinds = snapshot.modalities[owners]
    for kind, moved in curves_by_kind(snapshot, space, curve).items():
        of_kind = kinds == MODALITIES.index(kind)
        scores[of_kind] = moved.scores(similarities[of_kind], ceiling)
    return scores


def _most(
    snapshot: Snapshot, space: str, curve: Calibration, similarities: FloatArray, ceiling: float
) -> float:
    """The best score of such similarities, whatever the kind of the asset; 0 of none."""
    every = [curve, *curves_by_kind(snapshot, space, curve).values()]
    return max(float(one.scores(similarities, ceiling).max(initial=0.0)) for one in every)


def _best(vectors: FloatArray | None, queries: FloatArray) -> FloatArray:
    if vectors is None or not len(vectors):
        return np.empty(0, dtype=np.float32)
    # Not a product of matrices: there a similarity depends, in its last bit, on how many there are.
    found: FloatArray = np.vecdot(vectors[:, None], queries).max(axis=1)
    return found


def said(snapshot: Snapshot, query: str, term: int, mask: RowMask | None, depth: int) -> Evidence:
    """What the words of what is said and written say of their segments."""
    depth = max(MIN_WRITTEN, depth // WRITTEN_SHARE)
    found = lexical.written(snapshot, query, depth, mask)
    ranks = found.bm25 / max(float(found.bm25.max(initial=0.0)), 1e-9)
    # The square: half of the words is far less than half of a match.
    scores = WORD_WEIGHT * found.shares**2 * (1 - RANK_SHARE + RANK_SHARE * ranks)
    order = np.argsort(-scores, kind="stable")
    return Evidence(
        space=WORDS,
        term=term,
        assets=found.assets[order],
        segments=found.segments[order],
        scores=scores[order].astype(np.float32),
        similarities=found.shares[order],
        boxes=None,
        is_all=found.is_all,
        beyond=float(scores.min()) if len(scores) else 0.0,
    )


def named(snapshot: Snapshot, query: str, term: int, mask: RowMask | None) -> Evidence:
    """What names, titles and tags say of their assets."""
    found = snapshot.names.match(words(query))
    passes = np.ones(len(found.assets), dtype=np.bool_) if mask is None else mask[found.assets]
    passes &= np.diff(snapshot.file_offsets)[found.assets] > 0
    assets, shares = found.assets[passes], found.shares[passes]
    scores = NAME_WEIGHT * shares**2
    whole = np.flatnonzero(shares >= WHOLE)
    if 0 < len(whole) <= MOST_WHOLE:
        scores[whole[_are_called(snapshot, assets[whole].tolist(), query)]] = CALLED
    order = np.lexsort((assets, -scores))
    return Evidence(
        space=NAMES,
        term=term,
        assets=assets[order],
        segments=np.full(len(order), NO_ROW),
        scores=scores[order].astype(np.float32),
        similarities=shares[order],
        boxes=None,
        is_all=True,
    )


def _are_called(snapshot: Snapshot, assets: Sequence[int], query: str) -> RowMask:
    """Which of these assets have a file whose name is the query and nothing else."""
    wanted = set(words(query))
    return np.array(
        [
            any(set(words(PurePath(path).stem)) == wanted for path in paths)
            for paths in snapshot.paths(assets)
        ],
        dtype=np.bool_,
    )
