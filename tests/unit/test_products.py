"""Products of vectors as they are stored, and the exact search that stands on their slack."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.index import exact_index
from mmsearch.index.base import NO_ROW
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.inner_products import InnerProducts
from mmsearch.index.vector_matrix import Matrix

SLOW_FIRST = settings(deadline=None, max_examples=60)
"""The first example loads the library of kernels."""
CLUSTER = 1e-3


def unit(values: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    return (values / np.maximum(lengths, 1e-9)).astype(np.float32)


def rows_of(kind: str, count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """(count, dim) float32 unit rows of one of the kinds below."""
    values = rng.standard_normal((count, dim))
    match kind:
        case "clustered":
            values = rng.standard_normal((1, dim)) + CLUSTER * values
        case "equal":
            values = np.repeat(values[:1], count, axis=0)
        case "few directions":
            values = values[rng.integers(0, min(3, count), count)]
        case "sparse":
            values[rng.random((count, dim)) < 0.9] = 0.0
            values[:, 0] += 1e-3
        case "subnormal":  # a few large components, the others below what float16 holds normally
            values *= 1e-5
            values[:, : max(1, dim // 16)] = 1.0
    return unit(values)


KINDS = ("spread", "clustered", "equal", "few directions", "sparse", "subnormal")
kinds = st.sampled_from(KINDS)


@given(
    kind=kinds,
    count=st.integers(1, 80),
    dim=st.integers(1, 600),
    asked=st.integers(1, 70),
    dtype=st.sampled_from([np.float16, np.float32]),
    seed=st.integers(0, 2**32 - 1),
)
@SLOW_FIRST
def test_products_are_within_their_slack_of_the_truth(
    kind: str, count: int, dim: int, asked: int, dtype: type, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rows_of(kind, count, dim, rng).astype(dtype)
    near = rows[rng.integers(0, count, asked)].astype(np.float32)
    queries = unit(near + rng.choice([0.0, 0.001, 1.0]) * rng.standard_normal((asked, dim)))

    products = InnerProducts(queries, np.dtype(dtype))
    found = products.multiply(rows)

    truth = rows.astype(np.float64) @ queries.astype(np.float64).T
    assert found.shape == (count, asked)
    assert products.slack.shape == (asked,)
    assert (np.abs(found.astype(np.float64) - truth) <= products.slack).all()


@given(st.integers(1, 5), st.integers(1, 300), st.integers(0, 2**32 - 1))
@SLOW_FIRST
def test_rows_of_float16_are_widened_for_queries_in_float32(
    asked: int, dim: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rows_of("spread", 20, dim, rng).astype(np.float16)
    queries = rows_of("spread", asked, dim, rng)

    products = InnerProducts(queries, np.dtype(np.float32))

    truth = rows.astype(np.float64) @ queries.astype(np.float64).T
    assert (products.slack < 1e-5).all()
    assert (np.abs(products.multiply(rows) - truth) <= products.slack).all()


def test_a_query_that_float16_holds_loses_nothing() -> None:
    queries = np.zeros((3, 8), dtype=np.float32)
    queries[:, 2] = 1.0

    assert (InnerProducts(queries, np.dtype(np.float16)).slack < 1e-5).all()
    assert (InnerProducts(unit(queries + 0.1), np.dtype(np.float16)).slack > 1e-5).all()


# Exact search


def brute(
    vectors: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray | None
) -> tuple[list[int], np.ndarray]:
    """Rows by falling similarity, equal ones by rising row."""
    similarities = np.array([np.vecdot(row[None], query)[0] for row in vectors], dtype=np.float32)
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    best = sorted(rows.tolist(), key=lambda row: (-similarities[row], row))[:k]
    return best, similarities


def blocks_of(
    rows: np.ndarray, dtypes: Sequence[type], cuts: Sequence[int]
) -> tuple[Matrix, np.ndarray]:
    """A matrix of blocks of these types, and all its rows as float32."""
    edges = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    parts = [
        rows[begin:end].astype(dtypes[at % len(dtypes)])
        for at, (begin, end) in enumerate(pairwise(edges))
    ]
    whole = np.concatenate([part.astype(np.float32) for part in parts])
    return Matrix(parts, rows.shape[1]), whole


@given(
    kind=kinds,
    count=st.integers(1, 90),
    dim=st.sampled_from([1, 3, 16, 33, 256]),
    asked=st.integers(1, 6),
    dtypes=st.sampled_from(
        [[np.float16], [np.float32], [np.float16, np.float32], [np.float32, np.float16]]
    ),
    cuts=st.lists(st.integers(0, 90), max_size=3),
    k=st.integers(1, 100),
    share=st.none() | st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@SLOW_FIRST
def test_exact_search_finds_what_comparing_every_row_finds(
    kind: str, count: int, dim: int, asked: int, dtypes: list[type], cuts: list[int], k: int,
    share: float | None, seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    matrix, whole = blocks_of(rows_of(kind, count, dim, rng), dtypes, cuts)
    queries = unit(whole[rng.integers(0, count, asked)] + 0.01 * rng.standard_normal((asked, dim)))
    allowed = None if share is None else rng.random(count) < share
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact_index, "ALONE_BYTES", int(rng.choice([0, 1 << 20])))
        patched.setattr(exact_index, "SCORED_ROWS", int(rng.choice([7, 1000])))
        patched.setattr(exact_index, "GATHERED_BYTES", int(rng.choice([64, 1 << 20])))
        found = ExactIndex(matrix).nearest(queries, k, allowed=allowed)

    assert found.rows.shape == found.similarities.shape == (asked, k)
    for at, query in enumerate(queries):
        rows = found.rows[at][found.rows[at] != NO_ROW]
        expected, similarities = brute(whole, query, k, allowed)
        assert len(rows) == len(expected)
        np.testing.assert_allclose(
            found.similarities[at, : len(rows)], similarities[rows], rtol=0, atol=1e-6
        )
        np.testing.assert_allclose(similarities[rows], similarities[expected], rtol=0, atol=1e-6)
        # Rows that rounding cannot tell apart may change places, equal ones may not.
        assert (found.rows[at, len(rows) :] == NO_ROW).all()
        assert np.isneginf(found.similarities[at, len(rows) :]).all()
        for one, other in pairwise(rows.tolist()):
            if (whole[one] == whole[other]).all():
                assert one < other


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("k", [1, 5, 64, 300])
def test_equal_rows_answer_in_their_order(dtype: type, k: int) -> None:
    rng = np.random.default_rng(3)
    distinct = rows_of("spread", 20, 24, rng)
    rows = distinct[rng.integers(0, 20, 400)].astype(dtype)
    query = unit(distinct[:1] + 0.2 * distinct[1:2])

    found = ExactIndex(Matrix([rows[:130], rows[130:131], rows[131:]], 24)).nearest(query, k)

    expected, similarities = brute(rows.astype(np.float32), query[0], k, None)
    assert found.rows[0].tolist() == expected
    np.testing.assert_allclose(found.similarities[0], similarities[expected], rtol=0, atol=1e-6)


def test_rows_nearer_to_each_other_than_float16_tells_are_ranked_by_what_they_are() -> None:
    """Many rows about one direction: products of a rounded query cannot order them."""
    rng = np.random.default_rng(5)
    rows = rows_of("clustered", 3000, 128, rng).astype(np.float16)
    query = unit(rows[17:18].astype(np.float32) + 1e-4 * rng.standard_normal((1, 128)))

    found = ExactIndex(Matrix.from_array(rows)).nearest(query, 50)

    truth = rows.astype(np.float64) @ query[0].astype(np.float64)
    assert truth[found.rows[0]].min() >= np.sort(truth)[-50] - 1e-6


def test_a_matrix_of_both_types_gives_back_what_is_stored() -> None:
    rng = np.random.default_rng(1)
    small = rows_of("spread", 4, 6, rng).astype(np.float16)
    large = rows_of("spread", 4, 6, rng)

    taken = Matrix([small, large], 6).take(np.array([5, 0, 7]))

    np.testing.assert_array_equal(taken, [large[1], small[0].astype(np.float32), large[3]])
