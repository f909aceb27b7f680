"""Vector indexes that FAISS builds, stores in files and searches."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.config import cpu_count
from mmsearch.errors import StoreError
from mmsearch.index.base import NO_ROW, FloatArray, RowArray, RowMask
from mmsearch.index.faiss_build import (
    BuildMonitor,
    BuildStopped,
    add_rows,
    create_empty,
    draw_sample,
    train,
)
from mmsearch.index.faiss_gpu import GpuIndex, build_cagra, count_gpus
from mmsearch.index.faiss_library import faiss_version, is_available, load_faiss
from mmsearch.index.recipes import GPU_KINDS, GRAPH_KINDS, IndexKind, Recipe, estimate_memory_bytes
from mmsearch.index.vector_matrix import Matrix
from mmsearch.runtime.device import Device

__all__ = ["BuildStopped", "FaissIndex", "faiss_version", "is_available"]

MAGIC = b"mmsearch"
TRAILER = struct.Struct("<8sQ")
"""The end of a file: the magic and the number of bytes of the file."""
FEW_SHARE = 0.3
"""If a filter allows less than this, lists without an allowed row are skipped, and there are
FILTERED_SPARE times as many candidates: allowed rows lie farther away, where codes are too coarse
to rank them. With all lists visited, recall@10 under a filter of 1 % that was far from the queries
was 0.91 with 80 candidates of one bit a dimension, 0.99 with 320."""
FILTERED_SPARE = 4
FILTERED_LISTS = 6
"""Under such a filter so many times more lists are visited: with 100,000 similar rows of a million
recall@10 is 0.93 at once the lists, 0.98 at four times, 1.0 at eight."""
GROWTH = 4
"""A search that finds too few rows is repeated with so many times the effort."""
COARSE_SPARE, COARSE_NODES = 2, 32
"""Nodes of a graph over centroids that are visited: so many for each list, plus a constant."""


class FaissIndex:
    """A FAISS index; fulfils `mmsearch.index.live_index.CandidateIndex`.

    Its rows are numbered in the order in which they were added. Safe to search from several
    threads: the parameters of a search are passed with it.
    """

    def __init__(
        self,
        index: Any,
        recipe: Recipe,
        *,
        size_bytes: int | None = None,
        gpu: GpuIndex | None = None,
    ) -> None:
        self.index = index
        self.recipe = recipe
        self._size_bytes = size_bytes
        self._gpu = gpu
        faiss = load_faiss()
        self._lists = 0
        self._is_rotated = isinstance(index, faiss.IndexPreTransform)
        self._is_coarse_graph = False
        self._list_of: NDArray[np.int32] | None = None
        if recipe.lists:
            lists = faiss.extract_index_ivf(index)
            self._lists = int(lists.nlist)
            coarse = faiss.downcast_index(lists.quantizer)
            self._is_coarse_graph = isinstance(coarse, faiss.IndexHNSW)

    @classmethod
    def build(
        cls,
        matrix: Matrix,
        recipe: Recipe,
        *,
        rows: RowArray | None = None,
        threads: int | None = None,
        on_progress: Callable[[float], object] | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> FaissIndex:
        """Builds the index of a recipe over `rows` of the matrix (None: all).

        Uses all processors unless `threads` is given; `on_progress` receives the share that is
        done. Raises BuildStopped soon after `is_stopped` returns True, and ConfigError for a recipe
        that needs a GPU if there is none.
        """
        load_faiss().omp_set_num_threads(threads or cpu_count())
        monitor = BuildMonitor(on_progress, is_stopped)
        monitor.report(0.0)
        if recipe.kind is IndexKind.CAGRA:
            return cls(build_cagra(matrix, recipe, rows, device=0), recipe)
        index = create_empty(recipe, matrix.dim)
        if not matrix.count or (rows is not None and not len(rows)):
            return cls(index, recipe)
        if recipe.kind is IndexKind.GPU_IVF_PQ and count_gpus():
            gpu = GpuIndex.from_cpu(index, device=0)
            gpu.index.train(draw_sample(matrix, recipe, rows))
            add_rows(gpu.index, matrix, recipe, rows, monitor)
            return cls(gpu.to_cpu(), recipe)
        if not index.is_trained:
            train(index, draw_sample(matrix, recipe, rows), recipe, monitor)
        add_rows(index, matrix, recipe, rows, monitor)
        return cls(index, recipe)

    @classmethod
    def open(
        cls, path: Path, recipe: Recipe, *, use_mmap: bool = True, device: str = "cpu"
    ) -> FaissIndex:
        """Opens the index that `save` wrote, memory-mapped unless it goes to a GPU.

        Raises StoreError for a file that does not match the recipe. FAISS checks the shape of a
        file, not its numbers: the caller must check that the bytes are intact.
        """
        faiss = load_faiss()
        target = Device.parse(device)
        is_cpu = target is not None and target.kind == "cpu"
        is_cpu = is_cpu or recipe.kind not in GPU_KINDS or (target is None and not count_gpus())
        try:
            size_bytes = _read_size(path)
            flags = faiss.IO_FLAG_MMAP_IFC if use_mmap and is_cpu else 0
            index = faiss.read_index(str(path), flags)
        except (RuntimeError, MemoryError, OSError, ValueError) as exc:
            raise StoreError(f"{path} is no index that FAISS can read: build it anew") from exc
        if not _is_built_by(index, recipe):
            raise StoreError(f"{path} is no index of the kind {recipe.kind}: build it anew")
        gpu = None if is_cpu else GpuIndex.from_cpu(index, device=target.index if target else 0)
        return cls(index, recipe, size_bytes=size_bytes, gpu=gpu)

    def save(self, path: Path) -> None:
        """Writes it to a file. Raises OSError on failure.

        FAISS maps a truncated file without an error, so the length is written at the end.
        """
        try:
            load_faiss().write_index(self.index, str(path))
        except RuntimeError as exc:
            raise OSError(f"{path} cannot be written") from exc
        with path.open("ab") as stream:
            self._size_bytes = stream.tell() + TRAILER.size
            stream.write(TRAILER.pack(MAGIC, self._size_bytes))

    def add(self, matrix: Matrix, rows: RowArray) -> bool:
        """Adds `rows` of the matrix before it is saved; returns False if the kind cannot."""
        if self.recipe.kind in GPU_KINDS:
            return False
        add_rows(self.index, matrix, self.recipe, rows, BuildMonitor())
        self._list_of = None
        return True

    def with_recipe(self, recipe: Recipe) -> FaissIndex:
        """Returns the same index with the search effort of another recipe of its kind."""
        return FaissIndex(self.index, recipe, size_bytes=self._size_bytes, gpu=self._gpu)

    @property
    def count(self) -> int:
        """The number of its rows."""
        return int(self.index.ntotal)

    @property
    def memory_bytes(self) -> int:
        """The size of its file in bytes; estimated before it has one."""
        if self._size_bytes is None:
            return estimate_memory_bytes(self.recipe, self.count, int(self.index.d))
        return self._size_bytes

    def find_candidates(
        self, queries: FloatArray, count: int, *, allowed: RowMask | None = None
    ) -> RowArray:
        """Returns rows near each of `queries`; see `mmsearch.index.live_index.CandidateIndex`.

        `allowed` has an entry for each row of the index.
        """
        allowed_count = self.count if allowed is None else int(np.count_nonzero(allowed))
        is_few = allowed_count <= FEW_SHARE * self.count
        width = FILTERED_SPARE * count if is_few and allowed is not None else count
        candidates = np.full((len(queries), width), NO_ROW, dtype=np.int64)
        k = min(width, allowed_count)
        if not k or not len(queries):
            return candidates
        if self._gpu is not None:
            effort = self._choose_effort(k, allowed_count, None)
            candidates[:, :k] = self._gpu.find_candidates(queries, k, effort, allowed)
            return candidates
        faiss = load_faiss()
        lists = self._find_allowed_lists(allowed) if is_few else None
        effort, most = self._choose_effort(k, allowed_count, lists), self._lists or self.count
        selectors = [None if mask is None else _make_selector(mask) for mask in (allowed, lists)]
        unfinished = np.arange(len(queries))
        while len(unfinished):
            # One query is answered sooner by one thread. The setting is the calling thread's own.
            faiss.omp_set_num_threads(min(len(unfinished), cpu_count()))
            parameters = self._make_parameters(effort, *selectors)
            _, rows = self.index.search(queries[unfinished], k, params=parameters)
            candidates[unfinished, :k] = rows
            if effort >= most:
                break
            unfinished = unfinished[rows[:, -1] == NO_ROW]
            effort = min(most, GROWTH * effort)
        return candidates

    def _choose_effort(self, count: int, allowed_count: int, lists: RowMask | None) -> int:
        """Returns the lists or nodes to visit for `count` candidates among the allowed rows.

        So many that as many allowed rows are compared as would be rows without a filter.
        """
        if not self._lists:
            nodes = math.ceil(self.recipe.effort * self.count / allowed_count)
            return min(self.count, max(count, nodes))
        compared = max(count, self.recipe.effort * self.count / self._lists)
        list_count = self._lists
        if lists is not None:
            list_count = int(np.count_nonzero(lists))
            compared *= FILTERED_LISTS
        return min(self._lists, math.ceil(compared * list_count / allowed_count))

    def _find_allowed_lists(self, allowed: RowMask | None) -> RowMask | None:
        """Returns a (lists,) mask of the lists with an allowed row; None if that is all."""
        if allowed is None or not self._lists:
            return None
        if self._list_of is None:
            self._list_of = self._read_list_numbers()
        lists = np.zeros(self._lists, dtype=np.bool_)
        lists[self._list_of[np.flatnonzero(allowed)]] = True
        return lists

    def _read_list_numbers(self) -> NDArray[np.int32]:
        """Returns (n,) the number of the list of each row."""
        faiss = load_faiss()
        lists = faiss.extract_index_ivf(self.index).invlists
        numbers = np.zeros(self.count, dtype=np.int32)
        for number in range(self._lists):
            if size := lists.list_size(number):
                numbers[faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        return numbers

    def _make_parameters(self, effort: int, rows: Any, lists: Any) -> Any:
        """Builds the parameters of one search; `rows` and `lists` are selectors or None."""
        faiss = load_faiss()
        selection: dict[str, Any] = {} if rows is None else {"sel": rows}
        if self.recipe.kind in GRAPH_KINDS:
            return faiss.SearchParametersHNSW(efSearch=effort, **selection)
        if not self._lists:
            return faiss.SearchParameters(**selection)
        coarse: dict[str, Any] = {} if lists is None else {"sel": lists}
        if self._is_coarse_graph:
            nodes = min(self._lists, COARSE_SPARE * effort + COARSE_NODES)
            coarse = {"quantizer_params": faiss.SearchParametersHNSW(efSearch=nodes, **coarse)}
        elif coarse:
            coarse = {"quantizer_params": faiss.SearchParameters(**coarse)}
        parameters = faiss.SearchParametersIVF(nprobe=effort, **coarse, **selection)
        if self._is_rotated:
            return faiss.SearchParametersPreTransform(index_params=parameters)
        return parameters


def _make_selector(mask: RowMask) -> Any:
    """Makes a FAISS selector of the numbers that are set in a mask; it owns its bits."""
    return load_faiss().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def _is_built_by(index: Any, recipe: Recipe) -> bool:
    """Returns True if an index that was read is of the kind that a recipe builds."""
    if recipe.kind is IndexKind.CAGRA:
        return isinstance(index, load_faiss().IndexHNSWCagra)
    return isinstance(index, type(create_empty(recipe, index.d))) and bool(index.is_trained)


def _read_size(path: Path) -> int:
    """Returns the length of a file in bytes. Raises ValueError for a truncated or foreign one."""
    with path.open("rb") as stream:
        size_bytes = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size_bytes - TRAILER.size))
        if stream.read() != TRAILER.pack(MAGIC, size_bytes):
            raise ValueError(path)
    return size_bytes
