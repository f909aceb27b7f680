"""Which index a space gets: chosen by size and memory, built, and measured before it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.index import lance_index
from mmsearch.index.addresses import AddressArray
from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.faiss_index import FaissIndex, is_available
from mmsearch.index.index_config import AUTO, EXACT, LANCE, Wish
from mmsearch.index.index_files import Measured
from mmsearch.index.lance_index import Effort, LanceIndex
from mmsearch.index.live_index import compared
from mmsearch.index.recipes import Kind, Recipe, ladder, memory_bytes, recipe, recipes
from mmsearch.index.vector_matrix import Matrix

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

EXACT_ROWS = 100_000
"""Up to here nothing is built: exact search takes some 10 ms at 384 dimensions on two cores."""
SCANNED_ROWS = 10_000
"""Up to here a table on a storage is read through."""
MANY_ROWS = 300_000
"""Above it Lance's index is built where FAISS is not installed."""
FAISS = "faiss"
REBUILD_SHARE = 0.2
"""An index is built anew when so much has come or gone since, as a share of what it was built
over."""
HELD_OUT = 256
AT = 10


@dataclass(frozen=True, slots=True)
class Made:
    """What came of building: an index that is good enough, or none; `rows` are those in it."""

    index: FaissIndex | None
    recipe: Recipe | None
    rows: RowArray
    measured: Measured
    seconds: float


def family(wish: Wish, count: int, *, is_remote: bool) -> str:
    """What answers for `count` vectors: "exact", "lance", or "faiss".

    On a storage it is Lance, which reads no more than it must; FAISS would want all vectors here.
    """
    if is_remote:
        return LANCE if count > SCANNED_ROWS or wish.kind == LANCE else EXACT
    if wish.kind in (EXACT, LANCE):
        return wish.kind
    if wish.kind == AUTO and count <= EXACT_ROWS:
        return EXACT
    if is_available():
        return FAISS
    return LANCE if wish.kind == AUTO and count > MANY_ROWS else EXACT


def advice(kind: str, count: int) -> str:
    """What would make search of so many vectors faster; empty where nothing would."""
    if kind not in (EXACT, LANCE) or count <= EXACT_ROWS or is_available():
        return ""
    return "faster with FAISS: pip install 'mmsearch[cpu]', then mmsearch index"


def is_due(count: int, built_over: int | None, changed: int) -> bool:
    """Whether an index should be built over `count` vectors.

    `built_over` is how many there were when the present one was built, None where there is none;
    `changed` how many came and went since.
    """
    return built_over is None or changed > REBUILD_SHARE * max(built_over, 1)


def plan(wish: Wish, count: int, dim: int, memory: int, *, has_gpu: bool) -> list[Recipe]:
    """The recipes to try, the best first: those whose index fits into `memory` bytes."""
    if wish.kind != AUTO:
        return [recipe(Kind(wish.kind), count, dim)]
    return [
        one
        for one in recipes(count, dim, has_gpu=has_gpu)
        if memory_bytes(one, count, dim) <= memory
    ]


def make(
    matrix: Matrix,
    is_there: RowMask | None,
    planned: Iterable[Recipe],
    wanted: float,
    *,
    on_progress: Callable[[float], object] = lambda _share: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Made:
    """Build the first of the recipes that is found to be good enough, and find out how good.

    Of the vectors HELD_OUT, at most a tenth, are kept out of the index and asked for their
    neighbours in it; the effort of searching is raised until the index and `exact` agree on
    `wanted` of them. Then they are added, where the kind allows it: rows scattered over a file
    that is not in memory would be read one by one whenever the index is opened. Of fewer than ten
    vectors nothing can be held out, and nothing is built.
    """
    started = time.perf_counter()
    there = np.arange(matrix.count) if is_there is None else np.flatnonzero(is_there)
    order = np.random.default_rng(0).permutation(len(there))
    held_out = min(HELD_OUT, len(there) // 10)
    asked = np.sort(there[order[:held_out]])
    kept: RowArray = np.sort(there[order[held_out:]])
    queries = matrix.take(asked)
    within = np.zeros(matrix.count, dtype=np.bool_)
    within[kept] = True
    truth = ExactIndex(matrix).nearest(queries, AT, allowed=within).rows
    best = Measured(0.0, 0.0, len(asked), wanted)
    for one in planned if held_out else ():
        index = FaissIndex.build(
            matrix, one, rows=kept, on_progress=on_progress, is_stopped=is_stopped
        )
        for harder in ladder(one, len(kept)):
            best = _measured(_asking(index.at(harder), matrix, kept), queries, truth, wanted)
            if best.recall >= wanted:
                rows = np.concatenate([kept, asked]) if index.add(matrix, asked) else kept
                seconds = time.perf_counter() - started
                return Made(index.at(harder), harder, rows, best, seconds)
    return Made(None, None, kept[:0], best, time.perf_counter() - started)


def _asking(index: FaissIndex, matrix: Matrix, kept: RowArray) -> Callable[[FloatArray], RowArray]:
    """How an index over the rows `kept` is asked: its candidates compared with the vectors."""

    def ask(query: FloatArray) -> RowArray:
        found = index.candidates(query, AT * index.recipe.refine)
        named = np.where(found == NO_ROW, NO_ROW, kept[found])
        return compared(matrix, query, named, AT).rows

    return ask


def _measured(
    ask: Callable[[FloatArray], RowArray], queries: FloatArray, truth: RowArray, wanted: float
) -> Measured:
    """How many of the true neighbours are found, one query at a time, and how quickly."""
    hits, times = 0, []
    for query, true in zip(queries, truth, strict=True):
        began = time.perf_counter()
        found = ask(query[None])[0]
        times.append(time.perf_counter() - began)
        hits += len(np.intersect1d(found[found != NO_ROW], true[true != NO_ROW]))
    possible = max(1, int(np.count_nonzero(truth != NO_ROW)))
    latency_ms = float(np.median(times)) * 1e3 if times else 0.0
    return Measured(hits / possible, latency_ms, len(queries), wanted)


def make_lance(
    dataset: Any, addresses: AddressArray, vectors: FloatArray, true: RowArray, wanted: float
) -> tuple[Any, Effort, Measured, float]:
    """Build Lance's index over a table, or take into it what came since, and find out how good.

    `vectors` (q, dim) are some of the table, `true` (q, n) the rows nearest to each. Returns the
    dataset with the index, the least effort that finds `wanted` of them (else the greatest), what
    was measured, and the seconds. Raises StoreError.
    """
    started = time.perf_counter()
    if lance_index.unindexed_rows(dataset) is None:
        dataset = lance_index.build(dataset)
    else:
        dataset = lance_index.extend(dataset)
    best = Measured(0.0, 0.0, len(vectors), wanted)
    effort = lance_index.efforts(len(addresses))[0]
    for effort in lance_index.efforts(len(addresses)):
        index = LanceIndex(dataset, addresses, effort)

        def ask(query: FloatArray, index: LanceIndex = index) -> RowArray:
            return index.nearest(query, true.shape[1]).rows

        best = _measured(ask, vectors, true, wanted)
        if best.recall >= wanted:
            break
    return dataset, effort, best, time.perf_counter() - started
