"""The copy in 8 bits: its bounds hold, and search with it stays exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.index import exact_index
from mmsearch.index.base import NO_ROW
from mmsearch.index.coarse_copy import CoarseCopy, QuantizedQuery
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.vector_matrix import Matrix
from mmsearch.search import dense

KINDS = ("spread", "near each other", "one value", "zeros")


def rows_of(kind: str, count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Unit rows, or rows of zeros among them."""
    rows = rng.standard_normal((count, dim))
    if kind == "near each other":
        rows = rows[:1] + 1e-3 * rows
    elif kind == "one value":
        rows = np.eye(dim)[rng.integers(0, dim, count)] * rng.choice([-1, 1], (count, 1))
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if kind == "zeros":
        rows[:: max(1, count // 3)] = 0
    return rows.astype(np.float16)


def with_coarse(matrix: Matrix) -> ExactIndex:
    """Search that has its copy already."""
    index = ExactIndex(matrix, coarse_after=0)
    index.nearest(np.eye(1, matrix.dim, dtype=np.float32), 1)
    assert index._coarse is not None
    index._coarse.result(60)
    return index


@given(
    st.sampled_from(KINDS), st.integers(1, 60), st.integers(1, 40), st.integers(0, 2**32 - 1),
    st.floats(0.01, 100),
)  # fmt: skip
@settings(deadline=None)
def test_products_are_within_their_slack(
    kind: str, count: int, dim: int, seed: int, length: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = rows_of(kind, count, dim, rng)
    query = rows_of("spread", 1, dim, rng)[0].astype(np.float32) * np.float32(length)

    products, slack = CoarseCopy.from_matrix(Matrix.from_array(rows)).score(
        QuantizedQuery.quantize(query), 0, count
    )

    true = rows.astype(np.float64) @ query.astype(np.float64)
    assert products.dtype == slack.dtype == np.float32
    assert (np.abs(products - true) <= slack).all()


@given(
    st.sampled_from(KINDS), st.integers(9, 400), st.integers(2, 40), st.integers(1, 2),
    st.integers(1, 40), st.none() | st.floats(0.3, 1), st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(deadline=None)
def test_search_with_it_finds_what_search_without_it_finds(
    kind: str, count: int, dim: int, asked: int, k: int, share: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rows_of(kind, count, dim, rng)
    matrix = Matrix([rows[: count // 3], rows[count // 3 :]], dim)
    queries = rows_of("spread", asked, dim, rng).astype(np.float32)
    allowed = None if share is None else rng.random(count) < share
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact_index, "ALONE_BYTES", 0)
        patched.setattr(exact_index, "SCORED_ROWS", int(rng.choice([7, 1000])))
        plain = ExactIndex(matrix).nearest(queries, k, allowed=allowed)
        patched.setattr(exact_index, "COARSE_SHARE", 0)  # used however little it tells
        found = with_coarse(matrix).nearest(queries, k, allowed=allowed)

    assert found.rows.tolist() == plain.rows.tolist()
    np.testing.assert_allclose(found.similarities, plain.similarities, rtol=0, atol=1e-6)


def test_it_is_made_after_a_few_queries_and_gives_the_same_answers() -> None:
    rng = np.random.default_rng(0)
    rows = rows_of("spread", 40_000, 64, rng)
    index = ExactIndex(Matrix.from_array(rows))
    query = rows_of("spread", 1, 64, rng).astype(np.float32)
    before = index.nearest(query, 100)
    assert index._coarse is None
    for _ in range(exact_index.COARSE_AFTER):
        index.nearest(query, 100)
    assert index._coarse is not None
    assert index._coarse.result(60).size_bytes == 40_000 * (64 + 8)
    assert index._get_coarse_copy() is not None
    after = index.nearest(query, 100)
    assert after.rows.tolist() == before.rows.tolist()
    assert after.similarities.tolist() == before.similarities.tolist()


def test_few_rows_and_very_many_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of("spread", 1000, 8, np.random.default_rng(0))
    query = rows[:1].astype(np.float32)
    few = ExactIndex(Matrix.from_array(rows), coarse_after=0)
    few.nearest(query, 1)
    assert few._coarse is None
    monkeypatch.setattr(exact_index, "ALONE_BYTES", 0)
    monkeypatch.setattr(exact_index, "COARSE_BYTES", 7999)
    many = ExactIndex(Matrix.from_array(rows), coarse_after=0)
    many.nearest(query, 1)
    assert many._coarse is None


def test_where_it_tells_little_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_index, "ALONE_BYTES", 0)
    rng = np.random.default_rng(0)
    rows = rows_of("near each other", 2000, 32, rng)
    index = with_coarse(Matrix.from_array(rows))
    query = rows_of("spread", 1, 32, rng).astype(np.float32)
    found = index.nearest(query, 10)
    assert not index._wants_coarse
    assert (
        found.rows.tolist() == ExactIndex(Matrix.from_array(rows)).nearest(query, 10).rows.tolist()
    )
    assert (found.rows != NO_ROW).all()


def test_without_memory_for_it_search_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_matrix: Matrix) -> CoarseCopy:
        raise MemoryError

    monkeypatch.setattr(exact_index, "ALONE_BYTES", 0)
    monkeypatch.setattr(exact_index.CoarseCopy, "from_matrix", none)
    rows = rows_of("spread", 100, 8, np.random.default_rng(0))
    query = rows[:1].astype(np.float32)
    index = ExactIndex(Matrix.from_array(rows), coarse_after=0)
    for _ in range(3):
        assert index.nearest(query, 1).rows[0, 0] == 0
    assert index._coarse is not None
    index._coarse.exception(60)
    assert index.nearest(query, 1).rows[0, 0] == 0
    assert not index._wants_coarse


def test_a_similarity_does_not_depend_on_how_many_are_asked_for() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((301, 384)).astype(np.float32)
    queries = rng.standard_normal((3, 384)).astype(np.float32)
    whole = dense._max_similarity(vectors, queries)
    for first, end in ((0, 1), (0, 7), (5, 18), (0, 300), (100, 301)):
        assert (
            dense._max_similarity(vectors[first:end], queries).tolist() == whole[first:end].tolist()
        )
