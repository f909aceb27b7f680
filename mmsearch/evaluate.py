"""Recall, MRR, nDCG and span overlap over queries whose answers are known."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsearch.errors import ConfigError
from mmsearch.types import Span

DEPTH = 10
CUTS = (1, 5, 10)
OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class KnownQuery:
    """A query, the absolute paths that answer it, and for timed ones where the answer lies."""

    query: str
    relevant: frozenset[str]
    kinds: tuple[str, ...] = ()
    spans: tuple[tuple[str, Span], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A hit as far as it is judged: where it lies, its score, and its moments, best first."""

    paths: tuple[str, ...]
    score: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Means over all queries.

    `recall` is by cut-off: the share of the relevant files among the first k hits, of at most k.
    `span_hits` is over the queries with a span: the share whose right file was among the first ten
    with a best moment that covers half of the span, or lies by half within it.
    """

    queries: int
    recall: dict[str, float]
    mrr: float
    ndcg_at_10: float
    spans: int
    span_hits: float
    latency_ms_p50: float
    latency_ms_p95: float


Search = Callable[[KnownQuery, int], Sequence[Answer]]


def read_queries(path: Path) -> list[KnownQuery]:
    """Read a JSON-lines file: query, relevant, and optionally kinds, span, spans.

    `span` is [start_s, end_s] in the one recording or video among the relevant files, `spans` a
    span by path. Raises ConfigError, which names the line.
    """
    folder = path.expanduser().resolve().parent
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}") from exc
    known = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            known.append(_read(json.loads(line), folder))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ConfigError(f"{path}, line {number}: no query with answers ({exc!r})") from exc
    if not known:
        raise ConfigError(f"{path} has no queries")
    return known


def _read(row: dict[str, Any], folder: Path) -> KnownQuery:
    relevant = [str(folder / name) for name in row["relevant"]]
    # Of the relevant files one is timed; the others have no moments that a span could match.
    spans = dict.fromkeys(relevant, row["span"]) if "span" in row else {}
    spans |= {str(folder / name): span for name, span in row.get("spans", {}).items()}
    if not relevant:
        raise ValueError("nothing is relevant")
    return KnownQuery(
        query=str(row["query"]),
        relevant=frozenset(relevant),
        kinds=tuple(row.get("kinds", ())),
        spans=tuple((name, Span(float(a), float(b))) for name, (a, b) in spans.items()),
    )


def evaluate(queries: Sequence[KnownQuery], search: Search) -> Report:
    """Ask every query once; `search(query, limit)` gives the ranking."""
    recalls: dict[int, list[float]] = {cut: [] for cut in CUTS}
    ranks: list[float] = []
    gains: list[float] = []
    overlaps: list[bool] = []
    latencies: list[float] = []
    for query in queries:
        started = time.perf_counter()
        answers = search(query, DEPTH)
        latencies.append((time.perf_counter() - started) * 1000)
        found = [bool(query.relevant.intersection(answer.paths)) for answer in answers]
        for cut in CUTS:
            recalls[cut].append(recall_at_k(found, len(query.relevant), cut))
        ranks.append(reciprocal_rank(found))
        gains.append(ndcg_at_k(found, len(query.relevant), DEPTH))
        if query.spans:
            overlaps.append(_has_span(query, answers))
    latencies.sort()
    return Report(
        queries=len(queries),
        recall={str(cut): _mean(values) for cut, values in recalls.items()},
        mrr=_mean(ranks),
        ndcg_at_10=_mean(gains),
        spans=len(overlaps),
        span_hits=_mean([float(hit) for hit in overlaps]),
        latency_ms_p50=latencies[len(latencies) // 2],
        latency_ms_p95=latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def recall_at_k(found: Sequence[bool], relevant: int, k: int) -> float:
    """The share of the relevant that is among the first k, where at most k can be."""
    return sum(found[:k]) / min(relevant, k) if relevant else 0.0


def reciprocal_rank(found: Sequence[bool]) -> float:
    """One over the rank of the first that is relevant; 0 where none is."""
    return next((1 / rank for rank, hit in enumerate(found, start=1) if hit), 0.0)


def ndcg_at_k(found: Sequence[bool], relevant: int, k: int) -> float:
    """Normalised discounted cumulative gain with binary gains (Järvelin and Kekäläinen 2002)."""
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(found[:k], start=1) if hit)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, k) + 1))
    return gain / ideal if ideal else 0.0


def overlaps_by_half(found: Span, wanted: Span) -> bool:
    """Whether one covers at least half of the other."""
    shared = found.overlap_s(wanted)
    shorter = min(found.end_s - found.start_s, wanted.end_s - wanted.start_s)
    return shared > 0 and shared >= OVERLAP * shorter


def _has_span(query: KnownQuery, answers: Sequence[Answer]) -> bool:
    wanted = dict(query.spans)
    return any(
        overlaps_by_half(answer.spans[0], wanted[path])
        for answer in answers
        for path in answer.paths
        if path in wanted and answer.spans
    )
