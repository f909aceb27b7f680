"""Joins what the spaces say of one asset into one score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mmsearch.search.dense import Evidence

RANK_CONSTANT = 60
"""As in Cormack, Clarke and Büttcher 2009."""


def noisy_or(scores: Iterable[float]) -> float:
    """The chance that at least one of independent signs is right: 1 - prod(1 - s), in 0..1.

    Pearl 1988, section 4.3.2. It is never below the best of the scores, and weak signs add little.
    """
    missed = 1.0
    for score in scores:
        missed *= 1.0 - min(max(score, 0.0), 1.0)
    return 1.0 - missed


def fused(
    found: Sequence[Evidence], weights: Sequence[float], *, is_by_rank: bool = False
) -> dict[int, float]:
    """The score (0..1) of every asset that there is evidence for.

    For each term the best of each space, joined by `noisy_or`; then the mean of all terms that are
    looked for, by their weights. With `is_by_rank` it is the sum of reciprocal ranks instead, as a
    share of what the first of all spaces would have.
    """
    if is_by_rank:
        return _by_rank(found)
    if not found:
        return {}
    total = sum(weight for weight in weights if weight > 0)
    assets, at = np.unique(np.concatenate([one.assets for one in found]), return_inverse=True)
    ends = np.cumsum([len(one.assets) for one in found])
    missed: dict[int, NDArray[np.float64]] = {}
    for one, entries in zip(found, np.split(at, ends[:-1]), strict=True):
        best = np.zeros(len(assets))
        np.maximum.at(best, entries, np.clip(one.scores, 0.0, 1.0))
        missed[one.term] = missed.get(one.term, np.ones(len(assets))) * (1.0 - best)
    scores = sum(weights[term] / total * (1.0 - left) for term, left in missed.items())
    return dict(zip(assets.tolist(), np.asarray(scores).tolist(), strict=True))


def _by_rank(found: Sequence[Evidence]) -> dict[int, float]:
    scores: defaultdict[int, float] = defaultdict(float)
    lists = [one for one in found if len(one.assets)]
    for one in lists:
        for position, (asset, _) in enumerate(_best_of_assets(one), start=1):
            scores[asset] += (RANK_CONSTANT + 1) / (RANK_CONSTANT + position) / len(lists)
    return dict(scores)


def _best_of_assets(one: Evidence) -> list[tuple[int, float]]:
    """Each asset with its best score, best first."""
    order = np.argsort(-one.scores, kind="stable")
    assets = one.assets[order]
    _, first = np.unique(assets, return_index=True)
    first.sort()
    return list(zip(assets[first].tolist(), one.scores[order][first].tolist(), strict=True))
