"""What every vector index holds: the answers of sorting all cosines, or a stated share of them."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.index import lance_index
from mmsearch.index.base import NO_ROW, NearestRows, VectorIndex, find_nearest_to_any
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.faiss_index import FaissIndex, is_available
from mmsearch.index.lance_index import LanceIndex
from mmsearch.index.live_index import BuiltIndex, LiveIndex
from mmsearch.index.recipes import IndexKind, make_recipe
from mmsearch.index.vector_matrix import Matrix
from mmsearch.store.schema import make_vectors_schema

DIM = 16
TIE = 2e-6
"""Similarities that are as close as this may stand in either order."""


@dataclass(frozen=True, slots=True)
class Maker:
    """An index under test: as it is used, and searched so hard that it must miss nothing.

    `floor` is the recall@10 that it holds as it is used, on clustered vectors.
    """

    name: str
    usual: Callable[[Matrix], VectorIndex]
    hardest: Callable[[Matrix], VectorIndex]
    floor: float
    tie: float = TIE


def in_lance(matrix: Matrix) -> VectorIndex:
    """A table with a fragment for each block, indexed as a library's is."""
    folder = tempfile.TemporaryDirectory()
    schema = make_vectors_schema(matrix.dim)
    dataset = lance.write_dataset(schema.empty_table(), f"{folder.name}/t.lance")
    for number, block in enumerate(matrix.blocks):
        ids = [f"{number}-{row}" for row in range(len(block))]
        values = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), matrix.dim)
        boxes = pa.nulls(len(block), schema.field("box").type)
        table = pa.Table.from_arrays([pa.array(ids), pa.array(ids), boxes, values], schema=schema)
        dataset = lance.write_dataset(table, f"{folder.name}/t.lance", mode="append")
    dataset = lance_index.build(dataset)
    found = dataset.scanner(columns=[], with_row_address=True).to_table()
    index = LanceIndex(dataset, found.column("_rowaddr").to_numpy())
    weakref.finalize(index, folder.cleanup)
    return index


def searched(matrix: Matrix, index: FaissIndex, refine: int) -> VectorIndex:
    """As a library searches it, but for filters: those that leave little go to the index too."""
    built = BuiltIndex(index, refine, None, np.empty(0, dtype=np.int64))
    return LiveIndex(matrix, built=built, few_rows=0)


def refined(kind: IndexKind) -> Maker:
    def usual(matrix: Matrix) -> VectorIndex:
        one = make_recipe(kind, matrix.count, matrix.dim)
        return searched(matrix, FaissIndex.build(matrix, one), one.refine)

    def hardest(matrix: Matrix) -> VectorIndex:
        one = make_recipe(kind, matrix.count, matrix.dim)
        hard = replace(one, effort=max(1, matrix.count), refine=max(1, matrix.count))
        return searched(matrix, FaissIndex.build(matrix, hard), hard.refine)

    return Maker(kind.value, usual, hardest, FLOORS[kind])


FLOORS = {
    IndexKind.FLAT: 1.0,
    IndexKind.HNSW: 0.9,
    IndexKind.IVF_SQ8: 0.9,
    IndexKind.IVF_RABITQ: 0.9,
    IndexKind.IVF_RABITQ4: 0.9,
    IndexKind.IVF_PQ: 0.7,
}
INDEXES = [
    Maker("exact", ExactIndex, ExactIndex, 1.0),
    # Lance divides by the length of a stored vector, which is 1 up to what float16 holds.
    Maker("lance", in_lance, in_lance, 0.9, tie=1e-3),
    *(refined(kind) for kind in FLOORS if is_available()),
]

each_index = pytest.mark.parametrize("maker", INDEXES, ids=lambda maker: maker.name)


def unit(seed: int, rows: int, dim: int = DIM) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def clustered(seed: int, rows: int, queries: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors in clusters of unequal size and spread, and queries drawn like them."""
    random = np.random.default_rng(seed)
    clusters = max(2, rows // 100)
    centres = random.standard_normal((clusters, dim))
    spreads = np.exp(random.normal(-0.7, 0.4, clusters))
    weights = random.pareto(1.5, clusters) + 0.3
    shape = np.arange(1, dim + 1) ** -0.6
    of = random.choice(clusters, rows + queries, p=weights / weights.sum())
    values = centres[of] + random.standard_normal((rows + queries, dim)) * shape * spreads[of, None]
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return values[:rows].astype(np.float16), values[rows:]


def matrix_of(stored: np.ndarray, blocks: int) -> Matrix:
    edges = np.linspace(0, len(stored), blocks + 1).astype(int)
    return Matrix([stored[a:b] for a, b in pairwise(edges)], stored.shape[1])


def check_is_right(
    found: NearestRows,
    stored: np.ndarray,
    asked: np.ndarray,
    k: int,
    allowed: np.ndarray | None,
    tie: float = TIE,
) -> None:
    """Compare with sorting all cosines, up to the order of those that are equal."""
    cosines = asked @ stored.astype(np.float32).T
    passing = np.arange(len(stored)) if allowed is None else np.flatnonzero(allowed)
    expected = min(k, len(passing))
    assert found.rows.shape == found.similarities.shape == (len(asked), k)
    assert found.rows.dtype == np.int64
    assert found.similarities.dtype == np.float32
    for rows, similarities, own in zip(found.rows, found.similarities, cosines, strict=True):
        assert (rows[expected:] == NO_ROW).all()
        assert (similarities[expected:] == -np.inf).all()
        kept = rows[:expected]
        assert len(set(kept.tolist())) == expected
        assert np.isin(kept, passing).all()
        assert np.allclose(similarities[:expected], own[kept], atol=tie)
        assert np.allclose(own[kept], np.sort(own[passing])[::-1][:expected], atol=tie)
        order = np.lexsort((kept, -similarities[:expected]))
        assert order.tolist() == list(range(expected))


@each_index
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(0, 150),
    blocks=st.integers(1, 3),
    queries=st.integers(1, 3),
    k=st.integers(1, 200),
    share=st.sampled_from([None, 0.0, 0.1, 0.9]),
)
def test_an_index_searched_hard_agrees_with_sorting_everything(
    maker: Maker, seed: int, rows: int, blocks: int, queries: int, k: int, share: float | None
) -> None:
    stored = unit(seed, rows).astype(np.float16)
    asked = unit(seed + 1, queries)
    allowed = None if share is None else np.random.default_rng(seed).random(rows) < share
    index = maker.hardest(matrix_of(stored, blocks))
    assert index.count == rows
    found = index.nearest(asked, k, allowed=allowed)
    check_is_right(found, stored, asked, k, allowed, maker.tie)


@each_index
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 300),
    k=st.integers(1, 40),
    share=st.sampled_from([None, 0.01, 0.1, 0.5]),
)
def test_no_answer_is_short_wrong_or_out_of_order_as_an_index_is_used(
    maker: Maker, seed: int, rows: int, k: int, share: float | None
) -> None:
    stored = unit(seed, rows).astype(np.float16)
    asked = unit(seed + 1, 2)
    allowed = None if share is None else np.random.default_rng(seed).random(rows) < share
    found = maker.usual(Matrix.from_array(stored)).nearest(asked, k, allowed=allowed)
    answering = rows if allowed is None else int(allowed.sum())
    cosines = asked @ stored.astype(np.float32).T
    for own, named, similarities in zip(cosines, found.rows, found.similarities, strict=True):
        kept = named[named != NO_ROW]
        assert len(kept) == len(set(kept.tolist())) == min(k, answering)
        assert allowed is None or allowed[kept].all()
        assert np.allclose(similarities[: len(kept)], own[kept], atol=maker.tie)
        assert (np.diff(similarities[: len(kept)]) <= 0).all()


@each_index
def test_equal_vectors_come_in_the_order_of_their_rows(maker: Maker) -> None:
    one = unit(1, 1)
    stored = np.repeat(one, 50, axis=0).astype(np.float16)
    assert maker.hardest(Matrix.from_array(stored)).nearest(one, 50).rows[0].tolist() == list(
        range(50)
    )


@each_index
def test_an_index_over_one_row_gives_it_to_everybody(maker: Maker) -> None:
    stored = unit(3, 1).astype(np.float16)
    found = maker.usual(Matrix.from_array(stored)).nearest(unit(4, 3), 2)
    assert found.rows.tolist() == [[0, NO_ROW]] * 3


@each_index
def test_no_rows_and_no_queries_give_empty_answers(maker: Maker) -> None:
    nothing = maker.usual(Matrix([], DIM)).nearest(unit(1, 2), 3)
    assert nothing.rows.tolist() == [[NO_ROW] * 3] * 2
    none_asked = maker.usual(Matrix.from_array(unit(2, 30).astype(np.float16)))
    assert none_asked.nearest(np.empty((0, DIM), dtype=np.float32), 3).rows.shape == (0, 3)


@each_index
def test_near_any_takes_each_row_with_the_query_it_is_nearest_to(maker: Maker) -> None:
    stored = unit(5, 120).astype(np.float16)
    asked = unit(6, 4)
    found = find_nearest_to_any(maker.hardest(Matrix.from_array(stored)), asked, 15)
    cosines = stored.astype(np.float32) @ asked.T
    best = cosines.max(axis=1)
    expected = sorted(range(120), key=lambda row: (-best[row], row))[:15]
    assert np.allclose(best[found.rows], best[expected], atol=maker.tie)
    assert np.allclose(cosines[found.rows, found.queries], found.similarities, atol=maker.tie)


@each_index
@pytest.mark.parametrize("share", [None, 0.5, 0.1, 0.01])
def test_recall_holds_as_an_index_is_used(maker: Maker, share: float | None) -> None:
    rows, k = 6000, 10
    stored, asked = clustered(7, rows, 100, 64)
    allowed = None if share is None else np.random.default_rng(8).random(rows) < share
    matrix = matrix_of(stored, 2)
    found = maker.usual(matrix).nearest(asked, k, allowed=allowed).similarities
    true = ExactIndex(matrix).nearest(asked, k, allowed=allowed).similarities
    assert np.mean(found >= true[:, -1:] - maker.tie) >= maker.floor


@each_index
def test_a_batch_is_answered_as_its_queries_are_one_by_one(maker: Maker) -> None:
    stored, asked = clustered(9, 1500, 20, 32)
    index = maker.usual(Matrix.from_array(stored))
    together = index.nearest(asked, 5)
    for query, rows in zip(asked, together.rows, strict=True):
        alone = index.nearest(query[None], 5).rows[0]
        assert len(np.intersect1d(alone, rows)) >= 4  # one thread or several round differently
