"""Networks on the CPU, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.errors import ModelError

if TYPE_CHECKING:
    from mmsearch.runtime.network import Tensor

EXAMPLE_TOKENS = 32
"""The length of an example text: that of a caption."""
TYPES = MappingProxyType(
    {
        "tensor(float)": np.float32,
        "tensor(uint8)": np.uint8,
        "tensor(int32)": np.int32,
        "tensor(int64)": np.int64,
        "tensor(bool)": np.bool_,
    }
)
UNLIMITED_BATCH = 1 << 30
"""All rows are computed at once."""


class OnnxModel:
    """One network on the CPU; fulfils `mmsearch.runtime.network.Network`."""

    def __init__(self, session: Any, *, batch: int = UNLIMITED_BATCH) -> None:
        self._session = session
        self.batch = batch

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        threads: int | None = None,
        batch: int = UNLIMITED_BATCH,
        arena: bool = False,
    ) -> OnnxModel:
        """Loads a network; raises ModelError if the file is none that can run here.

        `batch` is the rows to compute at once. A network that is opened for batches is also
        optimized for this processor: MobileCLIP2-S2, with its convolutions, then computes 1.8 times
        the pictures. The arena keeps the memory of the largest batch, which saves allocating it
        again; without it a query takes 40 MB less.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cpu_count()
        options.inter_op_num_threads = 1
        levels = onnxruntime.GraphOptimizationLevel
        # Not all without need: the last level, for one processor, doubles the tagger's load time.
        options.graph_optimization_level = (
            levels.ORT_ENABLE_EXTENDED if batch == UNLIMITED_BATCH else levels.ORT_ENABLE_ALL
        )
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = arena
        # Spinning threads burn a core that decoding needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # the runtime raises classes of its own, made at run time
            raise ModelError(f"{path} is no network that ONNX Runtime can load: {exc}") from exc
        return cls(session, batch=batch)

    def make_example(self, rows: int) -> dict[str, Tensor]:
        """Returns inputs of ones for so many rows, to time the network; free axes are 32 long."""
        inputs: dict[str, Tensor] = {}
        for value in self._session.get_inputs():
            shape = [size if isinstance(size, int) else EXAMPLE_TOKENS for size in value.shape]
            inputs[value.name] = np.ones([rows, *shape[1:]], dtype=TYPES[value.type])
        return inputs

    def run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        """Returns the outputs for any number of rows, in the network's order."""
        rows = len(next(iter(inputs.values())))
        if rows == 0:  # the outputs for a row of zeros have the shape
            row = {name: np.zeros((1, *t.shape[1:]), t.dtype) for name, t in inputs.items()}
            return [output[:0] for output in self._run_batch(row)]
        if rows <= self.batch:
            return self._run_batch(inputs)
        parts = [
            self._run_batch({name: t[start : start + self.batch] for name, t in inputs.items()})
            for start in range(0, rows, self.batch)
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _run_batch(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        outputs: list[Any] = self._session.run(None, dict(inputs))
        return outputs
