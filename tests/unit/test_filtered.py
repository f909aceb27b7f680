"""What filters leave of an exact index is kept, and answers as if it were not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.index import exact_index
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.filtered_vectors import MAX_FILTERS, FilterCache
from mmsearch.index.vector_matrix import Matrix

ROWS, DIM = 200, 8


def matrix(seed: int, *, is_mixed: bool = False) -> Matrix:
    """Unit rows in two blocks, of two kinds if `is_mixed`."""
    rows = np.random.default_rng(seed).standard_normal((ROWS, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    first, second = rows[:70].astype(np.float16), rows[70:]
    return Matrix([first, second if is_mixed else second.astype(np.float16)], DIM)


def mask_of(*rows: int) -> np.ndarray:
    mask = np.zeros(ROWS, dtype=np.bool_)
    mask[list(rows)] = True
    return mask


@given(st.data(), st.integers(0, 2**16), st.booleans())
def test_whatever_was_asked_before_the_answer_is_the_same(
    data: st.DataObject, seed: int, is_mixed: bool
) -> None:
    vectors = matrix(seed, is_mixed=is_mixed)
    some = st.lists(st.integers(0, ROWS - 1), max_size=30).map(lambda rows: mask_of(*rows))
    masks = data.draw(st.lists(some, min_size=1, max_size=6))
    index = ExactIndex(vectors)
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact_index, "ALONE_BYTES", 100)
        patched.setattr(exact_index, "GATHERED_BYTES", 5 * 2 * DIM)
        for number in data.draw(st.lists(st.integers(0, len(masks) - 1), max_size=12)):
            queries = rng.standard_normal((1 + number % 4, DIM)).astype(np.float32)
            found = index.nearest(queries, 5, allowed=masks[number])
            fresh = ExactIndex(vectors).nearest(queries, 5, allowed=masks[number])
            assert found.rows.tolist() == fresh.rows.tolist()
            assert found.similarities.tolist() == fresh.similarities.tolist()


def test_vectors_are_kept_when_a_filter_comes_again() -> None:
    vectors = matrix(0)
    index = ExactIndex(vectors)
    query = np.ones((1, DIM), dtype=np.float32)
    mask = mask_of(3, 80, 199)
    index.nearest(query, 2, allowed=mask)
    assert index._filtered.size_bytes == 0
    index.nearest(query, 2, allowed=mask)
    assert index._filtered.size_bytes == 3 * DIM * 2
    kept = index._filtered.look_up(mask, 3).vectors
    assert kept is not None
    assert kept.tolist() == vectors.take_stored(np.array([3, 80, 199])).tolist()


def test_one_of_as_many_rows_is_another_filter() -> None:
    filtered = FilterCache(matrix(0))
    assert filtered.look_up(mask_of(1, 2), 2).rows.tolist() == [1, 2]
    assert filtered.look_up(mask_of(2, 3), 2).rows.tolist() == [2, 3]
    assert not filtered.look_up(mask_of(1, 2), 2).is_repeated


def test_a_mask_may_be_written_over_once_it_was_asked() -> None:
    filtered = FilterCache(matrix(0))
    mask = mask_of(1, 2)
    filtered.look_up(mask, 2)
    mask[:] = mask_of(5, 6)
    found = filtered.look_up(mask, 2)
    assert (found.rows.tolist(), found.is_repeated) == ([5, 6], False)


def test_the_oldest_goes() -> None:
    filtered = FilterCache(matrix(0))
    masks = [mask_of(*range(count)) for count in range(1, MAX_FILTERS + 2)]
    for mask in masks:
        filtered.look_up(mask, int(mask.sum()))
    assert not filtered.look_up(
        masks[0], 1
    ).is_repeated  # which made the second the oldest, and it went
    assert [filtered.look_up(one, int(one.sum())).is_repeated for one in masks[2:]] == [True] * 3


def test_no_more_is_kept_than_fits() -> None:
    one = ROWS + 10 * (8 + 2 * DIM)
    filtered = FilterCache(matrix(0), at_most_bytes=one + 5)
    for _ in range(2):
        for first in (0, 20):
            mask = mask_of(*range(first, first + 10 + first // 20))
            left = filtered.look_up(mask, int(mask.sum()))
            filtered.keep_vectors(left, matrix(0).take_stored(left.rows))
            assert filtered.size_bytes <= one
    large = mask_of(*range(100))
    filtered.look_up(large, 100)
    assert not filtered.look_up(large, 100).is_repeated
