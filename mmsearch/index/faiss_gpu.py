"""FAISS indexes on a GPU: copied there to be filled and searched, and back to be saved."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from mmsearch.errors import ConfigError
from mmsearch.index.base import NO_ROW, FloatArray, RowArray, RowMask
from mmsearch.index.faiss_library import load_faiss
from mmsearch.index.recipes import Recipe
from mmsearch.index.vector_matrix import Matrix

MAX_RESULTS = 2048
"""The longest list that FAISS selects on a GPU (faiss/gpu/utils/DeviceDefs.cuh)."""
GRAPH_LINKS = 64
GRAPH_LINKS_BEFORE_PRUNING = 128
FILTER_SPARE = 2.0
"""Results are filtered afterwards, so more are requested: this times the expected number."""


def count_gpus() -> int:
    """Returns the number of GPUs that FAISS can use: 0 if it was built for CPUs only."""
    return int(load_faiss().get_num_gpus())


class GpuIndex:
    """A FAISS index on a GPU, searched by one thread at a time because its memory requires it."""

    def __init__(self, index: Any, resources: Any) -> None:
        self.index = index
        self._resources = resources  # must outlive the index
        self._lock = threading.Lock()

    @classmethod
    def from_cpu(cls, index: Any, *, device: int) -> GpuIndex:
        """Copies a CPU index to GPU number `device`. Raises ConfigError if it cannot go there."""
        faiss = load_faiss()
        resources = create_resources(device)
        options = faiss.GpuClonerOptions()
        options.useFloat16 = True
        try:
            return cls(faiss.index_cpu_to_gpu(resources, device, index, options), resources)
        except RuntimeError as exc:
            raise ConfigError(
                f"the index does not fit on GPU {device}, or is of no kind that goes there: "
                f"search it on the CPU with --device cpu ({exc})"
            ) from exc

    def to_cpu(self) -> Any:
        """Returns a copy for the CPU; a CAGRA graph becomes the base of an HNSW."""
        return load_faiss().index_gpu_to_cpu(self.index)

    def find_candidates(
        self, queries: FloatArray, count: int, effort: int, allowed: RowMask | None
    ) -> RowArray:
        """Returns (q, count) int64: allowed rows, the nearest first, padded with NO_ROW.

        A GPU takes no selector: more rows are requested, and those not allowed are left out.
        """
        requested = float(count)
        if allowed is not None:
            requested *= FILTER_SPARE * len(allowed) / max(1, int(np.count_nonzero(allowed)))
        most = int(min(requested, self.index.ntotal, MAX_RESULTS))
        with self._lock:
            _, rows = self.index.search(queries, most, params=self._make_parameters(effort, most))
        if allowed is not None:
            rows = np.where((rows >= 0) & allowed[np.maximum(rows, 0)], rows, NO_ROW)
            allowed_first = np.argsort(rows == NO_ROW, axis=1, kind="stable")
            rows = np.take_along_axis(rows, allowed_first, axis=1)
        missing = max(0, count - rows.shape[1])
        padded: RowArray = np.pad(rows, ((0, 0), (0, missing)), constant_values=NO_ROW)
        return padded[:, :count]

    def _make_parameters(self, effort: int, count: int) -> Any:
        faiss = load_faiss()
        index = self.index
        # A FAISS for CPUs, and one without cuVS, lack these names.
        if isinstance(index, getattr(faiss, "GpuIndexIVF", ())):
            return faiss.SearchParametersIVF(nprobe=effort)
        if isinstance(index, getattr(faiss, "GpuIndexCagra", ())):
            wide = -(-max(effort, count) // 32) * 32  # in whole warps
            return faiss.SearchParametersCagra(itopk_size=wide)
        return None


def create_resources(device: int) -> Any:
    """Creates the resources of FAISS on a GPU. Raises ConfigError if there is none."""
    faiss = load_faiss()
    if device >= count_gpus():
        raise ConfigError(
            f"FAISS sees no GPU {device}: install what has one, "
            "pip uninstall faiss-cpu && pip install 'mmsearch[gpu]', or say --device cpu"
        )
    return faiss.StandardGpuResources()


def build_cagra(matrix: Matrix, recipe: Recipe, rows: RowArray | None, device: int) -> Any:
    """Builds a CAGRA graph over `rows` of the matrix on a GPU; returns it for the CPU.

    The vectors are copied as float16, all at once. Raises ConfigError if there is no GPU, or if
    FAISS was built without cuVS.
    """
    faiss = load_faiss()
    resources = create_resources(device)
    if not hasattr(faiss, "GpuIndexCagra"):
        raise ConfigError("CAGRA needs cuVS: pip install 'mmsearch[gpu]', or take another --index")
    config = faiss.GpuIndexCagraConfig()
    config.device = device
    config.graph_degree = GRAPH_LINKS
    config.intermediate_graph_degree = GRAPH_LINKS_BEFORE_PRUNING
    index = faiss.GpuIndexCagra(resources, matrix.dim, faiss.METRIC_L2, config)
    index.train(_to_float16(matrix, rows), numeric_type=faiss.Float16)
    return GpuIndex(index, resources).to_cpu()


def _to_float16(matrix: Matrix, rows: RowArray | None) -> Any:
    """Returns `rows` of the matrix (None: all) as (n, dim) float16, contiguous."""
    if rows is None and len(matrix.blocks) == 1:
        return np.ascontiguousarray(matrix.blocks[0], dtype=np.float16)
    parts = (values.astype(np.float16) for _, values in matrix.iter_batches())
    vectors = np.concatenate([np.empty((0, matrix.dim), dtype=np.float16), *parts])
    return vectors if rows is None else np.ascontiguousarray(vectors[rows])
