"""Chooses the index of a space by size and memory, builds it, and measures it before use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsearch.index import lance_index
from mmsearch.index.addresses import AddressArray
from mmsearch.index.base import NO_ROW, FloatArray, RowArray, RowMask
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.faiss_index import FaissIndex, is_available
from mmsearch.index.index_config import AUTO, EXACT, LANCE, IndexConfig
from mmsearch.index.index_files import MeasuredRecall
from mmsearch.index.lance_index import Effort, LanceIndex
from mmsearch.index.live_index import rank_by_vectors
from mmsearch.index.recipes import (
    IndexKind,
    Recipe,
    estimate_memory_bytes,
    list_effort_steps,
    list_recipes,
    make_recipe,
)
from mmsearch.index.vector_matrix import Matrix

EXACT_ROWS = 100_000
"""Up to here no index is built: exact search takes some 10 ms at 384 dimensions, two cores."""
SCANNED_ROWS = 10_000
"""Up to here a table on a remote storage is searched exactly."""
MANY_ROWS = 300_000
"""Above it Lance's index is built if FAISS is not installed."""
FAISS = "faiss"
REBUILD_SHARE = 0.2
"""An index is rebuilt after so many additions and removals, as a share of its rows."""
HELD_OUT = 256
RECALL_AT = 10


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """The result of a build: an index with the required recall and its `rows`, or none."""

    index: FaissIndex | None
    recipe: Recipe | None
    rows: RowArray
    measured: MeasuredRecall
    seconds: float


def choose_family(config: IndexConfig, count: int, *, is_remote: bool) -> str:
    """Returns the family of indexes for `count` vectors: "exact", "lance", or "faiss".

    On a remote storage it is Lance, which reads only what it needs; FAISS needs all vectors here.
    """
    if is_remote:
        return LANCE if count > SCANNED_ROWS or config.kind == LANCE else EXACT
    if config.kind in (EXACT, LANCE):
        return config.kind
    if config.kind == AUTO and count <= EXACT_ROWS:
        return EXACT
    if is_available():
        return FAISS
    return LANCE if config.kind == AUTO and count > MANY_ROWS else EXACT


def suggest_faiss(kind: str, count: int) -> str:
    """Returns advice to install FAISS if that would make search faster; else an empty text."""
    if kind not in (EXACT, LANCE) or count <= EXACT_ROWS or is_available():
        return ""
    return "faster with FAISS: pip install 'mmsearch[cpu]', then mmsearch index"


def is_due(count: int, built_over: int | None, changed: int) -> bool:
    """Returns True if an index should be built over `count` vectors.

    `built_over` is the number of vectors of the present one, None if there is none; `changed` the
    number added and removed since.
    """
    return built_over is None or changed > REBUILD_SHARE * max(built_over, 1)


def plan_recipes(
    config: IndexConfig, count: int, dim: int, memory: int, *, has_gpu: bool
) -> list[Recipe]:
    """Returns the recipes to try, the best first: those that fit into `memory` bytes."""
    if config.kind != AUTO:
        return [make_recipe(IndexKind(config.kind), count, dim)]
    candidates = list_recipes(count, dim, has_gpu=has_gpu)
    return [option for option in candidates if estimate_memory_bytes(option, count, dim) <= memory]


def build_best(
    matrix: Matrix,
    is_there: RowMask | None,
    recipes: Iterable[Recipe],
    recall: float,
    *,
    on_progress: Callable[[float], object] = lambda _share: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> IndexBuild:
    """Builds the first of the recipes that reaches the recall, and measures it.

    HELD_OUT of the vectors, at most a tenth, are left out of the index and serve as queries; the
    search effort is raised until the index and exact search agree on the share `recall` of their
    neighbours. Then they are added, if the kind allows it: rows scattered over a file that is not
    in memory would be read one by one at every opening of the index. With fewer than ten vectors
    there are no queries, and nothing is built.
    """
    started = time.perf_counter()
    rows = np.arange(matrix.count) if is_there is None else np.flatnonzero(is_there)
    order = np.random.default_rng(0).permutation(len(rows))
    held_out_count = min(HELD_OUT, len(rows) // 10)
    held_out = np.sort(rows[order[:held_out_count]])
    indexed: RowArray = np.sort(rows[order[held_out_count:]])
    queries = matrix.take(held_out)
    is_indexed = np.zeros(matrix.count, dtype=np.bool_)
    is_indexed[indexed] = True
    truth = ExactIndex(matrix).nearest(queries, RECALL_AT, allowed=is_indexed).rows
    measured = MeasuredRecall(0.0, 0.0, len(held_out), recall)
    for recipe in recipes if held_out_count else ():
        index = FaissIndex.build(
            matrix, recipe, rows=indexed, on_progress=on_progress, is_stopped=is_stopped
        )
        for step in list_effort_steps(recipe, len(indexed)):
            index = index.with_recipe(step)
            measured = _measure(_make_search(index, matrix, indexed), queries, truth, recall)
            if measured.recall >= recall:
                if index.add(matrix, held_out):
                    indexed = np.concatenate([indexed, held_out])
                seconds = time.perf_counter() - started
                return IndexBuild(index, step, indexed, measured, seconds)
    return IndexBuild(None, None, indexed[:0], measured, time.perf_counter() - started)


def _make_search(
    index: FaissIndex, matrix: Matrix, indexed: RowArray
) -> Callable[[FloatArray], RowArray]:
    """Returns a search of an index over the rows `indexed`, candidates compared by vector."""

    def search(query: FloatArray) -> RowArray:
        candidates = index.find_candidates(query, RECALL_AT * index.recipe.refine)
        rows = np.where(candidates == NO_ROW, NO_ROW, indexed[candidates])
        return rank_by_vectors(matrix, query, rows, RECALL_AT).rows

    return search


def _measure(
    search: Callable[[FloatArray], RowArray], queries: FloatArray, truth: RowArray, required: float
) -> MeasuredRecall:
    """Measures the share of true neighbours found, and the latency, one query at a time."""
    hits, times = 0, []
    for query, true_rows in zip(queries, truth, strict=True):
        began = time.perf_counter()
        rows = search(query[None])[0]
        times.append(time.perf_counter() - began)
        hits += len(np.intersect1d(rows[rows != NO_ROW], true_rows[true_rows != NO_ROW]))
    possible = max(1, int(np.count_nonzero(truth != NO_ROW)))
    latency_ms = float(np.median(times)) * 1e3 if times else 0.0
    return MeasuredRecall(hits / possible, latency_ms, len(queries), required)


def build_lance(
    dataset: Any, addresses: AddressArray, vectors: FloatArray, truth: RowArray, recall: float
) -> tuple[Any, Effort, MeasuredRecall, float]:
    """Builds Lance's index over a table, or adds the new rows to it, and measures it.

    `vectors` (q, dim) are some of the table, `truth` (q, n) the rows nearest to each. Returns the
    dataset with the index, the least effort that reaches the recall (else the greatest), the
    measurement, and the seconds. Raises StoreError.
    """
    started = time.perf_counter()
    is_new = lance_index.count_unindexed_rows(dataset) is None
    dataset = lance_index.build(dataset) if is_new else lance_index.extend(dataset)
    for effort in lance_index.list_efforts(len(addresses)):
        index = LanceIndex(dataset, addresses, effort)

        def search(query: FloatArray, index: LanceIndex = index) -> RowArray:
            return index.nearest(query, truth.shape[1]).rows

        measured = _measure(search, vectors, truth, recall)
        if measured.recall >= recall:
            break
    return dataset, effort, measured, time.perf_counter() - started
