"""Removes assets that match the negative terms of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.word_index import split_words
from mmsearch.models.calibration import Calibration
from mmsearch.search import dense, lexical
from mmsearch.search.query_vectors import WeightedQueryVector
from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.types import Modality

EXCLUDED = 0.35
"""The score for a negative term from which an asset is removed."""
MAX_TEXTS = 4096


@dataclass(slots=True)
class NegativeMatches:
    """Rows that match negative terms: whole assets, and segments of the assets in `partly`.

    `near` has the best score of the remaining segments of an asset for a negative term.
    """

    assets: set[int] = field(default_factory=set)
    segments: set[int] = field(default_factory=set)
    partly: set[int] = field(default_factory=set)
    near: dict[int, float] = field(default_factory=dict)


def find_negative_matches(
    snapshot: Snapshot,
    query_vectors: Sequence[WeightedQueryVector],
    texts: Sequence[tuple[str, float]],
    curves: Mapping[str, Calibration],
    assets: Sequence[int],
    matches: NegativeMatches,
) -> None:
    """Adds to `matches` the assets (rows) and segments that match a negative term.

    `query_vectors` are of negative terms, `texts` their words with the size of their weight: a term
    that weighs 2 excludes at half the score. Exact words exclude too, in texts, names and tags.
    """
    rows = np.unique(np.asarray(list(assets), dtype=np.int64))
    for term in query_vectors:
        curve = curves.get(f"{term.vector.source}>{term.vector.space}")
        if curve is not None and term.vector.space in snapshot.filled_spaces and len(rows):
            _match_vectors(snapshot, term, curve, rows, matches)
    mask: RowMask = np.zeros(len(snapshot.modalities), dtype=np.bool_)
    mask[rows] = True
    for text, size in texts:
        named = snapshot.names.match(split_words(text), with_tags=False)
        for asset, share in zip(named.assets.tolist(), named.shares.tolist(), strict=True):
            if mask[asset] and size * share * share >= EXCLUDED:
                matches.assets.add(asset)
        tagged = snapshot.names.match_tags(split_words(text))
        is_match = mask[tagged.assets] & (size * tagged.shares**2 >= EXCLUDED)
        matches.segments.update(tagged.segments[is_match].tolist())
        matches.partly.update(tagged.assets[is_match].tolist())
        written = lexical.find_words(snapshot, text, MAX_TEXTS, mask)
        is_match = size * written.shares**2 >= EXCLUDED
        matches.segments.update(written.segments[is_match].tolist())
        matches.partly.update(written.assets[is_match].tolist())


def is_removed(snapshot: Snapshot, asset: int, matches: NegativeMatches) -> bool:
    """Tests if an asset is removed: an image with any part, a recording or film with all parts."""
    if asset not in matches.partly:
        return asset in matches.assets
    is_timed = MODALITIES[snapshot.modalities[asset]] in (Modality.AUDIO, Modality.VIDEO)
    return (
        not is_timed
        or asset in matches.assets
        or matches.segments.issuperset(snapshot.segments_of(asset).tolist())
    )


def _match_vectors(
    snapshot: Snapshot,
    term: WeightedQueryVector,
    curve: Calibration,
    assets: RowArray,
    matches: NegativeMatches,
) -> None:
    space = term.vector.space
    arrays = snapshot.spaces[space]
    rows = _find_rows(snapshot, space, assets)
    if not len(rows):
        return
    nearest = np.max(arrays.matrix.take(rows) @ term.vector.values.T, axis=1)
    segments = snapshot.segments.find(arrays.segments.take(rows))
    owners = snapshot.owners(space)[rows]
    # By segment, for a picture is seen as a whole.
    order = np.argsort(segments, kind="stable")
    begins = np.flatnonzero(np.append(True, np.diff(segments[order]) != 0))
    best = np.maximum.reduceat(nearest[order], begins)
    scores = abs(term.weight) * dense.calibrate(
        snapshot, space, curve, best, owners[order][begins], term.vector.ceiling
    )
    for segment, asset, score in zip(
        segments[order][begins].tolist(), owners[order][begins].tolist(), scores.tolist(),
        strict=True,
    ):  # fmt: skip
        if segment != NO_ROW and score >= EXCLUDED:
            matches.segments.add(segment)
            matches.partly.add(asset)
        elif segment != NO_ROW:
            matches.near[asset] = max(score, matches.near.get(asset, 0.0))


def _find_rows(snapshot: Snapshot, space: str, assets: RowArray) -> RowArray:
    """Returns the vectors of some assets, by the order of all owners, which is computed once."""
    owners = snapshot.owners(space)
    order: RowArray = snapshot.memoize(
        f"by owner {space}", lambda: np.argsort(owners, kind="stable")
    )
    begins = np.searchsorted(owners, assets, side="left", sorter=order)
    ends = np.searchsorted(owners, assets, side="right", sorter=order)
    parts = [order[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    rows = np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
    is_there = snapshot.spaces[space].is_there
    return rows if is_there is None else rows[is_there[rows]]
