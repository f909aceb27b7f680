"""FAISS indexes on a GPU: moved there to be filled and searched, and back to be saved."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.errors import ConfigError
from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.faiss_library import library
from mmsearch.index.recipes import Recipe
from mmsearch.index.vector_matrix import Matrix

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

MOST_FOUND = 2048
"""The longest list that FAISS selects on a GPU (faiss/gpu/utils/DeviceDefs.cuh)."""
GRAPH_LINKS = 64
GRAPH_LINKS_BEFORE_PRUNING = 128
FILTER_SPARE = 2.0
"""A filter is laid over what was found, so more is asked for: this times what it should take."""


def gpu_count() -> int:
    """How many GPUs the installed FAISS can use: 0 where it was built for CPUs alone."""
    return int(library().get_num_gpus())


class OnGpu:
    """A FAISS index that lies on a GPU. Searched by one thread at a time, as its memory asks."""

    def __init__(self, index: Any, resources: Any) -> None:
        self.index = index
        self._resources = resources  # must outlive the index
        self._lock = threading.Lock()

    @classmethod
    def moved(cls, index: Any, *, device: int) -> OnGpu:
        """A copy of a CPU's index on GPU number `device`. Raises ConfigError where it cannot go."""
        faiss = library()
        resources = resources_for(device)
        options = faiss.GpuClonerOptions()
        options.useFloat16 = True
        try:
            return cls(faiss.index_cpu_to_gpu(resources, device, index, options), resources)
        except RuntimeError as exc:
            raise ConfigError(
                f"the index does not fit on GPU {device}, or is of no kind that goes there: "
                f"search it on the CPU with --device cpu ({exc})"
            ) from exc

    def back(self) -> Any:
        """A copy for the CPU; a CAGRA graph becomes the base of an HNSW."""
        return library().index_gpu_to_cpu(self.index)

    def candidates(
        self, queries: FloatArray, count: int, effort: int, allowed: RowMask | None
    ) -> RowArray:
        """(q, count) int64: what was found and passes, the nearest first, padded with NO_ROW.

        A GPU takes no selector: more is asked for, and what does not pass is left out.
        """
        asked = float(count)
        if allowed is not None:
            asked *= FILTER_SPARE * len(allowed) / max(1, int(np.count_nonzero(allowed)))
        most = int(min(asked, self.index.ntotal, MOST_FOUND))
        with self._lock:
            found = self.index.search(queries, most, params=self._parameters(effort, most))
        rows: RowArray = found[1]
        if allowed is not None:
            rows = np.where((rows >= 0) & allowed[np.maximum(rows, 0)], rows, NO_ROW)
            passing_first = np.argsort(rows == NO_ROW, axis=1, kind="stable")
            rows = np.take_along_axis(rows, passing_first, axis=1)
        missing = max(0, count - rows.shape[1])
        padded: RowArray = np.pad(rows, ((0, 0), (0, missing)), constant_values=NO_ROW)
        return padded[:, :count]

    def _parameters(self, effort: int, count: int) -> Any:
        faiss = library()
        index = self.index
        # A FAISS for CPUs, and one without cuVS, lack these names.
        if isinstance(index, getattr(faiss, "GpuIndexIVF", ())):
            return faiss.SearchParametersIVF(nprobe=effort)
        if isinstance(index, getattr(faiss, "GpuIndexCagra", ())):
            wide = -(-max(effort, count) // 32) * 32  # in whole warps
            return faiss.SearchParametersCagra(itopk_size=wide)
        return None


def resources_for(device: int) -> Any:
    """What FAISS needs to work on a GPU. Raises ConfigError where there is none."""
    faiss = library()
    if device >= gpu_count():
        raise ConfigError(
            f"FAISS sees no GPU {device}: install what has one, "
            "pip uninstall faiss-cpu && pip install 'mmsearch[gpu]', or say --device cpu"
        )
    return faiss.StandardGpuResources()


def cagra(matrix: Matrix, recipe: Recipe, rows: RowArray | None, device: int) -> Any:
    """A CAGRA graph over `rows` of the matrix, built on a GPU and given back for the CPU.

    The vectors go there as float16, all at once. Raises ConfigError where there is no GPU, or
    where FAISS was built without cuVS.
    """
    faiss = library()
    resources = resources_for(device)
    if not hasattr(faiss, "GpuIndexCagra"):
        raise ConfigError("CAGRA needs cuVS: pip install 'mmsearch[gpu]', or take another --index")
    config = faiss.GpuIndexCagraConfig()
    config.device = device
    config.graph_degree = GRAPH_LINKS
    config.intermediate_graph_degree = GRAPH_LINKS_BEFORE_PRUNING
    index = faiss.GpuIndexCagra(resources, matrix.dim, faiss.METRIC_L2, config)
    index.train(_halves(matrix, rows), numeric_type=faiss.Float16)
    return OnGpu(index, resources).back()


def _halves(matrix: Matrix, rows: RowArray | None) -> Any:
    """(n, dim) float16, contiguous."""
    if rows is None and len(matrix.blocks) == 1:
        return np.ascontiguousarray(matrix.blocks[0], dtype=np.float16)
    parts = (values.astype(np.float16) for _, values in matrix.batches())
    whole = np.concatenate([np.empty((0, matrix.dim), dtype=np.float16), *parts])
    return whole if rows is None else np.ascontiguousarray(whole[rows])
