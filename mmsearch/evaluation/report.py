"""The report of an evaluation: means over queries, refusals, latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.evaluation.measures import CUTS, MAP, MRR, NDCG, ValueArray
from mmsearch.evaluation.query_runner import SPAN_HITS, SPAN_IOU, Judgements, Search


@dataclass(frozen=True, slots=True)
class RankingMeans:
    """Means over the queries that have an answer.

    `recall` is by cut-off: the share of the right files among the first k hits, of at most k.
    """

    queries: int
    recall: dict[str, float]
    mrr: float
    ndcg_at_10: float
    map_at_10: float


@dataclass(frozen=True, slots=True)
class NoMatchRates:
    """The rates of right and wrong refusals; None where there are no such queries.

    `queries` counts those without an answer. A query is refused where no hit passes the cut-off.
    `precision` is the share of refused queries without an answer, `recall` the share of queries
    without an answer that was refused, `refused_wrongly` the share of queries with an answer that
    was. `auroc` is the chance that the best score of a query with an answer is above that of one
    without.
    """

    queries: int
    precision: float | None
    recall: float | None
    refused_wrongly: float | None
    auroc: float | None


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The figures of one library.

    The figures of the ranking are over the `answerable` queries, without a cut-off, and in `kinds`
    for the relevant files of each kind. `span_hits` is over the `spans` queries with a span: the
    share whose relevant file was among the first ten with a best moment that covers half of the
    span, or lies by half within it; `span_iou` is the mean intersection over union of that moment,
    0 where the file was not found. Latencies are of warm queries: the first one is not counted, and
    without queries they are 0. `class_accuracy` is for layouts whose queries are classes.
    """

    queries: int
    answerable: int
    recall: dict[str, float]
    mrr: float
    ndcg_at_10: float
    map_at_10: float
    spans: int
    span_hits: float
    span_iou: float
    no_match: NoMatchRates
    latency_ms_p50: float
    latency_ms_p95: float
    latency_ms_p99: float
    kinds: dict[str, RankingMeans] = field(default_factory=dict)
    class_accuracy: float | None = None


def build_report(judged: Judgements) -> EvaluationReport:
    """Builds the report of judged queries."""
    total = _average_ranking(judged.values)
    # By nearest rank: an observed time, not one between two.
    p50, p95, p99 = (
        np.percentile(judged.latencies_ms, (50, 95, 99), method="inverted_cdf").tolist()
        if len(judged.latencies_ms)
        else (0.0, 0.0, 0.0)
    )
    return EvaluationReport(
        queries=len(judged.is_answerable),
        answerable=total.queries,
        recall=total.recall,
        mrr=total.mrr,
        ndcg_at_10=total.ndcg_at_10,
        map_at_10=total.map_at_10,
        spans=_count_true(judged.values[SPAN_HITS]),
        span_hits=_mean_or_none(judged.values[SPAN_HITS]),
        span_iou=_mean_or_none(judged.values[SPAN_IOU]),
        no_match=_rate_refusals(judged),
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        latency_ms_p99=p99,
        kinds={kind.value: _average_ranking(values) for kind, values in judged.kinds.items()},
    )


def _average_ranking(values: Mapping[str, ValueArray]) -> RankingMeans:
    return RankingMeans(
        queries=_count_true(values[MRR]),
        recall={str(cut): _mean_or_none(values[f"recall@{cut}"]) for cut in CUTS},
        mrr=_mean_or_none(values[MRR]),
        ndcg_at_10=_mean_or_none(values[NDCG]),
        map_at_10=_mean_or_none(values[MAP]),
    )


def _count_true(values: ValueArray) -> int:
    return int(np.count_nonzero(~np.isnan(values)))


def _mean_or_none(values: ValueArray) -> float:
    return float(np.nanmean(values)) if _count_true(values) else 0.0


def _rate_refusals(judged: Judgements) -> NoMatchRates:
    refused, answerable = judged.is_refused, judged.is_answerable
    unanswerable = ~answerable
    rightly = int(np.count_nonzero(refused & unanswerable))
    return NoMatchRates(
        queries=int(np.count_nonzero(unanswerable)),
        precision=_share_or_none(rightly, refused) if unanswerable.any() else None,
        recall=_share_or_none(rightly, unanswerable),
        refused_wrongly=_share_or_none(int(np.count_nonzero(refused & answerable)), answerable),
        auroc=compute_auroc(judged.best_scores[answerable], judged.best_scores[unanswerable]),
    )


def _share_or_none(count: int, of: NDArray[np.bool_]) -> float | None:
    total = int(np.count_nonzero(of))
    return count / total if total else None


def compute_auroc(positive: ValueArray, negative: ValueArray) -> float | None:
    """Returns the area under the ROC curve: P(positive > negative), ties counting half.

    The Mann-Whitney statistic over the number of pairs (Hanley and McNeil 1982). None where either
    is empty.
    """
    if not len(positive) or not len(negative):
        return None
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))


def compute_class_accuracy(queries: Sequence[KnownQuery], search: Search, *, limit: int) -> float:
    """Returns the share of relevant files that score highest for a query they are relevant to.

    This is zero-shot classification with a query a class; `limit` is the number of files. A file
    that no query returns counts as wrong.
    """
    best: dict[str, tuple[float, int]] = {}
    for row, query in enumerate(queries):
        for answer in search(query, limit):
            for path in answer.paths:
                if path not in best or answer.score > best[path][0]:
                    best[path] = (answer.score, row)
    files = set().union(*(query.relevant for query in queries))
    right = sum(path in best and path in queries[best[path][1]].relevant for path in files)
    return right / len(files) if files else 0.0
