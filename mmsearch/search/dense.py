"""Scores segments by dense similarity, per space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.index.base import NO_ROW, RowArray, RowMask, find_nearest_to_any
from mmsearch.models.calibration import Calibration
from mmsearch.search.calibration import calibrate_by_kind
from mmsearch.search.query_vectors import WeightedQueryVector, combine_terms
from mmsearch.search.scores import TermScores
from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from mmsearch.types import FloatArray


def score_dense(
    snapshot: Snapshot,
    query_vectors: Sequence[WeightedQueryVector],
    curves: Mapping[str, Calibration],
    mask: RowMask | None,
    depth: int,
) -> list[TermScores]:
    """Scores the segments nearest to the terms of a query in one space, for each term.

    All `query_vectors` are of positive terms and of that space; `curves` are by source and space.
    Assets pass `mask`, by their row; None lets all pass. `depth` segments are taken for each term.
    """
    terms = [term for term in query_vectors if _curve_name(term) in curves]
    if not terms:
        return []
    space = terms[0].vector.space
    arrays = snapshot.spaces[space]
    allowed = None if mask is None else np.append(mask, False)[snapshot.owners(space)]
    queries = [term.vector.values for term in terms]
    if len(terms) > 1:  # a segment near the sum of the terms may be far from each of them
        queries.append(combine_terms([(term.vector.values, term.weight) for term in terms]))
    nearest = [
        find_nearest_to_any(arrays.index, values, depth, allowed=allowed) for values in queries
    ]
    rows = nearest[0].rows
    if len(nearest) > 1:
        rows = np.unique(np.concatenate([neighbours.rows for neighbours in nearest]))
    owners = snapshot.asset_rows(arrays.assets.take(rows)) if len(rows) else rows
    if mask is None and (owners == NO_ROW).any():
        # An asset without a file is being removed, or was never finished: it is no hit.
        everything = np.ones(len(snapshot.modalities), dtype=np.bool_)
        return score_dense(snapshot, query_vectors, curves, everything, depth)
    segments = snapshot.segments.find(arrays.segments.take(rows)) if len(rows) else rows
    # A segment that is not there was being written when the writer was killed.
    there = (segments != NO_ROW) & (owners != NO_ROW)
    rows, owners, segments = rows[there], owners[there], segments[there]
    boxes = arrays.boxes.take(rows) if len(rows) else np.empty((0, 4), dtype=np.float32)
    vectors = arrays.matrix.take(rows) if len(terms) > 1 else None
    is_complete = all(len(neighbours.rows) < depth for neighbours in nearest)
    scores = []
    for term, neighbours in zip(terms, nearest, strict=False):
        curve, ceiling = curves[_curve_name(term)], term.vector.ceiling
        similarities = (
            neighbours.similarities[there]
            if vectors is None
            else _max_similarity(vectors, term.vector.values)
        )
        last = neighbours.similarities[-1:]
        scores.append(
            TermScores(
                space=space,
                term=term.term,
                assets=owners,
                segments=segments,
                scores=calibrate(snapshot, space, curve, similarities, owners, ceiling),
                similarities=similarities,
                boxes=boxes,
                is_complete=is_complete,
                best_beyond=_max_score(snapshot, space, curve, last, ceiling),
            )
        )
    return scores


def calibrate(
    snapshot: Snapshot,
    space: str,
    curve: Calibration,
    similarities: FloatArray,
    owners: RowArray,
    ceiling: float,
) -> FloatArray:
    """Turns similarities into scores by the curve for the kind of each asset."""
    scores = curve.compute_scores(similarities, ceiling)
    if curve.background is None:
        return scores  # it is the same for all kinds
    kinds = snapshot.modalities[owners]
    for kind, moved in calibrate_by_kind(snapshot, space, curve).items():
        of_kind = kinds == MODALITIES.index(kind)
        scores[of_kind] = moved.compute_scores(similarities[of_kind], ceiling)
    return scores


def _curve_name(term: WeightedQueryVector) -> str:
    return f"{term.vector.source}>{term.vector.space}"


def _max_score(
    snapshot: Snapshot, space: str, curve: Calibration, similarities: FloatArray, ceiling: float
) -> float:
    """Returns the best score of some similarities over all kinds of assets; 0 of none."""
    curves = [curve, *calibrate_by_kind(snapshot, space, curve).values()]
    return max(
        float(kind.compute_scores(similarities, ceiling).max(initial=0.0)) for kind in curves
    )


def _max_similarity(vectors: FloatArray, queries: FloatArray) -> FloatArray:
    if not len(vectors):
        return np.empty(0, dtype=np.float32)
    # Not a matrix product: there a similarity depends, in its last bit, on the number of rows.
    best: FloatArray = np.vecdot(vectors[:, None], queries).max(axis=1)
    return best
