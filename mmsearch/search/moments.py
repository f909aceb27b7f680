"""Merges neighbouring segments of a recording or a film into moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmsearch.types import Moment, Span

GAP_S = 1.0
"""Segments that are no farther apart belong together."""
NEAR_SHARE = 0.7
"""The least share of the best score of a moment that a segment of it has."""


def merge_moments(moments: Sequence[Moment], limit: int) -> tuple[Moment, ...]:
    """Returns the best `limit` moments, best first, with neighbours of one kind merged.

    Each has its best segment; `span` covers all that were merged. A moment without a time
    stays as it is.
    """
    timed = [moment for moment in moments if moment.segment.span is not None]
    merged = [moment for moment in moments if moment.segment.span is None]
    for kind in dict.fromkeys(moment.segment.kind for moment in timed):
        merged += _merge_kind([moment for moment in timed if moment.segment.kind is kind])
    merged.sort(key=lambda moment: -moment.score)
    return tuple(merged[:limit])


def _merge_kind(moments: Sequence[Moment]) -> list[Moment]:
    """Grows each moment from its best segment to both sides, while the next is nearly as good."""
    left = sorted(moments, key=lambda moment: (-moment.score, _start(moment)))
    merged = []
    while left:
        best = left.pop(0)
        span = _span_of(best)
        # Segments may lie within each other: the next that touches need not start next.
        while near := [
            moment
            for moment in left
            if moment.score >= NEAR_SHARE * best.score and _touch(span, _span_of(moment))
        ]:
            left = [moment for moment in left if moment not in near]
            for moment in near:
                span = _join(span, _span_of(moment))
        merged.append(replace(best, span=span))
    return merged


def _span_of(moment: Moment) -> Span:
    span = moment.segment.span
    if span is None:
        raise ValueError(f"{moment.segment.id} has no time")
    return span


def _start(moment: Moment) -> tuple[float, float]:
    span = _span_of(moment)
    return span.start_s, span.end_s


def _touch(one: Span, other: Span) -> bool:
    return one.start_s - GAP_S <= other.end_s and other.start_s - GAP_S <= one.end_s


def _join(one: Span, other: Span) -> Span:
    return Span(min(one.start_s, other.start_s), max(one.end_s, other.end_s))
