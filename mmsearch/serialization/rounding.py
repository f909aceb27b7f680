"""Rounds the figures of hits as they are shown and written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mmsearch.types import Box, Span

if TYPE_CHECKING:
    from mmsearch.types import Hit, Moment, Segment, SpaceScore

SCORE_DIGITS = 4
SECOND_DIGITS = 3


def round_hit(hit: Hit) -> Hit:
    """Rounds a hit to the figures of its JSON, so that tables, JSON and a server's client agree.

    Rounding a figure twice, first for the JSON and then for a table, can round it up wrongly.
    """
    return replace(
        hit,
        score=round(hit.score, SCORE_DIGITS),
        segment=_round_segment(hit.segment),
        spaces={name: _round_space(space) for name, space in hit.spaces.items()},
        moments=tuple(map(_round_moment, hit.moments)),
    )


def round_span(span: Span) -> Span:
    """Rounds a span to milliseconds."""
    return Span(round(span.start_s, SECOND_DIGITS), round(span.end_s, SECOND_DIGITS))


def round_box(box: Box) -> Box:
    """Rounds the edges of a box."""
    return Box(*(round(edge, SCORE_DIGITS) for edge in (box.x0, box.y0, box.x1, box.y1)))


def _round_space(space: SpaceScore) -> SpaceScore:
    score, similarity = round(space.score, SCORE_DIGITS), round(space.similarity, SCORE_DIGITS)
    return replace(space, score=score, similarity=similarity)


def _round_moment(moment: Moment) -> Moment:
    return replace(
        moment,
        segment=_round_segment(moment.segment),
        score=round(moment.score, SCORE_DIGITS),
        box=moment.box and round_box(moment.box),
        span=moment.span and round_span(moment.span),
    )


def _round_segment(segment: Segment) -> Segment:
    place = segment.place
    if place.span is None:
        return segment
    return replace(segment, place=replace(place, span=round_span(place.span)))
