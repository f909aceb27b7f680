"""Measures the overlap of moments with the expected spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmsearch.evaluation.known_answers import JudgedHit, KnownQuery
from mmsearch.types import Span

OVERLAP = 0.5


def overlaps_by_half(moment: Span, expected: Span) -> bool:
    """Tests if one span covers at least half of the other."""
    shared = moment.overlap_s(expected)
    shorter = min(moment.end_s - moment.start_s, expected.end_s - expected.start_s)
    return shared > 0 and shared >= OVERLAP * shorter


def compute_iou(moment: Span, expected: Span) -> float:
    """Returns the temporal IoU: shared seconds over covered seconds; 0 where both are empty."""
    shared = moment.overlap_s(expected)
    union = (moment.end_s - moment.start_s) + (expected.end_s - expected.start_s) - shared
    return shared / union if union > 0 else 0.0


def select_best_moments(query: KnownQuery, answers: Iterable[JudgedHit]) -> list[tuple[Span, Span]]:
    """Returns the best moment of every answer that has a span, with the expected span."""
    expected = dict(query.spans)
    return [
        (answer.spans[0], expected[path])
        for answer in answers
        for path in answer.paths
        if path in expected and answer.spans
    ]


def is_span_hit(pairs: Sequence[tuple[Span, Span]]) -> bool:
    """Tests if a best moment overlaps its expected span by half."""
    return any(overlaps_by_half(moment, expected) for moment, expected in pairs)


def compute_best_overlap(pairs: Sequence[tuple[Span, Span]]) -> float:
    """Returns the largest intersection over union; 0 without a relevant hit."""
    return max((compute_iou(moment, expected) for moment, expected in pairs), default=0.0)
