"""ONNX Runtime sessions, set up alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.config import cpu_count
from mmsearch.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tensor = NDArray[np.generic]


class OnnxModel:
    """One network on the CPU."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def open(cls, path: Path, *, threads: int | None = None) -> OnnxModel:
        """Load a network; raises ModelError when the file is no network that can run here."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cpu_count()
        options.inter_op_num_threads = 1
        # Extended, not all: the last level rewrites for one processor and doubles the load time.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.log_severity_level = 3
        # The arena keeps the largest batch for ever; without it a query takes 40 MB less.
        options.enable_cpu_mem_arena = False
        # Spinning threads burn a core that decoding needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # the runtime raises classes of its own, made at run time
            raise ModelError(f"{path} is no network that ONNX Runtime can load: {exc}") from exc
        return cls(session)

    def run(self, inputs: dict[str, Tensor]) -> list[Any]:
        """The outputs for one batch, in the network's order."""
        outputs: list[Any] = self._session.run(None, inputs)
        return outputs
