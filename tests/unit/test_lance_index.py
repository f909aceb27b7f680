"""Lance's index against exact search: recall, filters, rows that come and go, and sets of rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lance.dataset import serialize_row_addrs

from mmsearch.errors import StoreError
from mmsearch.index import addresses as index_addresses
from mmsearch.index import lance_index
from mmsearch.index.addresses import serialize_addresses
from mmsearch.index.base import NO_ROW, RowMask
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.lance_index import Effort, LanceIndex, search_rows
from mmsearch.index.vector_matrix import Matrix
from mmsearch.store.schema import make_vectors_schema
from mmsearch.testing import check_index

DIM = 32
ROWS = 12_000
QUERIES = 64
VECTORS_OF_ASSET = 4
K = 10


def clustered(count: int, *, seed: int, dim: int = DIM) -> np.ndarray:
    """(count, dim) float32 unit rows around 200 centres, the same for every seed."""
    centres = np.random.default_rng(0).standard_normal((200, dim))
    random = np.random.default_rng(seed)
    near = centres[random.integers(0, len(centres), count)]
    vectors = near + 0.6 * random.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def rows(vectors: np.ndarray, first: int) -> pa.Table:
    numbers = range(first, first + len(vectors))
    flat = pa.array(vectors.astype(np.float16).reshape(-1))
    return pa.Table.from_arrays(
        [
            pa.array([f"segment{number}" for number in numbers]),
            pa.array([f"asset{number // VECTORS_OF_ASSET}" for number in numbers]),
            pa.array([None] * len(vectors), pa.list_(pa.float32(), 4)),
            pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        ],
        schema=make_vectors_schema(vectors.shape[1]),
    )


def addresses(dataset: Any) -> np.ndarray:
    found = dataset.scanner(columns=["asset_id"], with_row_address=True).to_table()
    return found.column("_rowaddr").to_numpy()


@dataclass(frozen=True)
class Table:
    uri: str
    vectors: np.ndarray
    queries: np.ndarray

    @property
    def dataset(self) -> Any:
        return lance.dataset(self.uri)

    def exact(self) -> ExactIndex:
        return ExactIndex(Matrix.from_array(self.vectors.astype(np.float16)))


def recall(table: Table, index: LanceIndex, allowed: RowMask | None = None) -> float:
    found = index.nearest(table.queries, K, allowed=allowed)
    true = table.exact().nearest(table.queries, K, allowed=allowed)
    for query in range(len(found.rows)):
        got = found.rows[query][found.rows[query] != NO_ROW]
        assert len(set(got.tolist())) == len(got)
        assert (np.diff(found.similarities[query]) <= 0).all()
    hits = sum(
        len(np.intersect1d(one, other)) for one, other in zip(found.rows, true.rows, strict=True)
    )
    return hits / np.count_nonzero(true.rows != NO_ROW)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Twelve thousand rows in three fragments, in an index of 24 partitions; only to be read."""
    vectors = clustered(ROWS, seed=1)
    uri = str(tmp_path_factory.mktemp("tables") / "vectors.lance")
    lance.write_dataset(rows(vectors, 0), uri, max_rows_per_file=ROWS // 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lance_index, "PARTITION_ROWS", 500)
        lance_index.build(lance.dataset(uri))
        yield Table(uri, vectors, clustered(QUERIES, seed=2))


@pytest.fixture
def changing(indexed: Table, tmp_path: Path) -> Table:
    """A copy that may be written to."""
    import shutil

    shutil.copytree(indexed.uri, tmp_path / "vectors.lance")
    return replace(indexed, uri=str(tmp_path / "vectors.lance"))


def test_most_neighbours_are_found_and_more_with_more_effort(indexed: Table) -> None:
    index = LanceIndex(indexed.dataset, addresses(indexed.dataset))
    little = recall(indexed, index.with_effort(Effort(1, 1)))

    assert lance_index.count_unindexed_rows(indexed.dataset) == 0
    assert little < 0.97  # else this says nothing
    assert recall(indexed, index) >= 0.98
    assert recall(indexed, index.with_effort(lance_index.list_efforts(ROWS)[-1])) >= 0.99


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.999])
def test_a_filter_is_applied_before_the_nearest_are_taken(indexed: Table, share: float) -> None:
    allowed = np.random.default_rng(3).random(ROWS) < share
    index = LanceIndex(indexed.dataset, addresses(indexed.dataset))

    found = index.nearest(indexed.queries, K, allowed=allowed)

    assert allowed[found.rows[found.rows != NO_ROW]].all()
    assert (found.rows != NO_ROW).sum() == QUERIES * min(K, allowed.sum())
    assert recall(indexed, index, allowed) >= 0.98


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_a_filter_makes_the_search_go_further(
    indexed: Table, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_addresses, "FEW_ROWS", 0)
    allowed = np.random.default_rng(3).random(ROWS) < share
    index = LanceIndex(indexed.dataset, addresses(indexed.dataset), Effort(4, 4))

    assert recall(indexed, index, allowed) >= 0.97


def test_where_few_rows_may_answer_all_of_them_are_compared(indexed: Table) -> None:
    allowed = np.random.default_rng(3).random(ROWS) < 0.05
    index = LanceIndex(indexed.dataset, addresses(indexed.dataset), Effort(1, 1))

    assert recall(indexed, index, allowed) >= 0.998  # but for equal ones, all


def test_similarities_are_those_of_the_stored_vectors(indexed: Table) -> None:
    found = LanceIndex(indexed.dataset, addresses(indexed.dataset)).nearest(indexed.queries, K)

    stored = indexed.vectors.astype(np.float16).astype(np.float32)
    true = np.einsum("qkd,qd->qk", stored[found.rows], indexed.queries)
    assert found.similarities == pytest.approx(true, abs=2e-3)  # Lance normalises, we do not


def test_it_is_an_index_like_the_others(indexed: Table) -> None:
    check_index(LanceIndex(indexed.dataset, addresses(indexed.dataset)), indexed.vectors)


def test_what_is_added_is_found_at_once_and_what_is_removed_no_more(changing: Table) -> None:
    late = clustered(40, seed=4)
    dataset = lance.write_dataset(rows(late, ROWS), changing.uri, mode="append")
    known = addresses(dataset)  # of all rows that there ever were
    dataset.delete("segment_id IN ('segment3', 'segment11999', 'segment12007')")
    index = LanceIndex(changing.dataset, known)

    assert lance_index.count_unindexed_rows(changing.dataset) == 39
    assert index.nearest(late, 1).rows[:, 0].tolist()[:7] == list(range(ROWS, ROWS + 7))
    everything = np.concatenate([changing.vectors, late])
    gone = [3, 11_999, 12_007]
    found = index.nearest(everything[gone], K)
    assert not np.isin(found.rows, gone).any()
    assert (found.rows != NO_ROW).all()

    lance_index.extend(changing.dataset)

    assert lance_index.count_unindexed_rows(changing.dataset) == 0
    again = LanceIndex(changing.dataset, known).nearest(late, 1).rows[:, 0]
    assert again.tolist()[:7] == list(range(ROWS, ROWS + 7))


def test_merging_fragments_keeps_the_index(changing: Table) -> None:
    dataset = changing.dataset
    dataset.delete("segment_id LIKE '%7'")
    dataset.optimize.compact_files()
    assert len(changing.dataset.get_fragments()) < 3
    kept = np.array([not str(row).endswith("7") for row in range(ROWS)])
    table = replace(changing, vectors=changing.vectors[kept])

    index = LanceIndex(table.dataset, addresses(table.dataset))

    assert lance_index.count_unindexed_rows(table.dataset) == 0
    assert recall(table, index) >= 0.98


def test_lancedb_which_writes_the_tables_keeps_the_index_up(changing: Table) -> None:
    import lancedb

    late = clustered(90, seed=4)
    table = lancedb.connect(str(Path(changing.uri).parent)).open_table("vectors")
    for begin in range(0, 90, 9):
        table.add(rows(late[begin : begin + 9], ROWS + begin))
    table.optimize()

    grown = replace(changing, vectors=np.concatenate([changing.vectors, late]))
    index = LanceIndex(grown.dataset, addresses(grown.dataset))
    assert len(grown.dataset.get_fragments()) < 3 + 10
    assert lance_index.count_unindexed_rows(grown.dataset) == 0
    assert recall(grown, index) >= 0.98
    assert index.nearest(late, 1).rows[:, 0].tolist() == list(range(ROWS, ROWS + 90))


def test_a_snapshot_goes_on_while_the_table_is_changed(changing: Table) -> None:
    index = LanceIndex(changing.dataset, addresses(changing.dataset))
    before = index.nearest(changing.queries, K)

    changing.dataset.delete("segment_id LIKE '%7'")
    lance_index.build(changing.dataset)

    after = index.nearest(changing.queries, K)
    assert before.rows.tolist() == after.rows.tolist()


def test_rows_may_have_any_order(indexed: Table) -> None:
    known = addresses(indexed.dataset)
    order = np.random.default_rng(5).permutation(ROWS)

    usual = LanceIndex(indexed.dataset, known).nearest(indexed.queries, K)
    mixed = LanceIndex(indexed.dataset, known[order]).nearest(indexed.queries, K)

    assert order[mixed.rows].tolist() == usual.rows.tolist()


def test_a_row_that_nobody_asked_about_is_passed_over(indexed: Table) -> None:
    half = LanceIndex(indexed.dataset, addresses(indexed.dataset)[: ROWS // 2])

    found = half.nearest(indexed.queries, K)

    assert found.rows.max() < ROWS // 2


def test_several_threads_get_what_one_gets(indexed: Table) -> None:
    index = LanceIndex(indexed.dataset, addresses(indexed.dataset))
    alone = index.nearest(indexed.queries, K).rows

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda one: index.nearest(one[None], K).rows[0], indexed.queries))

    assert np.array(parts).tolist() == alone.tolist()


def test_building_leaves_the_version_that_is_read_and_takes_the_newest(changing: Table) -> None:
    read = changing.dataset
    version = read.version
    lance.write_dataset(rows(clustered(40, seed=4), ROWS), changing.uri, mode="append")
    lance_index.extend(read)  # by another process, say

    built = lance_index.build(read)

    assert (read.version, read.count_rows()) == (version, ROWS)
    assert built.count_rows() == ROWS + 40
    assert built.version == changing.dataset.version > version
    assert lance_index.count_unindexed_rows(built) == 0


def test_a_small_table_gets_no_index_and_is_searched_exactly(tmp_path: Path) -> None:
    vectors = clustered(300, seed=6)
    dataset = lance.write_dataset(rows(vectors, 0), str(tmp_path / "small.lance"))
    table = Table(dataset.uri, vectors, clustered(QUERIES, seed=7))

    dataset = lance_index.build(dataset)

    assert lance_index.count_unindexed_rows(dataset) is None
    index = LanceIndex(dataset, addresses(dataset))
    assert recall(table, index) >= 0.99  # but for equal ones, all
    assert index.nearest(table.queries, 500).rows.shape == (QUERIES, 500)


def test_a_dimension_that_is_not_divisible_by_eight_is_indexed_too(tmp_path: Path) -> None:
    vectors = clustered(3000, seed=8, dim=20)
    dataset = lance.write_dataset(rows(vectors, 0), str(tmp_path / "odd.lance"))
    table = Table(dataset.uri, vectors, clustered(QUERIES, seed=9, dim=20))

    dataset = lance_index.build(dataset)

    assert lance_index.count_unindexed_rows(dataset) == 0
    assert recall(table, LanceIndex(dataset, addresses(dataset))) >= 0.95


def test_an_empty_table_and_no_queries_have_no_neighbours(tmp_path: Path) -> None:
    dataset = lance.write_dataset(
        make_vectors_schema(DIM).empty_table(), str(tmp_path / "empty.lance")
    )
    index = LanceIndex(dataset, addresses(dataset))

    assert index.nearest(clustered(2, seed=1), 3).rows.tolist() == [[NO_ROW] * 3] * 2
    assert search_rows(dataset, clustered(2, seed=1), 3).num_rows == 0
    assert index.nearest(np.empty((0, DIM), dtype=np.float32), 3).rows.shape == (0, 3)


def test_rows_come_with_what_they_hold(indexed: Table) -> None:
    found = search_rows(indexed.dataset, indexed.queries[:5], K)
    index = LanceIndex(indexed.dataset, addresses(indexed.dataset))
    near = index.nearest(indexed.queries[:5], K)

    assert found.column("query").to_pylist() == np.repeat(np.arange(5), K).tolist()
    named = [f"segment{row}" for row in near.rows.ravel().tolist()]
    assert found.column("segment_id").to_pylist() == named
    assert found.column("similarity").to_numpy() == pytest.approx(near.similarities.ravel())
    assert set(found.column("box").to_pylist()) == {None}


@pytest.mark.parametrize("few", [10_000, 3])
def test_rows_can_be_limited_to_assets(
    indexed: Table, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_index, "FEW_ASSETS", few)
    asset_ids = [f"asset{number}" for number in range(0, ROWS // VECTORS_OF_ASSET, 50)]
    allowed = np.arange(ROWS) // VECTORS_OF_ASSET % 50 == 0
    true = indexed.exact().nearest(indexed.queries, K, allowed=allowed)

    found = search_rows(indexed.dataset, indexed.queries, K, asset_ids=asset_ids)

    assert found.num_rows == QUERIES * K
    assert set(found.column("asset_id").to_pylist()) <= set(asset_ids)
    named = {f"{query} segment{row}" for query, one in enumerate(true.rows) for row in one}
    pairs = zip(
        found.column("query").to_pylist(), found.column("segment_id").to_pylist(), strict=True
    )
    assert len(named & {f"{query} {name}" for query, name in pairs}) >= 0.98 * len(named)


def test_assets_that_are_not_there_have_no_rows(indexed: Table) -> None:
    assert search_rows(indexed.dataset, indexed.queries, K, asset_ids=[]).num_rows == 0
    assert search_rows(indexed.dataset, indexed.queries, K, asset_ids=["it's gone"]).num_rows == 0


def test_a_table_that_is_damaged_is_an_error_that_names_it(changing: Table) -> None:
    dataset = changing.dataset
    for file in Path(changing.uri).rglob("_indices/*/*.idx"):
        file.write_bytes(b"")

    with pytest.raises(StoreError, match=r"vectors\.lance"):
        LanceIndex(dataset, addresses(dataset)).nearest(changing.queries, K)


# Few fragments and places that lie close, or containers would never fill.
sets = st.builds(
    lambda *parts: np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *parts])),
    *[
        st.builds(
            lambda fragment, begin, step, count: (
                (np.uint64(fragment) << np.uint64(32))
                + np.uint64(begin)
                + np.arange(count, dtype=np.uint64) * np.uint64(step)
            ),
            st.integers(0, 3),
            st.integers(0, 1 << 20),
            st.integers(1, 40),
            st.integers(0, 9000),
        )
    ]
    * 3,
)


@given(sets)
def test_a_set_of_addresses_is_written_as_lance_writes_it(some: np.ndarray) -> None:
    assert serialize_addresses(some[::-1]) == serialize_row_addrs(some.tolist())
