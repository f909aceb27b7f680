"""The exact index against brute force, the index of words, and the joining of scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmsearch.index import exact
from mmsearch.index.base import NO_ROW, near_any
from mmsearch.index.exact import ExactIndex
from mmsearch.index.matrix import Matrix
from mmsearch.index.words import MAX_WORD, WordIndex, words
from mmsearch.search.fusion import noisy_or

# Small whole numbers multiply exactly, in whatever order: ties are ties.
whole = st.integers(-2, 2).map(float)


def oracle(
    vectors: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None
) -> list[tuple[int, float, int]]:
    """(row, similarity, query) by falling similarity, equal ones by rising row."""
    found = []
    for row, vector in enumerate(vectors):
        if allowed is None or allowed[row]:
            scores = [float(np.dot(vector.astype(np.float64), query)) for query in queries]
            found.append((row, max(scores), scores.index(max(scores))))
    return sorted(found, key=lambda one: (-one[1], one[0]))[:k]


@given(st.data())
def test_exact_search_is_brute_force(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 40))
    vectors = data.draw(arrays.arrays(np.float16, (count, 3), elements=whole))
    queries = data.draw(
        arrays.arrays(np.float32, (data.draw(st.integers(1, 3)), 3), elements=whole)
    )
    k = data.draw(st.integers(1, 50))
    allowed = data.draw(st.none() | arrays.arrays(np.bool_, count))

    found = near_any(ExactIndex(Matrix.of(vectors)), queries, k, allowed=allowed)

    expected = oracle(vectors, queries, k, allowed)
    assert found.rows.tolist() == [row for row, _, _ in expected]
    assert found.similarities.tolist() == [similarity for _, similarity, _ in expected]
    assert found.queries.tolist() == [query for _, _, query in expected]
    assert (found.rows.dtype, found.similarities.dtype) == (np.int64, np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(max_examples=25)
def test_exact_search_over_many_blocks_finds_the_nearest(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((50, 8)).astype(np.float16)
    query = rng.standard_normal((1, 8)).astype(np.float32)
    cuts = sorted(rng.integers(0, 51, 3).tolist())
    blocks = np.split(vectors, cuts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact, "ALONE_BYTES", 10)
        patched.setattr(exact, "SCORED_ROWS", 7)
        index = ExactIndex(Matrix(blocks, 8))
        found = near_any(index, query, k)
        gathered = index.among(np.arange(50), query, k)
    assert gathered.rows[0, : len(found.rows)].tolist() == found.rows.tolist()

    similarities = vectors.astype(np.float32) @ query[0]
    assert len(found.rows) == min(k, 50)
    np.testing.assert_allclose(found.similarities, np.sort(similarities)[::-1][:k], atol=1e-4)
    np.testing.assert_allclose(found.similarities, similarities[found.rows], atol=1e-4)


def test_an_empty_index_and_an_empty_mask_find_nothing() -> None:
    query = np.ones((1, 4), dtype=np.float32)

    empty = ExactIndex(Matrix([], 4)).nearest(query, 5)
    assert (empty.rows == NO_ROW).all()
    assert np.isneginf(empty.similarities).all()
    full = ExactIndex(Matrix.of(np.ones((3, 4), dtype=np.float16)))
    assert (full.nearest(query, 5, allowed=np.zeros(3, dtype=np.bool_)).rows == NO_ROW).all()
    assert full.count == 3


# Words


def test_words_are_lower_case_without_accents_and_apart_from_numbers() -> None:
    assert words("IMG_0041 Zürich-Café.jpg") == ["img", "0041", "zurich", "cafe", "jpg"]
    assert words("ﬁle２") == ["file", "2"]
    assert words("東京 タワー") == ["東京", "タワー"]
    assert words("_-. \n") == []


@given(st.text())
def test_words_are_found_again_in_themselves(text: str) -> None:
    found = words(text)

    assert all(0 < len(word) <= MAX_WORD for word in found)
    assert words(" ".join(found)) == found


texts = st.lists(
    st.lists(st.sampled_from(["sea", "boat", "dog", "night", "x" * 50, "7"]), max_size=4).map(
        " ".join
    ),
    max_size=6,
)


@given(texts, st.lists(st.sampled_from(["sea", "boat", "owl", "7", "x" * 32]), max_size=3))
def test_a_match_is_every_asset_that_has_a_word_worth_something(
    named: list[str], query: list[str]
) -> None:
    index = WordIndex.build(enumerate(named), len(named))

    found = index.match(query)

    having = {asset: set(words(name)) & set(query) for asset, name in enumerate(named)}
    rare = {word for word in query if sum(word in words(name) for name in named) < len(named)}
    assert set(found) == {asset for asset, shared in having.items() if shared & rare}
    assert all(0.0 < share <= 1.0 + 1e-9 for share in found.values())
    for asset in found:
        if having[asset] >= set(query):
            assert math.isclose(found[asset], 1.0)


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    index = WordIndex.build(enumerate(["boat", "boat", "boat", "boat owl", "owl"]), 5)

    found = index.match(["boat", "owl"])

    assert found[3] > found[4] > found[0]


def test_an_asset_is_found_by_any_of_its_names_once() -> None:
    index = WordIndex.build([(0, "boat"), (0, "harbour"), (1, "dog"), (0, "boat")], 2)

    assert set(index.match(["harbour"])) == {0}
    assert index.postings.tolist() == [0, 1, 0]
    assert index.match(["boat"])[0] == 1.0


def test_an_empty_index_of_words_matches_nothing() -> None:
    assert WordIndex.build([], 0).match(["boat"]) == {}


# Joining


scores = st.lists(st.floats(0, 1), max_size=6)


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
