"""The measures of a ranking, as ir-measures and trec_eval define them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import MissingExtra
from mmsearch.evaluation.known_answers import Answer

DEPTH = 10
CUTS = (1, 5, 10)
RECALLS = tuple(f"recall@{cut}" for cut in CUTS)
MRR, NDCG, MAP = "MRR", f"nDCG@{DEPTH}", f"MAP@{DEPTH}"
RANKED = (*RECALLS, MRR, NDCG, MAP)

ValueArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """Which ranks of a ranking, from the first, were right; and how many right ones there are."""

    right: tuple[bool, ...]
    relevant: int


def found_in(
    answers: Sequence[Answer],
    relevant: Collection[str],
    others: Collection[str] = frozenset(),
) -> Found:
    """Judge a ranking. What lies only at `others` is passed over, neither right nor wrong.

    So is a right file that comes again, where every moment is an answer. Right files that one
    answer shows together, as near-duplicates, count as one.
    """
    unseen, passed = set(relevant), set(others)
    right: list[bool] = []
    for answer in answers:
        here = unseen.intersection(answer.paths)
        if here or passed.isdisjoint(answer.paths):
            right.append(bool(here))
        unseen -= here
        passed |= here
    return Found(tuple(right), sum(right) + len(unseen))


def require_measures() -> Any:
    """The module ir_measures; raises MissingExtra where it is not installed."""
    try:
        import ir_measures
    except ImportError as exc:
        raise MissingExtra(
            "the measures of an evaluation need the extra: pip install 'mmsearch[evaluate]'"
        ) from exc
    return ir_measures


def ranked(founds: Sequence[Found]) -> dict[str, ValueArray]:
    """The measures in RANKED, an array each, (len(founds),) float64 in 0..1.

    Every one of `founds` has something relevant. Recall is capped: the share of the relevant among
    the first k, of at most k (R_cap@k of Thakur et al., BEIR, 2021), which is the larger of recall
    and precision at k; with one right file it is the share of queries that find it. MRR, nDCG with
    binary gains (Järvelin and Kekäläinen 2002) and MAP are over the first ten.

    Raises MissingExtra.
    """
    measures = require_measures()
    precisions = {measures.P @ cut: cut for cut in CUTS}
    recalls = {measures.R @ cut: cut for cut in CUTS}
    others = {
        measures.RR: MRR,
        measures.nDCG @ DEPTH: NDCG,
        measures.AP @ DEPTH: MAP,
    }
    values = {name: np.zeros(len(founds)) for name in RANKED}
    if not founds:
        return values
    truths, runs = _as_trec(founds)
    for metric in measures.iter_calc([*precisions, *recalls, *others], truths, runs):
        row = int(metric.query_id)
        cut = precisions.get(metric.measure) or recalls.get(metric.measure)
        name = others[metric.measure] if cut is None else f"recall@{cut}"
        values[name][row] = max(values[name][row], metric.value)
    return values


def _as_trec(
    founds: Sequence[Found],
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Truth and run by query; scores fall with the rank, so that no ties are broken anew."""
    truths: dict[str, dict[str, int]] = {}
    runs: dict[str, dict[str, float]] = {}
    for row, found in enumerate(founds):
        query = str(row)
        at = found.right[:DEPTH]
        truths[query] = {f"rank{rank}": 1 for rank, is_right in enumerate(at) if is_right}
        missed = found.relevant - len(truths[query])
        truths[query] |= {f"missed{number}": 1 for number in range(missed)}
        runs[query] = {f"rank{rank}": float(DEPTH - rank) for rank in range(len(at))}
    return truths, runs
