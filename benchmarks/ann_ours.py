"""mmsearch's own indexes as peers: made by the planner, kept and opened as a library does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.ann_data import Dataset, FloatArray
from benchmarks.ann_peers import Effort, Filter, RowArray, blocks

if TYPE_CHECKING:
    from mmsearch.index.base import VectorIndex
    from mmsearch.index.faiss_index import FaissIndex
    from mmsearch.index.live_index import BuiltIndex

SPACE = "space"
NODES = (10, 2000)
LISTS = (1, 2000)
VISITS = {"auto": (0, 0), "flat": (0, 0), "gpu-flat": (0, 0), "hnsw": NODES, "cagra": NODES}
REFINES = {
    "auto": (0,),
    "flat": (1,),
    "gpu-flat": (1,),
    "hnsw": (1, 2, 4),
    "cagra": (1, 2),
    "ivf-sq8": (1, 2, 4),
    "ivf-rabitq4": (1, 2, 4, 8),
}
CODES = (4, 8, 16, 32)
"""Refines of those that keep so little of a vector that many candidates must be compared."""


class OursExact:
    """Exact search over the memory-mapped float16 vectors, as a library does without an index."""

    modules: Sequence[str] = ("mmsearch.index.exact_index",)
    visits = (0, 0)
    refines: Sequence[int] = (0,)
    filters = True
    grows = True

    def __init__(self, threads: int) -> None:
        del threads  # from the environment, and as many as there are processors

    def build(self, data: Dataset, folder: Path) -> None:
        """Nothing: the vectors are there."""

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        from mmsearch.index.exact_index import ExactIndex
        from mmsearch.index.vector_matrix import Matrix

        del folder, to_grow
        self._matrix = Matrix.from_array(data.vectors())
        self._index = ExactIndex(self._matrix)

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        del effort
        return self._index.nearest(queries, k, allowed=kept.mask if kept else None).rows

    def add(self, vectors: FloatArray) -> None:
        from mmsearch.index.exact_index import ExactIndex
        from mmsearch.index.vector_matrix import Matrix

        blocks = [*self._matrix.blocks, vectors.astype(np.float16)]
        self._matrix = Matrix(blocks, self._matrix.dim)
        self._index = ExactIndex(self._matrix)


class Ours:
    """An index of one kind, or of the kind that the planner takes (`auto`, at its own effort)."""

    modules: Sequence[str] = ("faiss", "mmsearch.index.index_files", "mmsearch.index.planner")
    filters = True
    grows = True

    def __init__(self, threads: int, kind: str = "auto") -> None:
        del threads  # FAISS takes the number from the environment
        self._kind = kind
        self.visits = VISITS.get(kind, LISTS)
        self.refines: Sequence[int] = REFINES.get(kind, CODES)
        self._at: dict[Effort, VectorIndex] = {}

    def build(self, data: Dataset, folder: Path) -> None:
        """What planning, building, measuring and saving take together."""
        from mmsearch.index import index_files, planner
        from mmsearch.index.index_config import EXACT, IndexConfig
        from mmsearch.index.vector_matrix import Matrix

        matrix = Matrix.from_array(data.vectors())
        wish = IndexConfig(kind=self._kind)
        memory = data.raw_bytes()
        if planner.choose_family(wish, matrix.count, is_remote=False) == EXACT:
            recipes = []
        else:
            recipes = planner.plan_recipes(wish, matrix.count, matrix.dim, memory, has_gpu=False)
        made = planner.build_best(matrix, None, recipes, wish.recall)
        if recipes and made.index is None:
            raise ValueError(f"no {self._kind} reached {wish.recall}: {made.measured}")
        header = index_files.IndexHeader(
            space=SPACE,
            kind=EXACT if made.recipe is None else str(made.recipe.kind),
            count=matrix.count,
            dim=matrix.dim,
            store_version=1,
            measured=made.measured,
            seconds=made.seconds,
            recipe=made.recipe,
        )
        keys = np.arange(matrix.count, dtype=np.uint64)
        write = None if made.index is None else made.index.save
        index_files.save(folder, header, keys, made.rows.astype(np.int32), write)

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        from mmsearch.index import index_files
        from mmsearch.index.vector_matrix import Column, Matrix

        del to_grow
        kept = index_files.find(folder, SPACE)
        if kept is None:
            raise ValueError(f"{folder} holds no index that is whole")
        self._matrix = Matrix.from_array(data.vectors())
        self._built: BuiltIndex | None = None
        self._recipe = kept.header.recipe
        if self._recipe is None:
            return  # so few that search is exact
        is_on_gpu = "gpu" in self._kind or self._kind == "cagra"
        index = index_files.open_index(kept, device="cuda:0" if is_on_gpu else "cpu")
        if index is None:
            raise ValueError(f"the index in {folder} cannot be opened")
        self._index: FaissIndex = index
        keys = Column([np.arange(self._matrix.count, dtype=np.uint64)])
        self._built = index_files.bind_to_rows(kept, index, self._recipe, keys)

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        live = self._at.get(effort) or self._live(effort)
        return live.nearest(queries, k, allowed=kept.mask if kept else None).rows

    def add(self, vectors: FloatArray) -> None:
        from mmsearch.index.vector_matrix import Matrix

        begin = self._matrix.count
        blocks = [*self._matrix.blocks, vectors.astype(np.float16)]
        self._matrix = Matrix(blocks, self._matrix.dim)
        if self._built is not None:
            late = np.arange(begin, begin + len(vectors))
            self._built = replace(self._built, tail=np.concatenate([self._built.tail, late]))
        self._at.clear()

    def _live(self, effort: Effort) -> VectorIndex:
        from mmsearch.index.live_index import LiveIndex

        recipe, built = self._recipe, self._built
        if recipe is not None and built is not None:
            recipe = replace(
                recipe,
                effort=effort.visited or recipe.effort,
                refine=effort.refine or recipe.refine,
            )
            built = replace(built, index=self._index.with_recipe(recipe), refine=recipe.refine)
        self._at[effort] = LiveIndex(self._matrix, built=built)
        return self._at[effort]


class OursLance:
    """The index that a library lets Lance keep with its table of float16 vectors."""

    modules: Sequence[str] = ("lance", "mmsearch.index.lance_index")
    visits = LISTS
    refines: Sequence[int] = (1, 2, 4)
    filters = True
    grows = True

    def __init__(self, threads: int) -> None:
        del threads  # Lance takes the number from the environment

    def build(self, data: Dataset, folder: Path) -> None:
        import lance
        import pyarrow as pa

        from mmsearch.index import lance_index

        schema = pa.schema(
            [
                ("asset_id", pa.string()),
                ("vector", pa.list_(pa.float16(), data.vectors().shape[1])),
            ]
        )

        def batches() -> Iterator[pa.RecordBatch]:
            for begin, part in blocks(data.vectors()):
                yield _batch(begin, part, schema)

        path = str(folder / "vectors.lance")
        lance_index.build(lance.write_dataset(batches(), path, schema=schema))

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        del data, to_grow
        self._path = str(folder / "vectors.lance")
        self._reopen()

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        from mmsearch.index import lance_index

        index = self._index.with_effort(lance_index.Effort(effort.visited, effort.refine))
        return index.nearest(queries, k, allowed=kept.mask if kept else None).rows

    def add(self, vectors: FloatArray) -> None:
        import lance

        dataset = lance.dataset(self._path)
        batch = _batch(dataset.count_rows(), vectors, dataset.schema)
        lance.write_dataset(batch, self._path, mode="append")
        self._reopen()

    def _reopen(self) -> None:
        import lance

        from mmsearch.index.lance_index import LanceIndex

        dataset = lance.dataset(self._path)
        table = dataset.to_table(columns=[], with_row_address=True)
        self._index = LanceIndex(dataset, table["_rowaddr"].to_numpy())


def _batch(begin: int, vectors: FloatArray, schema: Any) -> Any:
    import pyarrow as pa

    names = [f"{row:032x}" for row in range(begin, begin + len(vectors))]
    values = pa.array(vectors.astype(np.float16).ravel())
    column = pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])
    return pa.record_batch([pa.array(names), column], schema=schema)
