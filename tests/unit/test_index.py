"""The exact index against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmsearch.index import exact_index
from mmsearch.index.base import NO_ROW, find_nearest_to_any, select_best
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.vector_matrix import Matrix

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
@settings(deadline=None)  # the first example loads the library of kernels
def test_exact_search_is_brute_force(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 40))
    vectors = data.draw(arrays.arrays(np.float16, (count, 3), elements=whole))
    queries = data.draw(
        arrays.arrays(np.float32, (data.draw(st.integers(1, 3)), 3), elements=whole)
    )
    k = data.draw(st.integers(1, 50))
    allowed = data.draw(st.none() | arrays.arrays(np.bool_, count))

    found = find_nearest_to_any(ExactIndex(Matrix.from_array(vectors)), queries, k, allowed=allowed)

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
        patched.setattr(exact_index, "ALONE_BYTES", 10)
        patched.setattr(exact_index, "SCORED_ROWS", 7)
        index = ExactIndex(Matrix(blocks, 8))
        found = find_nearest_to_any(index, query, k)
        gathered = index.search_among(np.arange(50), query, k)
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
    full = ExactIndex(Matrix.from_array(np.ones((3, 4), dtype=np.float16)))
    assert (full.nearest(query, 5, allowed=np.zeros(3, dtype=np.bool_)).rows == NO_ROW).all()
    assert full.count == 3


@given(
    st.integers(1, 3), st.integers(0, 40), st.integers(0, 12), st.integers(0, 2**32 - 1),
    st.booleans(),
)  # fmt: skip
def test_the_best_are_chosen_in_their_order(
    queries: int, count: int, k: int, seed: int, has_gaps: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permuted(np.tile(np.arange(count), (queries, 1)), axis=1)
    if has_gaps:
        rows[rng.random(rows.shape) < 0.4] = NO_ROW
    similarities = rng.integers(0, 4, rows.shape).astype(np.float32)  # many are equal

    found = select_best(rows, similarities, k)

    assert found.rows.shape == found.similarities.shape == (queries, k)
    for at in range(queries):
        pairs = zip(rows[at].tolist(), similarities[at].tolist(), strict=True)
        ranked = sorted((-near, row) for row, near in pairs if row != NO_ROW)[:k]
        missing = [(np.inf, NO_ROW)] * (k - len(ranked))
        got = zip((-found.similarities[at]).tolist(), found.rows[at].tolist(), strict=True)
        assert list(got) == ranked + missing
