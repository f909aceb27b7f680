"""The paired bootstrap: against what is known of it, and that it does not cry wolf."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.evaluation import (
    JudgedHit,
    Judgements,
    KnownQuery,
    compare_judgements,
    run_queries,
    write_verdict,
)
from mmsearch.evaluation.comparison import compute_paired_bootstrap
from mmsearch.evaluation.measures import MRR, NDCG
from mmsearch.types import Span

RANDOM = np.random.default_rng(5)


def side(ranks: list[int], *, refused: int = 0) -> Judgements:
    """A judgement of a query a rank, at which the right file was found; 0 where it was not.

    Three more queries have no answer, of which `refused` were refused.
    """
    queries = [KnownQuery(str(rank), frozenset({"/right"})) for rank in ranks]
    queries += [KnownQuery(f"nothing {number}", frozenset()) for number in range(3)]

    def search(query: KnownQuery, limit: int) -> list[JudgedHit]:
        if not query.relevant:
            is_refused = int(query.query.split()[1]) < refused
            return [] if is_refused else [JudgedHit(("/wrong",), 0.5, ())]
        rank = int(query.query)
        names = ["/right" if rank == at else f"/{at}" for at in range(1, limit + 1)]
        return [JudgedHit((name,), 0.5, ()) for name in names]

    return run_queries(queries, search, cut_off=0.1)


def test_a_clear_gain_is_told_from_chance() -> None:
    gains = RANDOM.normal(0.1, 0.1, size=(200, 1))

    ((low, high, p_value),) = compute_paired_bootstrap(gains)

    assert 0 < low < gains.mean() < high
    assert p_value < 0.001


def test_the_interval_is_that_of_the_normal_distribution_for_many_queries() -> None:
    gains = RANDOM.normal(0.02, 0.3, size=(400, 1))
    error = gains.std() / np.sqrt(len(gains))

    ((low, high, _),) = compute_paired_bootstrap(gains)

    assert low == pytest.approx(gains.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(gains.mean() + 1.96 * error, abs=0.15 * error)


def test_without_a_difference_the_p_value_is_below_a_twentieth_one_time_in_twenty() -> None:
    trials = 300
    gains = RANDOM.normal(0.0, 1.0, size=(80, trials))

    p_values = np.array(
        [p_value for _, _, p_value in compute_paired_bootstrap(gains, resamples=1000)]
    )

    # Binomial(300, 0.05): 15 with a standard deviation of 3.8.
    assert 2 <= np.count_nonzero(p_values < 0.05) <= 32
    assert np.median(p_values) == pytest.approx(0.5, abs=0.12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.0, 0.5, 1.0]), min_size=1, max_size=30))
def test_the_interval_holds_the_mean_and_swapping_sides_turns_it_over(gains: list[float]) -> None:
    column = np.array(gains)[:, None]

    ((low, high, p_value),) = compute_paired_bootstrap(column, resamples=500)
    ((low_back, high_back, p_back),) = compute_paired_bootstrap(-column, resamples=500)

    assert min(gains) <= low <= high <= max(gains)
    assert (low_back, high_back) == (pytest.approx(-high), pytest.approx(-low))
    assert p_back == p_value
    assert 0 < p_value <= 1


def test_the_same_seed_gives_the_same_figures() -> None:
    gains = RANDOM.normal(size=(50, 2))

    assert compute_paired_bootstrap(gains) == compute_paired_bootstrap(gains)
    assert compute_paired_bootstrap(gains) != compute_paired_bootstrap(gains, seed=1)


def test_many_queries_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = RANDOM.normal(0.1, 1.0, size=(300, 1))
    ((low, high, _),) = compute_paired_bootstrap(gains, resamples=2000)
    monkeypatch.setattr("mmsearch.evaluation.comparison.DRAWN_AT_ONCE", 1000)

    ((low_in_parts, high_in_parts, _),) = compute_paired_bootstrap(gains, resamples=2000)

    assert low_in_parts == pytest.approx(low, abs=0.01)
    assert high_in_parts == pytest.approx(high, abs=0.01)


def test_every_measure_is_compared_over_the_queries_it_applies_to() -> None:
    a, b = side([1, 2, 3, 0] * 10, refused=1), side([1, 1, 1, 2] * 10, refused=3)

    compared = {one.measure: one for one in compare_judgements(a, b)}

    assert compared[MRR].queries == 40
    assert compared[MRR].a == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert compared[MRR].difference == pytest.approx(compared[MRR].b - compared[MRR].a)
    assert compared[NDCG].low > 0
    rightly = compared["no match, rightly"]
    assert (rightly.queries, rightly.a, rightly.b) == (3, pytest.approx(1 / 3), 1.0)
    assert "span hits" not in compared


def test_spans_are_compared_over_the_queries_that_have_one() -> None:
    timed = KnownQuery("timed", frozenset({"/a"}), spans=(("/a", Span(0, 10)),))
    queries = [timed, timed, KnownQuery("other", frozenset({"/a"}))]

    def found(span: Span) -> Judgements:
        return run_queries(queries, lambda *_: [JudgedHit(("/a",), 0.5, (span,))])

    compared = compare_judgements(found(Span(50, 60)), found(Span(0, 5)))
    overlap = next(one for one in compared if one.measure == "span IoU")

    assert (overlap.queries, overlap.a, overlap.b) == (2, 0.0, 0.5)


def test_other_queries_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="the same"):
        compare_judgements(side([1, 2]), side([1, 2, 3]))


def test_the_verdict_names_the_better_side() -> None:
    worse, better = side([3, 4, 5, 0] * 10), side([1, 1, 2, 2] * 10)

    forward = write_verdict(compare_judgements(worse, better))
    backward = write_verdict(compare_judgements(better, worse), a="clip", b="mini")

    assert forward.startswith("B is better: nDCG@10 ")
    assert backward.startswith("clip is better: nDCG@10 ")
    assert "p < 0.001" in forward


def test_the_verdict_says_when_it_may_be_chance() -> None:
    a, b = side([1, 2, 1, 2, 1, 2]), side([1, 2, 1, 2, 2, 1])
    assert write_verdict(compare_judgements(a, b)).startswith(
        "The difference between A and B may be chance"
    )

    assert write_verdict(compare_judgements(a, a)).startswith("A and B rank alike")


def test_without_answers_the_verdict_goes_by_refusals() -> None:
    told = write_verdict(compare_judgements(side([], refused=3), side([], refused=0)))

    assert "no match, rightly 1.000 and 0.000" in told
    assert write_verdict([]) == "Nothing was measured."
