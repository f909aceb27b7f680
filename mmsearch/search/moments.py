"""Joins neighbouring segments of a recording or a film into moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmsearch.types import Moment, Span

GAP_S = 1.0
"""Segments that are no farther apart belong together."""
NEAR_SHARE = 0.7
"""What scores less than this share of the best of a moment is no part of it."""


def merged(moments: Sequence[Moment], limit: int) -> tuple[Moment, ...]:
    """The best `limit` moments, best first, those of one kind that follow each other as one.

    Each is shown by its best segment; `span` covers all that were joined. A moment without a time
    stays as it is.
    """
    timed = [one for one in moments if one.segment.span is not None]
    found = [one for one in moments if one.segment.span is None]
    for kind in dict.fromkeys(one.segment.kind for one in timed):
        found += _of_kind([one for one in timed if one.segment.kind is kind])
    found.sort(key=lambda one: -one.score)
    return tuple(found[:limit])


def _of_kind(moments: Sequence[Moment]) -> list[Moment]:
    """Grown from the best segment to both sides, as long as what is next is nearly as good."""
    left = sorted(moments, key=lambda one: (-one.score, _start(one)))
    found = []
    while left:
        best = left.pop(0)
        span = _span(best)
        least = NEAR_SHARE * best.score
        # Segments may lie within each other: what touches need not be next by its start.
        while joined := [one for one in left if one.score >= least and _touch(span, _span(one))]:
            left = [one for one in left if one not in joined]
            for one in joined:
                span = _joined(span, _span(one))
        found.append(replace(best, span=span))
    return found


def _span(moment: Moment) -> Span:
    span = moment.segment.span
    if span is None:
        raise ValueError(f"{moment.segment.id} has no time")
    return span


def _start(moment: Moment) -> tuple[float, float]:
    span = _span(moment)
    return span.start_s, span.end_s


def _touch(one: Span, other: Span) -> bool:
    return one.start_s - GAP_S <= other.end_s and other.start_s - GAP_S <= one.end_s


def _joined(one: Span, other: Span) -> Span:
    return Span(min(one.start_s, other.start_s), max(one.end_s, other.end_s))
