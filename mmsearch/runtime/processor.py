"""The processor of this machine: its name, and a test for saturating int8 products."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path

import numpy as np

CPUINFO = Path("/proc/cpuinfo")
DECISIVE = frozenset(
    {"sse4_1", "avx2", "avx_vnni", "avx512bw", "avx512_vnni", "amx_int8", "asimddp", "i8mm", "sve"}
)
"""Instruction sets by which ONNX Runtime chooses its kernels for int8 and float32, as Linux names
them; virtual machines often hide the model."""


@lru_cache(maxsize=1)
def read_processor_name() -> str:
    """Returns the architecture, the model, and the instruction sets that decide int8 speed."""
    facts: dict[str, str] = {}
    try:
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    except OSError:
        pass  # not Linux
    model = facts.get("model name") or platform.processor()
    flags = facts.get("flags", facts.get("Features", "")).split()
    return " ".join([platform.machine(), model, *sorted(DECISIVE.intersection(flags))])


@lru_cache(maxsize=1)
def saturates_int8() -> bool:
    """Tests if a product of uint8 and int8 whose sums of two exceed int16 is wrong.

    True on x86 with AVX2 or AVX-512 and without VNNI, where ONNX Runtime adds pairs with
    `vpmaddubsw`.
    """
    import onnxruntime
    from onnx import helper, numpy_helper

    depth = 64
    weights = np.full((depth, 16), 127, dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", 2, [4, depth])],
        [helper.make_tensor_value_info("y", 6, [4, 16])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (sums,) = session.run(None, {"x": np.full((4, depth), 255, dtype=np.uint8)})
    return bool((sums != 255 * 127 * depth).any())
