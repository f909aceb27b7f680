"""The measures of a ranking, as ir-measures and trec_eval define them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import MissingExtra
from mmsearch.evaluation.known_answers import JudgedHit

DEPTH = 10
CUTS = (1, 5, 10)
RECALLS = tuple(f"recall@{cut}" for cut in CUTS)
MRR, NDCG, MAP = "MRR", f"nDCG@{DEPTH}", f"MAP@{DEPTH}"
RANKED = (*RECALLS, MRR, NDCG, MAP)

ValueArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RankingJudgement:
    """The relevant ranks of a ranking, from 1, and the number of relevant files."""

    right: tuple[bool, ...]
    relevant: int


def judge_ranking(
    answers: Sequence[JudgedHit],
    relevant: Collection[str],
    others: Collection[str] = frozenset(),
) -> RankingJudgement:
    """Judges a ranking; hits that lie only at `others` count neither as right nor as wrong.

    A relevant file that comes again is ignored likewise, since every moment can be a hit. Relevant
    files that one hit shows together, as near-duplicates, count as one.
    """
    unseen, passed = set(relevant), set(others)
    right: list[bool] = []
    for answer in answers:
        matched = unseen.intersection(answer.paths)
        if matched or passed.isdisjoint(answer.paths):
            right.append(bool(matched))
        unseen -= matched
        passed |= matched
    return RankingJudgement(tuple(right), sum(right) + len(unseen))


def import_ir_measures() -> Any:
    """Imports ir_measures; raises MissingExtra where it is not installed."""
    try:
        import ir_measures
    except ImportError as exc:
        raise MissingExtra(
            "the measures of an evaluation need the extra: pip install 'mmsearch[evaluate]'"
        ) from exc
    return ir_measures


def compute_measures(judgements: Sequence[RankingJudgement]) -> dict[str, ValueArray]:
    """Returns the measures in RANKED, an array each, (len(judgements),) float64 in 0..1.

    Every judgement has a relevant file. Recall is capped: the share of the relevant among
    the first k, of at most k (R_cap@k of Thakur et al., BEIR, 2021), which is the larger of recall
    and precision at k; with one right file it is the share of queries that find it. MRR, nDCG with
    binary gains (Järvelin and Kekäläinen 2002) and MAP are over the first ten.

    Raises MissingExtra.
    """
    measures = import_ir_measures()
    precisions = {measures.P @ cut: cut for cut in CUTS}
    recalls = {measures.R @ cut: cut for cut in CUTS}
    others = {measures.RR: MRR, measures.nDCG @ DEPTH: NDCG, measures.AP @ DEPTH: MAP}
    values = {name: np.zeros(len(judgements)) for name in RANKED}
    if not judgements:
        return values
    truths, runs = _convert_to_trec(judgements)
    for metric in measures.iter_calc([*precisions, *recalls, *others], truths, runs):
        row = int(metric.query_id)
        cut = precisions.get(metric.measure) or recalls.get(metric.measure)
        name = others[metric.measure] if cut is None else f"recall@{cut}"
        values[name][row] = max(values[name][row], metric.value)
    return values


def _convert_to_trec(
    judgements: Sequence[RankingJudgement],
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Returns truth and run by query; scores fall with the rank, so that there are no ties."""
    truths: dict[str, dict[str, int]] = {}
    runs: dict[str, dict[str, float]] = {}
    for row, judgement in enumerate(judgements):
        query = str(row)
        top = judgement.right[:DEPTH]
        truths[query] = {f"rank{rank}": 1 for rank, is_right in enumerate(top) if is_right}
        missed = judgement.relevant - len(truths[query])
        truths[query] |= {f"missed{number}": 1 for number in range(missed)}
        runs[query] = {f"rank{rank}": float(DEPTH - rank) for rank in range(len(top))}
    return truths, runs
