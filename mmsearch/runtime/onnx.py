"""ONNX Runtime sessions, set up alike everywhere."""

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

LENGTH = 32
"""Of a made text: that of a caption."""
TYPES = MappingProxyType(
    {
        "tensor(float)": np.float32,
        "tensor(uint8)": np.uint8,
        "tensor(int32)": np.int32,
        "tensor(int64)": np.int64,
        "tensor(bool)": np.bool_,
    }
)
ALL = 1 << 30
"""A batch that is never reached: all rows are computed at once."""


class OnnxModel:
    """One network on the CPU; fulfils `mmsearch.runtime.network.Network`."""

    def __init__(self, session: Any, *, batch: int = ALL) -> None:
        self._session = session
        self.batch = batch

    @classmethod
    def open(
        cls, path: Path, *, threads: int | None = None, batch: int = ALL, arena: bool = False
    ) -> OnnxModel:
        """Load a network; raises ModelError when the file is no network that can run here.

        `batch` is how many rows are computed at once. A network that is opened for batches is
        rewritten for this processor, too: MobileCLIP2-S2, with its convolutions, then computes 1.8
        times the pictures. The arena keeps the memory of the largest batch for ever: it saves
        asking for it again, and without it a query takes 40 MB less.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cpu_count()
        options.inter_op_num_threads = 1
        levels = onnxruntime.GraphOptimizationLevel
        # Not all without need: the last level, for one processor, doubles the tagger's load time.
        options.graph_optimization_level = (
            levels.ORT_ENABLE_EXTENDED if batch == ALL else levels.ORT_ENABLE_ALL
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

    def example(self, rows: int) -> dict[str, Tensor]:
        """Inputs of ones for so many rows, to time the network; what has any length gets 32."""
        return {
            value.name: np.ones(
                [rows, *(size if isinstance(size, int) else LENGTH for size in value.shape[1:])],
                dtype=TYPES[value.type],
            )
            for value in self._session.get_inputs()
        }

    def run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        """The outputs for any number of rows, in the network's order."""
        rows = len(next(iter(inputs.values())))
        if rows == 0:  # the outputs of a row that is made up tell how wide those of none are
            row = {name: np.zeros((1, *one.shape[1:]), one.dtype) for name, one in inputs.items()}
            return [output[:0] for output in self._once(row)]
        if rows <= self.batch:
            return self._once(inputs)
        parts = [
            self._once({name: one[start : start + self.batch] for name, one in inputs.items()})
            for start in range(0, rows, self.batch)
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _once(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        outputs: list[Any] = self._session.run(None, dict(inputs))
        return outputs
