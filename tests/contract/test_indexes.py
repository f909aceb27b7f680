"""What every vector index holds: the same answers as sorting all cosines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.index.base import VectorIndex
from mmsearch.index.exact import ExactIndex

INDEXES: list[Callable[[np.ndarray], VectorIndex]] = [ExactIndex]


def unit(seed: int, rows: int, dim: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


@pytest.mark.parametrize("make", INDEXES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(0, 200),
    queries=st.integers(1, 4),
    k=st.integers(1, 250),
    share=st.sampled_from([None, 0.0, 0.1, 0.9]),
)
def test_an_index_agrees_with_sorting_everything(
    make: Callable[[np.ndarray], VectorIndex],
    seed: int,
    rows: int,
    queries: int,
    k: int,
    share: float | None,
) -> None:
    stored = unit(seed, rows, 16).astype(np.float16)
    asked = unit(seed + 1, queries, 16)
    allowed = None if share is None else np.random.default_rng(seed).random(rows) < share
    found = make(stored).search(asked, k, allowed=allowed)

    cosines = stored.astype(np.float32) @ asked.T
    best = cosines.max(axis=1) if rows else np.zeros(0, np.float32)
    passing = np.arange(rows) if allowed is None else np.flatnonzero(allowed)
    expected = sorted(passing.tolist(), key=lambda row: (-best[row], row))[:k]
    assert len(found.rows) == len(expected)
    assert np.allclose(best[found.rows], best[expected], atol=1e-5)
    assert set(found.rows.tolist()) <= set(passing.tolist())
    assert (np.diff(found.similarities) <= 0).all()
    assert np.allclose(cosines[found.rows, found.queries], found.similarities, atol=1e-5)


@pytest.mark.parametrize("make", INDEXES)
def test_equal_vectors_come_in_the_order_of_their_rows(
    make: Callable[[np.ndarray], VectorIndex],
) -> None:
    one = unit(1, 1, 8)
    stored = np.repeat(one, 50, axis=0).astype(np.float16)
    assert make(stored).search(one, 50).rows.tolist() == list(range(50))


@pytest.mark.parametrize("make", INDEXES)
def test_vectors_come_back_as_they_were_stored(make: Callable[[np.ndarray], VectorIndex]) -> None:
    stored = unit(1, 20, 8).astype(np.float16)
    rows = np.array([3, 3, 19])
    assert np.array_equal(make(stored).vectors(rows), stored[rows].astype(np.float32))
