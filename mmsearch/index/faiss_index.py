"""Vector indexes that FAISS builds, keeps in files and searches."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.config import cpu_count
from mmsearch.errors import StoreError
from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.faiss_build import BuildStopped, Watch, empty, fill, learn, sampled
from mmsearch.index.faiss_gpu import OnGpu, cagra, gpu_count
from mmsearch.index.faiss_library import is_available, library, version
from mmsearch.index.recipes import GPU_KINDS, GRAPH_KINDS, Kind, Recipe, memory_bytes
from mmsearch.index.vector_matrix import Matrix
from mmsearch.runtime.device import Device

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

__all__ = ["BuildStopped", "FaissIndex", "faiss_version", "is_available"]

MARK = b"mmsearch"
END = struct.Struct("<8sQ")
"""The end of a file: who wrote it, and how many bytes it has."""
FEW_SHARE = 0.3
"""Where a filter leaves less than this, lists that hold none of it are passed over, and there are
FILTERED_SPARE times as many candidates: what passes lies farther away, where codes are too coarse
to tell it apart. With all lists visited, recall@10 under a filter of 1 % that was far from the
queries was 0.91 with 80 candidates of one bit a dimension, 0.99 with 320."""
FILTERED_SPARE = 4
FILTERED_LISTS = 6
"""Under such a filter so many times the lists are visited: with a tenth of a million rows that are
alike, recall@10 is 0.93 at once the lists, 0.98 at four times, 1.0 at eight."""
GROWTH = 4
"""Where too few are found, the search is done again with so many times the effort."""
COARSE_SPARE, COARSE_NODES = 2, 32
"""How many nodes of a graph over centroids are visited: so many for each list, and these."""


def faiss_version() -> str:
    """The version of FAISS, as an index is stamped with it."""
    return version()


class FaissIndex:
    """Names rows that are likely to be near: see `mmsearch.index.live_index.Candidates`.

    Its rows are numbered by the order in which they were built in. Safe to search from several
    threads: all that a search sets goes with it.
    """

    def __init__(
        self, index: Any, recipe: Recipe, *, size_bytes: int | None = None, gpu: OnGpu | None = None
    ) -> None:
        self.index = index
        self.recipe = recipe
        self._size_bytes = size_bytes
        self._gpu = gpu
        faiss = library()
        self._lists = 0
        self._is_turned = isinstance(index, faiss.IndexPreTransform)
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
        """The index of a recipe over `rows` of the matrix, all by default.

        On all processors unless `threads` says how many; `on_progress` is told the share done.
        Raises BuildStopped soon after `is_stopped` says so, and ConfigError for a recipe that asks
        for a GPU where there is none.
        """
        library().omp_set_num_threads(threads or cpu_count())
        watch = Watch(on_progress, is_stopped)
        watch.reached(0.0)
        if recipe.kind is Kind.CAGRA:
            return cls(cagra(matrix, recipe, rows, device=0), recipe)
        index = empty(recipe, matrix.dim)
        if not matrix.count or (rows is not None and not len(rows)):
            return cls(index, recipe)
        if recipe.kind is Kind.GPU_IVF_PQ and gpu_count():
            there = OnGpu.moved(index, device=0)
            there.index.train(sampled(matrix, recipe, rows))
            fill(there.index, matrix, recipe, rows, watch)
            return cls(there.back(), recipe)
        if not index.is_trained:
            learn(index, sampled(matrix, recipe, rows), recipe, watch)
        fill(index, matrix, recipe, rows, watch)
        return cls(index, recipe)

    @classmethod
    def open(
        cls, path: Path, recipe: Recipe, *, use_mmap: bool = True, device: str = "cpu"
    ) -> FaissIndex:
        """The index that `save` wrote, memory-mapped unless it goes to a GPU.

        Raises StoreError for a file that is not what the recipe says. FAISS checks the shape of a
        file, not its numbers: see to it that the bytes are those that were written.
        """
        faiss = library()
        wanted = Device.parse(device)
        is_cpu = wanted is not None and wanted.kind == "cpu"
        is_cpu = is_cpu or recipe.kind not in GPU_KINDS or (wanted is None and not gpu_count())
        try:
            size_bytes = _checked_size(path)
            flags = faiss.IO_FLAG_MMAP_IFC if use_mmap and is_cpu else 0
            index = faiss.read_index(str(path), flags)
        except (RuntimeError, MemoryError, OSError, ValueError) as exc:
            raise StoreError(f"{path} is no index that FAISS can read: build it anew") from exc
        if not _is_of(index, recipe):
            raise StoreError(f"{path} is no index of the kind {recipe.kind}: build it anew")
        gpu = None if is_cpu else OnGpu.moved(index, device=wanted.index if wanted else 0)
        return cls(index, recipe, size_bytes=size_bytes, gpu=gpu)

    def save(self, path: Path) -> None:
        """Write it to a file. Raises OSError where that fails.

        FAISS maps a file that was cut short without a word, so its length stands at the end.
        """
        try:
            library().write_index(self.index, str(path))
        except RuntimeError as exc:
            raise OSError(f"{path} cannot be written") from exc
        with path.open("ab") as stream:
            self._size_bytes = stream.tell() + END.size
            stream.write(END.pack(MARK, self._size_bytes))

    def add(self, matrix: Matrix, rows: RowArray) -> bool:
        """Take in `rows` of the matrix, before it is saved; False for a kind that takes no more."""
        if self.recipe.kind in GPU_KINDS:
            return False
        fill(self.index, matrix, self.recipe, rows, Watch(None, None))
        self._list_of = None
        return True

    def at(self, recipe: Recipe) -> FaissIndex:
        """The same index, searched as hard as a recipe for the same kind says."""
        return FaissIndex(self.index, recipe, size_bytes=self._size_bytes, gpu=self._gpu)

    @property
    def count(self) -> int:
        """How many rows it was built over."""
        return int(self.index.ntotal)

    @property
    def memory_bytes(self) -> int:
        """What it takes, as bytes of its file; estimated before it has one."""
        if self._size_bytes is None:
            return memory_bytes(self.recipe, self.count, int(self.index.d))
        return self._size_bytes

    def candidates(
        self, queries: FloatArray, count: int, *, allowed: RowMask | None = None
    ) -> RowArray:
        """Rows near each of `queries`; see `mmsearch.index.live_index.Candidates`.

        `allowed` has an entry for each row of the index.
        """
        passing = self.count if allowed is None else int(np.count_nonzero(allowed))
        is_few = passing <= FEW_SHARE * self.count
        wanted = FILTERED_SPARE * count if is_few and allowed is not None else count
        found = np.full((len(queries), wanted), NO_ROW, dtype=np.int64)
        some = min(wanted, passing)
        if not some or not len(queries):
            return found
        if self._gpu is not None:
            effort = self._effort(some, passing, None)
            found[:, :some] = self._gpu.candidates(queries, some, effort, allowed)
            return found
        faiss = library()
        holding = self._holding(allowed) if is_few else None
        effort, most = self._effort(some, passing, holding), self._lists or self.count
        selectors = [None if mask is None else _selector(mask) for mask in (allowed, holding)]
        short = np.arange(len(queries))
        while len(short):
            # One query is answered sooner by one thread. The setting is the calling thread's own.
            faiss.omp_set_num_threads(min(len(short), cpu_count()))
            parameters = self._parameters(effort, *selectors)
            _, rows = self.index.search(queries[short], some, params=parameters)
            found[short, :some] = rows
            if effort >= most:
                break
            short = short[rows[:, -1] == NO_ROW]
            effort = min(most, GROWTH * effort)
        return found

    def _effort(self, count: int, passing: int, holding: RowMask | None) -> int:
        """How many lists or nodes to visit for `count` candidates among the rows that pass.

        So many that as many rows that pass are seen as there would be without a filter.
        """
        if not self._lists:
            return min(self.count, max(count, math.ceil(self.recipe.effort * self.count / passing)))
        lists = self._lists if holding is None else int(np.count_nonzero(holding))
        seen = max(count, self.recipe.effort * self.count / self._lists)
        if holding is not None:
            seen *= FILTERED_LISTS
        return min(self._lists, math.ceil(seen * lists / passing))

    def _holding(self, allowed: RowMask | None) -> RowMask | None:
        """(lists,) which lists hold a row that passes: no other is worth a visit."""
        if allowed is None or not self._lists:
            return None
        if self._list_of is None:
            self._list_of = self._list_of_each_row()
        holding = np.zeros(self._lists, dtype=np.bool_)
        holding[self._list_of[np.flatnonzero(allowed)]] = True
        return holding

    def _list_of_each_row(self) -> NDArray[np.int32]:
        faiss = library()
        lists = faiss.extract_index_ivf(self.index).invlists
        found = np.zeros(self.count, dtype=np.int32)
        for number in range(self._lists):
            size = lists.list_size(number)
            if size:
                found[faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        return found

    def _parameters(self, effort: int, rows: Any, lists: Any) -> Any:
        """What FAISS takes with one search: the effort, and selectors of rows and lists or None."""
        faiss = library()
        told: dict[str, Any] = {} if rows is None else {"sel": rows}
        if self.recipe.kind in GRAPH_KINDS:
            return faiss.SearchParametersHNSW(efSearch=effort, **told)
        if not self._lists:
            return faiss.SearchParameters(**told)
        coarse: dict[str, Any] = {} if lists is None else {"sel": lists}
        if self._is_coarse_graph:
            nodes = min(self._lists, COARSE_SPARE * effort + COARSE_NODES)
            coarse = {"quantizer_params": faiss.SearchParametersHNSW(efSearch=nodes, **coarse)}
        elif coarse:
            coarse = {"quantizer_params": faiss.SearchParameters(**coarse)}
        visited = faiss.SearchParametersIVF(nprobe=effort, **coarse, **told)
        if self._is_turned:
            return faiss.SearchParametersPreTransform(index_params=visited)
        return visited


def _selector(mask: RowMask) -> Any:
    """What FAISS asks whether a number passes; it keeps hold of its bits."""
    return library().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def _is_of(index: Any, recipe: Recipe) -> bool:
    """Whether an index that was read is what a recipe makes."""
    if recipe.kind is Kind.CAGRA:
        return isinstance(index, library().IndexHNSWCagra)
    return isinstance(index, type(empty(recipe, index.d))) and bool(index.is_trained)


def _checked_size(path: Path) -> int:
    """The length of a whole file, in bytes. Raises ValueError for one that is cut or foreign."""
    with path.open("rb") as stream:
        size_bytes = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size_bytes - END.size))
        if stream.read() != END.pack(MARK, size_bytes):
            raise ValueError(path)
    return size_bytes
