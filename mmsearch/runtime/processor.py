"""The processor that this process runs on: its name, and how it multiplies int8."""

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
def processor_name() -> str:
    """The architecture, the model, and the instruction sets on which speed in int8 depends."""
    described: dict[str, str] = {}
    try:
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            described.setdefault(key.strip(), value.strip())
    except OSError:
        pass  # not Linux
    model = described.get("model name") or platform.processor()
    flags = described.get("flags", described.get("Features", "")).split()
    return " ".join([platform.machine(), model, *sorted(DECISIVE.intersection(flags))])


@lru_cache(maxsize=1)
def saturates_int8() -> bool:
    """Try a product of uint8 and int8 whose sums of two leave int16.

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
