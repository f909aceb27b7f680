"""Neighbouring segments become moments, whatever lies over what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.search.moments import GAP_S, NEAR_SHARE, merge_moments
from mmsearch.types import Moment, Place, Segment, SegmentKind, Span

KINDS = (SegmentKind.FRAME, SegmentKind.SPEECH)


def moment(
    start_s: float | None,
    end_s: float = 0.0,
    score: float = 1.0,
    kind: SegmentKind = SegmentKind.FRAME,
) -> Moment:
    span = None if start_s is None else Span(start_s, end_s)
    place = Place(span=span)
    return Moment(Segment(f"{kind}/{place.key()}", "asset", kind, place), score, None, span)


def spans(moments: Sequence[Moment]) -> list[tuple[float, float] | None]:
    return [one.span and (one.span.start_s, one.span.end_s) for one in moments]


def touch(one: Span, other: Span) -> bool:
    return one.start_s - GAP_S <= other.end_s and other.start_s - GAP_S <= one.end_s


def covers(one: Span, other: Span) -> bool:
    return one.start_s <= other.start_s and other.end_s <= one.end_s


# Quarters of a second add up exactly; segments may lie over each other, and within each other.
timed = st.builds(
    lambda start, length, score, kind: moment(start / 4, (start + length) / 4, score / 20, kind),
    st.integers(0, 120),
    st.integers(1, 40),
    st.integers(0, 20),
    st.sampled_from(KINDS),
)
untimed = st.builds(lambda score: moment(None, score=score / 20), st.integers(0, 20))
listed = st.lists(timed | untimed, max_size=14, unique_by=lambda one: one.segment.id)


@given(listed)
def test_every_segment_is_covered_by_a_moment_of_its_kind(given_moments: list[Moment]) -> None:
    found = merge_moments(given_moments, 100)

    for one in given_moments:
        if one.span is None:
            assert one in found
        else:
            assert any(
                covers(other.span, one.span)
                for other in found
                if other.span is not None and other.segment.kind is one.segment.kind
            )


@given(listed)
def test_a_moment_covers_no_more_than_its_segments_and_the_gaps_between_them(
    given_moments: list[Moment],
) -> None:
    for one in merge_moments(given_moments, 100):
        if one.span is None:
            continue
        least = NEAR_SHARE * one.score
        within = sorted(
            (other.span.start_s, other.span.end_s)
            for other in given_moments
            if other.span is not None
            and other.segment.kind is one.segment.kind
            and covers(one.span, other.span)
            and other.score >= least
        )
        assert within[0][0] == one.span.start_s
        reached = within[0][1]
        for start, end in within:
            assert start - reached <= GAP_S
            reached = max(reached, end)
        assert reached == one.span.end_s


@given(listed)
def test_what_touches_a_moment_and_is_nearly_as_good_belongs_to_it_or_to_a_better_one(
    given_moments: list[Moment],
) -> None:
    found = merge_moments(given_moments, 100)

    for one in found:
        for other in given_moments:
            if one.span is None or other.span is None or other.segment.kind != one.segment.kind:
                continue
            if touch(one.span, other.span) and other.score >= NEAR_SHARE * one.score:
                assert any(
                    covers(better.span, other.span)
                    for better in found
                    if better.span is not None
                    and better.segment.kind is other.segment.kind
                    and better.score >= one.score
                )


@given(listed)
def test_moments_of_a_kind_and_about_one_score_lie_apart(given_moments: list[Moment]) -> None:
    """Where no score forbids it, what touches is joined."""
    level = [
        moment(one.span.start_s, one.span.end_s, 0.8 + one.score / 5, one.segment.kind)
        for one in given_moments
        if one.span is not None
    ]
    found = merge_moments(level, 100)

    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            if one.segment.kind is other.segment.kind:
                assert one.span is not None
                assert other.span is not None
                assert not touch(one.span, other.span)


@given(listed, st.integers(1, 6))
def test_the_best_come_first_and_never_more_than_the_limit(
    given_moments: list[Moment], limit: int
) -> None:
    everything = merge_moments(given_moments, 100)
    found = merge_moments(given_moments, limit)

    assert found == everything[:limit]
    scores = [one.score for one in everything]
    assert scores == sorted(scores, reverse=True)
    best = max((one.score for one in given_moments), default=None)
    assert (found[0].score if found else None) == best


@given(listed)
def test_each_moment_is_shown_by_one_of_its_segments_with_its_own_score(
    given_moments: list[Moment],
) -> None:
    given_scores = {one.segment.id: one.score for one in given_moments}
    found = merge_moments(given_moments, 100)

    assert len({one.segment.id for one in found}) == len(found)
    for one in found:
        assert given_scores[one.segment.id] == one.score
        if one.span is not None:
            assert one.segment.span is not None
            assert covers(one.span, one.segment.span)


@given(listed)
def test_joining_again_what_lies_apart_changes_nothing(given_moments: list[Moment]) -> None:
    apart = [
        moment(100.0 * at, 100.0 * at + 5, one.score, one.segment.kind)
        for at, one in enumerate(given_moments)
    ]
    found = merge_moments(apart, 100)

    def by_id(moments: Sequence[Moment]) -> list[Moment]:
        return sorted(moments, key=lambda one: one.segment.id)

    assert by_id(found) == by_id(apart)
    assert by_id(merge_moments(found, 100)) == by_id(found)


@given(listed, st.randoms())
def test_the_order_in_which_segments_come_does_not_matter(
    given_moments: list[Moment], chance: object
) -> None:
    # Scores that are all different: among equals the first comes first.
    distinct = [
        moment(one.span.start_s, one.span.end_s, one.score + at / 1000, one.segment.kind)
        for at, one in enumerate(given_moments)
        if one.span is not None
    ]
    shuffled = distinct.copy()
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert merge_moments(shuffled, 100) == merge_moments(distinct, 100)


def test_segments_that_follow_each_other_are_one_moment_shown_by_the_best() -> None:
    found = merge_moments([moment(0, 5, 0.8), moment(5, 10, 0.9), moment(10.5, 15, 0.7)], 5)

    assert spans(found) == [(0, 15)]
    assert found[0].segment.span == Span(5, 10)
    assert found[0].score == 0.9


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (moment(6.0, 8), [(0, 8)]),
        (moment(6.25, 8), [(0, 5), (6.25, 8)]),
        (moment(5, 8, 0.75), [(0, 8)]),
        (moment(5, 8, 0.65), [(0, 5), (5, 8)]),
        (moment(5, 8, kind=SegmentKind.SPEECH), [(0, 5), (5, 8)]),
        (moment(2, 3), [(0, 5)]),
    ],
    ids=["near", "far", "nearly as good", "much worse", "another kind", "within"],
)
def test_what_is_joined(second: Moment, expected: list[tuple[float, float]]) -> None:
    assert (
        sorted(span for span in spans(merge_moments([moment(0, 5), second], 5)) if span) == expected
    )


def test_a_good_stretch_does_not_drag_a_bad_one_along() -> None:
    found = merge_moments(
        [moment(at * 5, at * 5 + 5, 0.9 if at < 3 else 0.2) for at in range(6)], 5
    )

    assert spans(found) == [(0, 15), (15, 30)]


def test_what_lies_within_a_longer_one_does_not_keep_it_apart() -> None:
    found = merge_moments([moment(0, 100, 0.9), moment(10, 11, 0.95), moment(50, 51, 1.0)], 5)

    assert spans(found) == [(0, 100)]


def test_nothing_is_no_moment() -> None:
    assert merge_moments([], 5) == ()
