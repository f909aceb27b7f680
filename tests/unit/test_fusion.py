"""How the scores of spaces and terms become one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.index.base import NO_ROW
from mmsearch.search.fusion import RANK_CONSTANT, fuse, noisy_or
from mmsearch.search.scores import TermScores


def evidence(
    pairs: Sequence[tuple[int, float]], *, space: str = "image", term: int = 0
) -> TermScores:
    """What a space says: (asset, score) for each of its segments."""
    scores = np.array([score for _, score in pairs], dtype=np.float32)
    return TermScores(
        space=space,
        term=term,
        assets=np.array([asset for asset, _ in pairs], dtype=np.int64),
        segments=np.full(len(pairs), NO_ROW),
        scores=scores,
        similarities=scores,
        boxes=None,
        is_complete=True,
    )


scores = st.lists(st.floats(0, 1), max_size=6)
told = st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1, width=32)), max_size=8)
spaces = st.lists(told, min_size=1, max_size=4)


# noisy_or


@given(scores)
def test_joined_scores_stay_between_the_best_and_1(given_scores: list[float]) -> None:
    joined = noisy_or(given_scores)

    assert max(given_scores, default=0.0) - 1e-9 <= joined <= 1.0


@given(scores, st.floats(0, 1))
def test_one_more_sign_never_lowers_a_score(given_scores: list[float], more: float) -> None:
    assert noisy_or([*given_scores, more]) >= noisy_or(given_scores) - 1e-9


@given(scores, st.randoms())
def test_the_order_of_signs_does_not_matter(given_scores: list[float], chance: object) -> None:
    shuffled = given_scores.copy()
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert math.isclose(noisy_or(shuffled), noisy_or(given_scores), abs_tol=1e-12)


def test_two_half_sure_signs_are_three_quarters_sure() -> None:
    assert noisy_or([0.5, 0.5]) == 0.75
    assert noisy_or([]) == 0.0
    assert noisy_or([7.0, -3.0]) == 1.0


# One term


@given(told)
def test_one_space_alone_keeps_its_scores_and_its_order(pairs: list[tuple[int, float]]) -> None:
    best: dict[int, float] = {}
    for asset, score in pairs:
        best[asset] = max(score, best.get(asset, 0.0))

    found = fuse([evidence(pairs)], [1.0])

    assert set(found) == set(best)
    assert all(math.isclose(found[at], score, abs_tol=1e-9) for at, score in best.items())


@given(spaces)
def test_the_best_of_each_space_is_joined(listed: list[list[tuple[int, float]]]) -> None:
    found = fuse([evidence(pairs, space=str(at)) for at, pairs in enumerate(listed)], [1.0])

    for asset, score in found.items():
        best = [max((s for a, s in pairs if a == asset), default=0.0) for pairs in listed]
        assert math.isclose(score, noisy_or(best), abs_tol=1e-9)
    assert set(found) == {asset for pairs in listed for asset, _ in pairs}


@given(spaces, told, st.booleans())
def test_more_evidence_never_lowers_a_score(
    listed: list[list[tuple[int, float]]], more: list[tuple[int, float]], is_other_term: bool
) -> None:
    weights = [1.0, 0.5]
    known = [evidence(pairs, space=str(at)) for at, pairs in enumerate(listed)]
    before = fuse(known, weights)

    added = evidence(more, space="more", term=1 if is_other_term else 0)
    after = fuse([*known, added], weights)

    assert all(after[asset] >= score - 1e-9 for asset, score in before.items())


@given(spaces, st.floats(0.01, 100))
def test_the_weight_of_the_only_term_does_not_matter(
    listed: list[list[tuple[int, float]]], weight: float
) -> None:
    known = [evidence(pairs, space=str(at)) for at, pairs in enumerate(listed)]

    assert fuse(known, [weight]) == fuse(known, [1.0])


# Several terms


weighted = st.lists(st.tuples(told, st.floats(0.1, 10)), min_size=2, max_size=4)


@given(weighted, st.floats(0.1, 10))
def test_only_the_proportion_of_weights_counts(
    listed: list[tuple[list[tuple[int, float]], float]], factor: float
) -> None:
    known = [evidence(pairs, term=term) for term, (pairs, _) in enumerate(listed)]
    weights = [weight for _, weight in listed]

    found = fuse(known, weights)
    scaled = fuse(known, [factor * weight for weight in weights])

    assert set(found) == set(scaled)
    assert all(math.isclose(score, scaled[at], abs_tol=1e-9) for at, score in found.items())
    assert all(-1e-9 <= score <= 1.0 + 1e-9 for score in found.values())


@given(weighted)
def test_terms_are_averaged_by_their_weights(
    listed: list[tuple[list[tuple[int, float]], float]],
) -> None:
    known = [evidence(pairs, term=term) for term, (pairs, _) in enumerate(listed)]
    weights = [weight for _, weight in listed]

    for asset, score in fuse(known, weights).items():
        best = [max((s for a, s in pairs if a == asset), default=0.0) for pairs, _ in listed]
        mean = sum(w * s for w, s in zip(weights, best, strict=True)) / sum(weights)
        assert math.isclose(score, mean, abs_tol=1e-7)


def test_what_has_both_terms_is_before_what_has_one_of_them_well() -> None:
    sea = evidence([(0, 0.6), (1, 0.9)], term=0)
    dog = evidence([(0, 0.6), (2, 0.9)], term=1)

    found = fuse([sea, dog], [1.0, 1.0])

    assert found[0] > found[1] == found[2]


def test_a_term_that_weighs_more_decides() -> None:
    sea, dog = evidence([(1, 0.9)], term=0), evidence([(2, 0.9)], term=1)

    found = fuse([sea, dog], [1.0, 3.0])

    assert math.isclose(found[2], 3 * found[1], rel_tol=1e-6)


def test_a_term_to_avoid_takes_no_share_of_the_weight() -> None:
    sea = evidence([(1, 0.9)], term=1)

    assert math.isclose(fuse([sea], [-2.0, 1.0])[1], 0.9, abs_tol=1e-6)


def test_a_term_that_nothing_answers_halves_what_the_other_finds() -> None:
    assert math.isclose(fuse([evidence([(1, 0.8)])], [1.0, 1.0])[1], 0.4, abs_tol=1e-6)


# By rank


@given(spaces, st.floats(0.01, 1))
def test_ranks_know_nothing_of_how_high_scores_are(
    listed: list[list[tuple[int, float]]], factor: float
) -> None:
    # Scores that differ, so that no two fall together when they are made smaller.
    known = [
        evidence([(asset, (at + 1) / 10) for at, (asset, _) in enumerate(pairs)], space=str(number))
        for number, pairs in enumerate(listed)
    ]
    lower = [replace(one, scores=(one.scores * factor).astype(np.float32)) for one in known]

    assert fuse(known, [1.0], is_by_rank=True) == fuse(lower, [1.0], is_by_rank=True)


@given(told)
def test_by_rank_one_space_keeps_its_order(pairs: list[tuple[int, float]]) -> None:
    found = fuse([evidence(pairs)], [1.0], is_by_rank=True)
    best: dict[int, float] = {}
    for asset, score in pairs:
        best[asset] = max(score, best.get(asset, 0.0))

    ordered = sorted(found, key=lambda asset: -found[asset])
    kept = [best[asset] for asset in ordered]
    assert kept == sorted(kept, reverse=True)
    assert len(set(found.values())) == len(found)
    if ordered:
        assert math.isclose(found[ordered[0]], 1.0)


def test_reciprocal_ranks_are_added_up() -> None:
    seen = evidence([(5, 0.9), (5, 0.8), (6, 0.3)])
    said = evidence([(6, 0.2), (7, 0.1)], space="text")

    found = fuse([seen, said, evidence([], space="sound")], [1.0], is_by_rank=True)

    first, second = 1.0, (RANK_CONSTANT + 1) / (RANK_CONSTANT + 2)
    assert found == pytest.approx({5: first / 2, 6: (first + second) / 2, 7: second / 2})


def test_no_evidence_is_no_asset() -> None:
    for is_by_rank in (False, True):
        assert fuse([], [1.0], is_by_rank=is_by_rank) == {}
        assert fuse([evidence([])], [1.0, 2.0], is_by_rank=is_by_rank) == {}
