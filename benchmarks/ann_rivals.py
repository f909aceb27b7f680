"""What a user would pick instead of mmsearch's own index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ann_data import MASKS, Dataset, FloatArray
from benchmarks.ann_peers import NO_ROW, Effort, Filter, RowArray, blocks


class NumPy:
    """All similarities by one product of matrices, float32 in memory."""

    modules: Sequence[str] = ()
    visits = (0, 0)
    refines: Sequence[int] = (0,)
    filters = True
    grows = True

    def __init__(self, threads: int) -> None:
        del threads  # OpenBLAS takes the number from the environment

    def build(self, data: Dataset, folder: Path) -> None:
        np.save(folder / "vectors.npy", data.vectors().astype(np.float32))

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        del data, to_grow
        self._vectors: FloatArray = np.load(folder / "vectors.npy")

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        del effort
        rows = None if kept is None else np.flatnonzero(kept.mask)
        vectors = self._vectors if rows is None else self._vectors[rows]
        scores = queries @ vectors.T
        k = min(k, scores.shape[1])
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        best = np.take_along_axis(best, order, axis=1)
        return best if rows is None else rows[best]

    def add(self, vectors: FloatArray) -> None:
        self._vectors = np.concatenate([self._vectors, vectors])


class Faiss:
    """An index of FAISS over inner products: flat, or HNSW over float32 vectors."""

    modules: Sequence[str] = ("faiss",)
    refines: Sequence[int] = (0,)
    filters = True
    grows = True

    def __init__(self, threads: int, links: int = 0, build_effort: int = 0) -> None:
        self._threads, self._links, self._build_effort = threads, links, build_effort
        self.visits = (10, 2000) if links else (0, 0)

    def build(self, data: Dataset, folder: Path) -> None:
        faiss = self._library()
        dim, metric = data.vectors().shape[1], faiss.METRIC_INNER_PRODUCT
        if self._links:
            index = faiss.IndexHNSWFlat(dim, self._links, metric)
            index.hnsw.efConstruction = self._build_effort
        else:
            index = faiss.IndexFlat(dim, metric)
        for _, part in blocks(data.vectors()):
            index.add(part)
        faiss.write_index(index, str(folder / "index.faiss"))

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        del data
        faiss = self._library()
        flags = 0 if to_grow else faiss.IO_FLAG_MMAP_IFC
        self._index = faiss.read_index(str(folder / "index.faiss"), flags)

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        faiss = self._library()
        parameters = faiss.SearchParameters()
        if self._links:
            parameters = faiss.SearchParametersHNSW(efSearch=effort.visited)
        if kept is not None:
            bits = np.packbits(kept.mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            parameters.sel = selector
        _, rows = self._index.search(queries, k, params=parameters)
        found: RowArray = rows
        return found

    def add(self, vectors: FloatArray) -> None:
        self._index.add(vectors)

    def _library(self) -> Any:
        import faiss

        faiss.omp_set_num_threads(self._threads)
        return faiss


class Usearch:
    """USearch's HNSW, vectors as float16 or int8; opened as a view of the file."""

    modules: Sequence[str] = ("usearch.index",)
    visits = (10, 4000)
    refines: Sequence[int] = (0,)
    filters = False
    grows = True

    def __init__(
        self, threads: int, dtype: str = "f16", links: int = 16, build_effort: int = 128
    ) -> None:
        self._threads, self._dtype = threads, dtype
        self._links, self._build_effort = links, build_effort

    def build(self, data: Dataset, folder: Path) -> None:
        from usearch.index import Index

        index = Index(
            ndim=data.vectors().shape[1],
            metric="cos",
            dtype=self._dtype,
            connectivity=self._links,
            expansion_add=self._build_effort,
        )
        for begin, part in blocks(data.vectors()):
            index.add(np.arange(begin, begin + len(part)), part, threads=self._threads)
        index.save(str(folder / "index.usearch"))

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        from usearch.index import Index

        del data
        self._index: Any = Index.restore(str(folder / "index.usearch"), view=not to_grow)

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        del kept
        self._index.expansion_search = effort.visited
        matches = self._index.search(queries, k, threads=self._threads)
        keys = np.asarray(matches.keys).reshape(len(queries), -1)
        rows = np.full((len(queries), k), NO_ROW, dtype=np.int64)
        rows[:, : keys.shape[1]] = keys
        return rows

    def add(self, vectors: FloatArray) -> None:
        begin = len(self._index)
        self._index.add(np.arange(begin, begin + len(vectors)), vectors, threads=self._threads)


class Hnswlib:
    """The HNSW of its inventors, over float32 vectors."""

    modules: Sequence[str] = ("hnswlib",)
    visits = (10, 2000)
    refines: Sequence[int] = (0,)
    filters = False  # by a call back into Python for each node: no one would
    grows = True

    def __init__(self, threads: int, links: int = 16, build_effort: int = 200) -> None:
        self._threads, self._links, self._build_effort = threads, links, build_effort

    def build(self, data: Dataset, folder: Path) -> None:
        import hnswlib

        count, dim = data.vectors().shape
        index = hnswlib.Index(space="ip", dim=dim)
        index.init_index(count, M=self._links, ef_construction=self._build_effort)
        for begin, part in blocks(data.vectors()):
            ids = np.arange(begin, begin + len(part))
            index.add_items(part, ids, num_threads=self._threads)
        index.save_index(str(folder / "index.hnswlib"))

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=data.vectors().shape[1])
        room = data.rows + 10_000 if to_grow else 0
        self._index.load_index(str(folder / "index.hnswlib"), max_elements=room)

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        del kept
        self._index.set_ef(effort.visited)
        rows, _ = self._index.knn_query(queries, k, num_threads=self._threads)
        found: RowArray = rows.astype(np.int64)
        return found

    def add(self, vectors: FloatArray) -> None:
        begin = self._index.get_current_count()
        ids = np.arange(begin, begin + len(vectors))
        self._index.add_items(vectors, ids, num_threads=self._threads)


class LanceDb:
    """A table of LanceDB with one of its indexes, and a bitmap index for each filter."""

    modules: Sequence[str] = ("lancedb",)
    filters = True
    grows = True

    def __init__(self, threads: int, kind: str = "pq", step: int = 8) -> None:
        """`step`: dimensions that share a byte (pq)."""
        del threads  # Lance takes the number from the environment
        self._is_graph = kind == "hnsw"
        self._step = step
        self.visits = (10, 2000) if self._is_graph else (1, 1000)
        self.refines: Sequence[int] = (0, 4) if self._is_graph else (5, 20)

    def build(self, data: Dataset, folder: Path) -> None:
        import lancedb
        import pyarrow as pa
        from lancedb.index import Bitmap, HnswSq, IvfPq

        dim = data.vectors().shape[1]
        masks = {name: data.mask(name) for name in MASKS}
        schema = pa.schema(
            [
                pa.field("row", pa.int64()),
                pa.field("vector", pa.list_(pa.float32(), dim)),
                *(pa.field(_column(name), pa.bool_()) for name in MASKS),
            ]
        )

        def batches() -> Iterator[pa.RecordBatch]:
            for begin, part in blocks(data.vectors()):
                rows = np.arange(begin, begin + len(part))
                columns = [rows, _fixed(part), *(masks[name][rows] for name in MASKS)]
                yield pa.record_batch([pa.array(one) for one in columns], schema=schema)

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        table = lancedb.connect(str(folder)).create_table("vectors", reader, schema=schema)
        if self._is_graph:
            config: Any = HnswSq(distance_type="cosine")
        else:
            config = IvfPq(
                distance_type="cosine",
                num_partitions=max(1, round(data.rows**0.5)),
                num_sub_vectors=dim // self._step,
            )
        table.create_index("vector", config=config)
        for name in MASKS:
            table.create_index(_column(name), config=Bitmap())

    def open(self, data: Dataset, folder: Path, *, to_grow: bool = False) -> None:
        import lancedb

        del data, to_grow
        self._table = lancedb.connect(str(folder)).open_table("vectors")
        self._rows = self._table.count_rows()

    def search(
        self, queries: FloatArray, k: int, effort: Effort, kept: Filter | None = None
    ) -> RowArray:
        asked = queries[0] if len(queries) == 1 else list(queries)
        query = self._table.search(asked, vector_column_name="vector")
        query = query.distance_type("cosine").limit(k).select(["row", "_distance"])
        if self._is_graph:
            wide = max(effort.visited, k * effort.refine)
            query = query.ef(wide).nprobes(64)  # all its lists: one a million rows
        else:
            query = query.nprobes(effort.visited)
        if effort.refine:
            query = query.refine_factor(effort.refine)
        if kept is not None:
            query = query.where(_column(kept.name), prefilter=True)
        found = query.to_arrow()
        rows = np.full((len(queries), k), NO_ROW, dtype=np.int64)
        if len(queries) == 1:
            rows[0, : len(found)] = found["row"].to_numpy()
            return rows
        numbers, at = found["row"].to_numpy(), found["query_index"].to_numpy()
        for query_number in range(len(queries)):
            mine = numbers[at == query_number]  # in their order
            rows[query_number, : len(mine)] = mine
        return rows

    def add(self, vectors: FloatArray) -> None:
        import pyarrow as pa

        rows = np.arange(self._rows, self._rows + len(vectors))
        self._rows += len(vectors)
        columns = {"row": rows, "vector": _fixed(vectors)}
        columns |= {_column(name): np.zeros(len(rows), dtype=np.bool_) for name in MASKS}
        self._table.add(pa.table(columns, schema=self._table.schema))


def _column(mask: str) -> str:
    return mask.replace("-", "_")


def _fixed(vectors: FloatArray) -> Any:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
