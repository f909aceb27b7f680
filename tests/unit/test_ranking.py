"""How a ranking is asked for, and what passes."""

from __future__ import annotations

import contextlib
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import QueryError
from mmsearch.query.ranking import (
    CALIBRATED,
    DEFAULT_CUTOFF,
    DEFAULT_RANKING,
    EXAMPLE_CUTOFF,
    RRF,
    Cutoff,
    Ranking,
    choose_cutoff,
)

rankings = st.builds(
    Ranking,
    fusion=st.sampled_from([CALIBRATED, RRF]),
    vectors=st.booleans(),
    words=st.booleans(),
    dedupe=st.booleans(),
    group=st.booleans(),
).filter(lambda ranking: ranking.vectors or ranking.words)


def written(ranking: Ranking, switches: tuple[str, str]) -> str:
    values = {one.name: getattr(ranking, one.name) for one in fields(ranking)}
    return ",".join(
        f"{name}={value if isinstance(value, str) else switches[value]}"
        for name, value in values.items()
    )


@given(rankings, st.sampled_from([("off", "on"), ("no", "yes"), ("false", "true")]))
def test_a_ranking_is_read_as_it_is_written(ranking: Ranking, switches: tuple[str, str]) -> None:
    assert Ranking.parse(written(ranking, switches)) == ranking


def test_what_is_not_named_stays_as_it_usually_is() -> None:
    assert Ranking.parse("") == Ranking.parse(" , ,") == DEFAULT_RANKING
    assert Ranking.parse(" fusion = rrf , words=off,") == Ranking(fusion=RRF, words=False)


def test_what_is_said_last_holds() -> None:
    assert Ranking.parse("group=off,dedupe=off,group=on") == Ranking(dedupe=False)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("speed=9", "fusion, vectors, words, dedupe, group"),
        ("fusion", "NAME=VALUE"),
        ("=on", "NAME=VALUE"),
        ("fusion=best", "calibrated or rrf"),
        ("fusion=", "calibrated or rrf"),
        ("words=maybe", "on or off"),
        ("words=", "on or off"),
        ("words=off,vectors=off", "nothing to look for"),
    ],
)
def test_what_is_wrong_is_said_with_what_there_is(asked: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        Ranking.parse(asked)


@given(st.text() | st.text(st.sampled_from("fusion=rwds,onf ")))
def test_any_text_is_a_ranking_or_an_error_of_the_query(asked: str) -> None:
    with contextlib.suppress(QueryError):
        assert Ranking.parse(asked).checked() in (Ranking.parse(asked),)


@pytest.mark.parametrize("ranking", [Ranking(fusion="mean"), Ranking(vectors=False, words=False)])
def test_a_ranking_that_cannot_be_made_is_refused(ranking: Ranking) -> None:
    with pytest.raises(QueryError):
        ranking.checked()


@pytest.mark.parametrize("is_by_words", [True, False])
@pytest.mark.parametrize("min_score", [0.0, 0.5, 1.0])
def test_what_is_asked_for_holds_for_every_hit(min_score: float, is_by_words: bool) -> None:
    assert choose_cutoff(min_score, is_by_words=is_by_words) == Cutoff(min_score, min_score)


def test_words_must_find_something_sure_and_an_example_only_what_is_nearest() -> None:
    assert choose_cutoff(None, is_by_words=True) == DEFAULT_CUTOFF
    assert choose_cutoff(None, is_by_words=False) == EXAMPLE_CUTOFF
    assert DEFAULT_CUTOFF.first > DEFAULT_CUTOFF.rest > 0
    assert EXAMPLE_CUTOFF.first == EXAMPLE_CUTOFF.rest
