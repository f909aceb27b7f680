"""Fuses the scores of an asset in several spaces into one score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mmsearch.search.scores import TermScores

RANK_CONSTANT = 60
"""As in Cormack, Clarke and Büttcher 2009."""


def noisy_or(scores: Iterable[float]) -> float:
    """Returns the probability that at least one of independent signs is right: 1 - prod(1 - s).

    Pearl 1988, section 4.3.2. It is never below the best of the scores, and weak signs add little.
    """
    missed = 1.0
    for score in scores:
        missed *= 1.0 - min(max(score, 0.0), 1.0)
    return 1.0 - missed


def fuse(
    scores_by_term: Sequence[TermScores], weights: Sequence[float], *, is_by_rank: bool = False
) -> dict[int, float]:
    """Returns the score (0..1) of every asset that has scores.

    For each term the best of each space, joined by `noisy_or`; then the mean of all positive terms,
    by their weights. With `is_by_rank` it is the sum of reciprocal ranks instead, as a
    share of what the first of all spaces would have.
    """
    if is_by_rank:
        return _fuse_by_rank(scores_by_term)
    if not scores_by_term:
        return {}
    total = sum(weight for weight in weights if weight > 0)
    assets, positions = np.unique(
        np.concatenate([scores.assets for scores in scores_by_term]), return_inverse=True
    )
    ends = np.cumsum([len(scores.assets) for scores in scores_by_term])
    missed: dict[int, NDArray[np.float64]] = {}
    for scores, entries in zip(scores_by_term, np.split(positions, ends[:-1]), strict=True):
        best = np.zeros(len(assets))
        np.maximum.at(best, entries, np.clip(scores.scores, 0.0, 1.0))
        missed[scores.term] = missed.get(scores.term, np.ones(len(assets))) * (1.0 - best)
    fused = sum(weights[term] / total * (1.0 - left) for term, left in missed.items())
    return dict(zip(assets.tolist(), np.asarray(fused).tolist(), strict=True))


def _fuse_by_rank(scores_by_term: Sequence[TermScores]) -> dict[int, float]:
    fused: defaultdict[int, float] = defaultdict(float)
    lists = [scores for scores in scores_by_term if len(scores.assets)]
    for scores in lists:
        for position, (asset, _) in enumerate(_rank_assets(scores), start=1):
            fused[asset] += (RANK_CONSTANT + 1) / (RANK_CONSTANT + position) / len(lists)
    return dict(fused)


def _rank_assets(scores: TermScores) -> list[tuple[int, float]]:
    """Returns each asset with its best score, best first."""
    order = np.argsort(-scores.scores, kind="stable")
    assets = scores.assets[order]
    _, first = np.unique(assets, return_index=True)
    first.sort()
    return list(zip(assets[first].tolist(), scores.scores[order][first].tolist(), strict=True))
