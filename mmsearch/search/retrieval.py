"""Answers a search request: plans it, scores assets in every space, fuses, makes hits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.duplicates.grouping import group_ranking
from mmsearch.duplicates.stacks import stack_hits
from mmsearch.runtime.concurrency import ConcurrencyGauge, submit
from mmsearch.search import dense, fusion, lexical, listing, metadata
from mmsearch.search.hits import RankedAsset, build_hits
from mmsearch.search.negation import NegativeMatches, find_negative_matches, is_removed
from mmsearch.search.plan import SearchPlan
from mmsearch.search.query_vectors import WeightedQueryVector, encode_query
from mmsearch.search.scores import TermScores
from mmsearch.types import Hit

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders
    from mmsearch.query.request import SearchRequest
    from mmsearch.search.query_vectors import ExampleEncoder
    from mmsearch.snapshot.snapshot import Snapshot

DEPTH = 32
"""Segments that are taken from each space for every hit of the limit."""
MIN_DEPTH = 256
DEEPER = 4
LOOKED_AT = 4
"""Assets that are held against the terms to be avoided, for every hit of the limit."""
_DENSE_SEARCHES = ConcurrencyGauge()
Scores = Future[list[TermScores]]
"""Scores that a background thread works out."""


def search(
    snapshot: Snapshot,
    request: SearchRequest,
    encoders: Encoders,
    encode_example: ExampleEncoder,
) -> list[Hit]:
    """Returns the hits of a checked request, best first, or the newest where it seeks nothing.

    Raises QueryError for an example that cannot be searched by.
    """
    plan = SearchPlan.create(snapshot, request, encoders.preset.calibrations)
    query = request.query
    if not query.seeks and not plan.has_avoided:
        return listing.list_newest(plan)
    # Words are looked up in background threads while the query is encoded.
    lexical_scores = submit(partial(_score_lexical, plan, _start_depth(plan)))
    metadata_scores = submit(partial(_score_metadata, plan))
    vectors = encode_query(query, encoders, encode_example, snapshot.filled_spaces)
    plan = replace(plan, vectors=vectors if request.ranking.vectors else ())
    return rank(plan, lexical_scores, metadata_scores) if query.seeks else listing.list_newest(plan)


def rank(plan: SearchPlan, lexical_scores: Scores, metadata_scores: Scores) -> list[Hit]:
    """Returns the best assets of a plan with query vectors that pass the cut-off, up to its limit.

    Every space that a term can enter is searched by itself. An asset's score there is that of its
    best segment; scores of several spaces are joined by `noisy_or`, those of several terms are
    averaged by their weights; what matches a term to be avoided goes. The search goes deeper until
    there are as many hits as the limit, or nothing more can pass.
    """
    limit, cutoff = plan.request.limit, plan.cutoff
    depth = _start_depth(plan)
    while True:
        evidence = [*_score_dense(plan, depth), *lexical_scores.result(), *metadata_scores.result()]
        scores = fusion.fuse(evidence, plan.weights, is_by_rank=plan.is_by_rank)
        best = _sort([(s, asset) for asset, s in scores.items() if s >= cutoff.rest])
        matched = NegativeMatches()
        if plan.has_avoided:
            best, matched = _remove_avoided(plan, best, evidence)
        if best and best[0][0] < cutoff.first:
            best = []
        groups = _group_duplicates(plan, best)
        can_go_deeper = any(
            not one.is_complete and one.best_beyond >= cutoff.rest for one in evidence
        )
        if len(groups) >= limit or not can_go_deeper:
            break
        depth *= DEEPER
        lexical_scores = submit(partial(_score_lexical, plan, depth))
    evidence = _drop_segments(evidence, matched)
    ranking = plan.request.ranking
    ranked = build_hits(
        plan.snapshot,
        [
            RankedAsset(score, asset, _select_asset(evidence, asset), tuple(duplicates))
            for score, asset, duplicates in groups[:limit]
        ],
        matched.segments,
        plan.request.query.words,
        models=plan.provenance,
        through=plan.filter_mask,
        limit=limit,
        is_grouped=ranking.group,
    )
    if ranking.group and ranking.dedupe:
        ranked = stack_hits(ranked)
    # Without groups a moment is a hit, and those of an asset are not all as good as the best.
    return [hit for hit in ranked if hit.score >= cutoff.rest]


def _start_depth(plan: SearchPlan) -> int:
    return max(MIN_DEPTH, plan.request.limit * DEPTH)


def _score_dense(plan: SearchPlan, depth: int) -> list[TermScores]:
    by_space: defaultdict[str, list[WeightedQueryVector]] = defaultdict(list)
    for weighted in plan.vectors:
        if weighted.weight > 0 and weighted.vector.space in plan.snapshot.filled_spaces:
            by_space[weighted.vector.space].append(weighted)
    searches = [
        partial(dense.score_dense, plan.snapshot, vectors, plan.calibrations, plan.allowed, depth)
        for vectors in by_space.values()
    ]
    with _DENSE_SEARCHES as count:
        # Side by side a search is done sooner, several at a time are done later.
        if count > 1:
            return [scores for search in searches for scores in search()]
        others = [submit(search) for search in searches[1:]]
        first = searches[0]() if searches else []
        return [*first, *(scores for other in others for scores in other.result())]


def _score_lexical(plan: SearchPlan, depth: int) -> list[TermScores]:
    return [
        lexical.score_lexical(plan.snapshot, text, term, plan.allowed, depth)
        for term, text in plan.sought_texts.items()
    ]


def _score_metadata(plan: SearchPlan) -> list[TermScores]:
    return [
        metadata.score_metadata(plan.snapshot, text, term, plan.allowed)
        for term, text in plan.sought_texts.items()
    ]


def _sort(scores: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Sorts assets by their scores, best first, equal ones by their rows."""
    scores.sort(key=lambda pair: (-pair[0], pair[1]))
    return scores


def _remove_avoided(
    plan: SearchPlan, best: Sequence[tuple[float, int]], evidence: list[TermScores]
) -> tuple[list[tuple[float, int]], NegativeMatches]:
    """Removes assets that match a term to be avoided; near misses lose some of their score.

    They are held against these terms in lots, best first, until as many remain as the limit.
    """
    snapshot, limit, least = plan.snapshot, plan.request.limit, plan.cutoff.rest
    texts, vectors = plan.avoided_texts, plan.avoided_vectors
    matched = NegativeMatches()
    kept: list[tuple[float, int]] = []
    lot = max(MIN_DEPTH, limit * LOOKED_AT)
    for first in range(0, len(best), lot):
        scores = {asset: score for score, asset in best[first : first + lot]}
        find_negative_matches(snapshot, vectors, texts, plan.calibrations, list(scores), matched)
        if partly := matched.partly.intersection(scores):  # the rest of them must match by itself
            remaining = _drop_segments(evidence, matched)
            rescored = fusion.fuse(remaining, plan.weights, is_by_rank=plan.is_by_rank)
            scores |= {asset: rescored.get(asset, 0.0) for asset in partly}
        for asset, score in scores.items():
            lowered = score * (1.0 - min(1.0, matched.near.get(asset, 0.0)))
            if lowered > 0.0 and lowered >= least and not is_removed(snapshot, asset, matched):
                kept.append((lowered, asset))
        if len(kept) >= limit:
            break
    return _sort(kept), matched


def _drop_segments(evidence: list[TermScores], matched: NegativeMatches) -> list[TermScores]:
    """Returns the evidence without that of segments that match a term to be avoided."""
    if not matched.segments:
        return evidence
    gone = np.array(sorted(matched.segments), dtype=np.int64)
    return [one.exclude_segments(gone) for one in evidence]


def _group_duplicates(
    plan: SearchPlan, best: Sequence[tuple[float, int]]
) -> list[tuple[float, int, list[int]]]:
    """Puts near-duplicates under the best of them: score, asset, the others."""
    if not plan.request.ranking.dedupe:
        return [(score, asset, []) for score, asset in best]
    limit = plan.request.limit
    scores = {asset: score for score, asset in best}
    ranked = [asset for _, asset in best[: max(MIN_DEPTH, limit * LOOKED_AT)]]
    groups = group_ranking(plan.snapshot, ranked, limit=limit)
    return [(scores[asset], asset, duplicates) for asset, duplicates in groups]


def _select_asset(evidence: Sequence[TermScores], asset: int) -> tuple[TermScores, ...]:
    """Returns the entries of one asset, by space."""
    entries = [(one, np.flatnonzero(one.assets == asset)) for one in evidence]
    return tuple(one.select_asset(rows) for one, rows in entries if len(rows))
