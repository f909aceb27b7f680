"""How well a moment that was found covers the moment that was wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmsearch.evaluation.known_answers import Answer, KnownQuery
from mmsearch.types import Span

OVERLAP = 0.5


def overlaps_by_half(found: Span, wanted: Span) -> bool:
    """Whether one covers at least half of the other."""
    shared = found.overlap_s(wanted)
    shorter = min(found.end_s - found.start_s, wanted.end_s - wanted.start_s)
    return shared > 0 and shared >= OVERLAP * shorter


def intersection_over_union(found: Span, wanted: Span) -> float:
    """Shared seconds over the seconds that either covers (temporal IoU); 0 where both are empty."""
    shared = found.overlap_s(wanted)
    union = (found.end_s - found.start_s) + (wanted.end_s - wanted.start_s) - shared
    return shared / union if union > 0 else 0.0


def best_moments(query: KnownQuery, answers: Iterable[Answer]) -> list[tuple[Span, Span]]:
    """The best moment of every answer that has a span, with the span that is wanted there."""
    wanted = dict(query.spans)
    return [
        (answer.spans[0], wanted[path])
        for answer in answers
        for path in answer.paths
        if path in wanted and answer.spans
    ]


def is_span_hit(pairs: Sequence[tuple[Span, Span]]) -> bool:
    """Whether a best moment overlaps by half."""
    return any(overlaps_by_half(found, wanted) for found, wanted in pairs)


def best_overlap(pairs: Sequence[tuple[Span, Span]]) -> float:
    """The largest intersection over union; 0 where no right file was found."""
    return max((intersection_over_union(found, wanted) for found, wanted in pairs), default=0.0)
