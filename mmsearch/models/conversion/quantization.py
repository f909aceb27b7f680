"""Quantizes the products and lookups of a float32 network to int8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto, TensorProto

    from mmsearch.types import FloatArray

    _Quantize = Callable[[FloatArray], tuple[NDArray[Any], FloatArray]]

Kernel = Literal["rows", "blocks"]

BLOCK = 32
LARGEST = 127
ZERO = 128
"""The zero of uint8 activations: on x86 products of uint8 and int8 are the fast ones."""
SMALLEST_WEIGHT = 16_384
"""A product with fewer weights costs less than quantizing its activations."""
SMALLEST_TABLE = 4_000_000
"""Smaller lookup tables, such as those of positions, are not quantized."""
OUTSIDE_BYTES = 1024
RECIPE = "rows-paired"
"""Marks in a card that the int8 networks give the same products on every processor."""
LARGEST_PAIR = 127.5
"""Steps that two neighbouring weights of like sign may sum up to: rounding makes at most 128 of it,
and 255 * 128 = 32640 fits int16."""
CONTRIB = "com.microsoft"


def quantize_network(source: Path, target: Path, *, kernel: Kernel = "rows") -> int:
    """Writes the network `source` with int8 weights to `target`.

    Returns the number of rewritten products and lookups; writes nothing if it is 0.

    With the kernel `rows`, `MatMul` and `Gemm` with constant weights become `MatMulIntegerToFloat`:
    weights with one scale a column, activations with one a row, computed at run time. The dynamic
    quantization of ONNX Runtime has one scale for the whole batch, so that a picture's vector
    depends on the others (cosine 0.9998 on random weights; with outliers far less), and is 1.2
    times as fast. With `blocks` they become `MatMulNBits`, with a scale for each 32 numbers of
    both: the error is a third, and the weights are as small, but it is hardly faster than float32.
    Tables of more than 4 million numbers have one scale a row and are widened after the lookup.

    Large tensors go to `<target>.data`, which ONNX Runtime maps into memory: of a table only the
    rows that are looked up are ever read.
    """
    model = onnx.load(str(source))
    quantizer = _GraphQuantizer(model.graph, kernel)
    quantizer.apply()
    if not quantizer.count:
        return 0
    if all(entry.domain != CONTRIB for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)  # onnx appends to what is there
    onnx.save(
        model,
        str(target),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data.name,
        size_threshold=OUTSIDE_BYTES,
    )
    data.chmod(target.stat().st_mode & 0o777)  # onnx keeps it to its owner
    return quantizer.count


def quantize_columns(weights: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Quantizes (depth, width) float32 to int8, and (width,) scales: int8 * scale ~ float32.

    No two neighbours of a column, (0, 1), (2, 3) and so on, sum up to more than 128 in magnitude:
    `vpmaddubsw` adds their products with uint8 activations in int16 (Intel's manual, volume 2B).
    """
    pairs = np.pad(weights, ((0, len(weights) % 2), (0, 0))).reshape(-1, 2, weights.shape[1])
    sums = [np.maximum(sign * pairs, 0).sum(axis=1).max(axis=0) for sign in (1, -1)]
    single = np.abs(weights).max(axis=0) / LARGEST
    scales = np.maximum(single, np.maximum(*sums) / LARGEST_PAIR)
    return _round(weights, scales, axis=0)


def quantize_rows(table: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Quantizes (rows, width) float32 to int8, and (rows, 1) scales: int8 * scale ~ float32."""
    values, scales = _quantize(table, axis=1)
    return values, scales.reshape(-1, 1)


def quantize_blocks(weights: FloatArray) -> tuple[NDArray[np.uint8], FloatArray]:
    """Quantizes (depth, width) to (width, depth / 32, 32) uint8 around 128, a scale a block."""
    depth, width = weights.shape
    blocks = np.ascontiguousarray(weights.T).reshape(width, depth // BLOCK, BLOCK)
    values, scales = _quantize(blocks, axis=2)
    return (values.astype(np.int16) + ZERO).astype(np.uint8), scales.reshape(-1)


def _quantize(values: FloatArray, *, axis: int) -> tuple[NDArray[np.int8], FloatArray]:
    return _round(values, np.abs(values).max(axis=axis) / LARGEST, axis=axis)


def _round(
    values: FloatArray, steps: FloatArray, *, axis: int
) -> tuple[NDArray[np.int8], FloatArray]:
    scales = np.where(steps == 0, 1.0, steps).astype(np.float32)
    spread = np.expand_dims(scales, axis)
    return np.clip(np.rint(values / spread), -LARGEST, LARGEST).astype(np.int8), scales


@dataclass(slots=True)
class _GraphQuantizer:
    """Rewrites the products and lookups of a graph."""

    graph: GraphProto
    kernel: Kernel
    count: int = 0
    _tensors: dict[str, TensorProto] = field(default_factory=dict)
    _new: list[TensorProto] = field(default_factory=list)
    _activations: dict[str, tuple[str, str]] = field(default_factory=dict)
    _stored: dict[str, tuple[str, str]] = field(default_factory=dict)
    _bytes: dict[str, str] = field(default_factory=dict)

    def apply(self) -> None:
        self._tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        self._bytes = _find_widened_bytes(self.graph)
        nodes = [new for node in self.graph.node for new in self._rewrite(node)]
        self._constants()
        nodes = _drop_unused(nodes, {value.name for value in self.graph.output})
        used = {name for node in nodes for name in node.input}
        used |= {value.name for value in self.graph.output}
        kept = [t for t in (*self.graph.initializer, *self._new) if t.name in used]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        del self.graph.value_info[:]

    def _rewrite(self, node: NodeProto) -> Iterator[NodeProto]:
        if node.op_type == "MatMul" and self._is_weight(node.input[1]):
            yield from self._product(node, self._array(node.input[1]), node.output[0])
        elif node.op_type == "Gemm" and self._is_weight(node.input[1]) and _is_plain(node):
            weights = self._array(node.input[1])
            transposed = weights.T if _get_attribute(node, "transB", 0) else weights
            yield from self._gemm(node, np.ascontiguousarray(transposed))
        elif node.op_type == "Gather" and self._is_table(node):
            yield from self._lookup(node)
        else:
            yield node

    def _is_weight(self, name: str) -> bool:
        tensor = self._tensors.get(name)
        return (
            tensor is not None
            and tensor.data_type == 1
            and len(tensor.dims) == 2
            and int(np.prod(tensor.dims)) >= SMALLEST_WEIGHT
        )

    def _is_table(self, node: NodeProto) -> bool:
        name = node.input[0]
        return (
            self._is_weight(name)
            and int(np.prod(self._tensors[name].dims)) >= SMALLEST_TABLE
            and _get_attribute(node, "axis", 0) == 0
        )

    def _array(self, name: str) -> Any:
        return numpy_helper.to_array(self._tensors[name])

    def _store(self, name: str, values: Any) -> str:
        self._new.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _store_once(
        self, name: str, quantize: _Quantize, values: FloatArray, suffix: str
    ) -> tuple[str, str]:
        """Stores quantized values and their scales; returns the names of both."""
        if name not in self._stored:
            quantized, scales = quantize(values)
            self._stored[name] = (
                self._store(f"{name}_{suffix}", quantized),
                self._store(f"{name}_{suffix}_scale", scales),
            )
        return self._stored[name]

    def _constants(self) -> None:
        self._store("int8_one", np.float32(1.0))
        self._store("int8_zero", np.uint8(ZERO))
        self._store("int8_weight_zero", np.int8(0))
        self._store("int8_last_axis", np.array([-1], dtype=np.int64))
        self._store("int8_per_step", np.float32(1 / LARGEST))
        self._store("int8_least", np.float32(1e-12))

    def _rows(self, name: str) -> Iterator[NodeProto]:
        """Quantizes activations: (..., depth) float32 to uint8, and their scales (..., 1)."""
        if name in self._activations:  # several products take the same
            return
        prefix = f"{name}_rows"
        self._activations[name] = (f"{prefix}_int8", f"{prefix}_scale")
        yield helper.make_node(
            "ReduceMax", [name, "int8_last_axis"], [f"{prefix}_high"], keepdims=1
        )
        yield helper.make_node("ReduceMin", [name, "int8_last_axis"], [f"{prefix}_low"], keepdims=1)
        yield helper.make_node("Neg", [f"{prefix}_low"], [f"{prefix}_deep"])
        yield helper.make_node(
            "Max", [f"{prefix}_high", f"{prefix}_deep", "int8_least"], [f"{prefix}_largest"]
        )
        yield helper.make_node("Mul", [f"{prefix}_largest", "int8_per_step"], [f"{prefix}_scale"])
        yield helper.make_node("Div", [name, f"{prefix}_scale"], [f"{prefix}_steps"])
        yield helper.make_node(
            "QuantizeLinear", [f"{prefix}_steps", "int8_one", "int8_zero"], [f"{prefix}_int8"]
        )

    def _product(self, node: NodeProto, weights: FloatArray, result: str) -> Iterator[NodeProto]:
        self.count += 1
        name = node.input[1]
        transposed = f"{name}_t" if node.op_type == "Gemm" else name
        if self.kernel == "blocks" and weights.shape[0] % BLOCK == 0:
            yield self._blocks(node.input[0], transposed, weights, result)
            return
        weight, weight_scale = self._store_once(transposed, quantize_columns, weights, "int8")
        source = node.input[0]
        if source in self._bytes:  # pixels: already what the kernel takes
            inputs = [self._bytes[source], weight, "int8_one", weight_scale]
            yield helper.make_node("MatMulIntegerToFloat", inputs, [result], domain=CONTRIB)
            return
        yield from self._rows(source)
        rows, row_scale = self._activations[source]
        inputs = [rows, weight, "int8_one", weight_scale, "int8_zero", "int8_weight_zero"]
        yield helper.make_node("MatMulIntegerToFloat", inputs, [f"{result}_steps"], domain=CONTRIB)
        yield helper.make_node("Mul", [f"{result}_steps", row_scale], [result])

    def _blocks(self, source: str, name: str, weights: FloatArray, result: str) -> NodeProto:
        return helper.make_node(
            "MatMulNBits",
            [source, *self._store_once(name, quantize_blocks, weights, "blocks")],
            [result],
            domain=CONTRIB,
            K=weights.shape[0],
            N=weights.shape[1],
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # int8 activations, a scale for each block
        )

    def _gemm(self, node: NodeProto, weights: FloatArray) -> Iterator[NodeProto]:
        result = node.output[0]
        if len(node.input) < 3 or not node.input[2]:
            yield from self._product(node, weights, result)
            return
        yield from self._product(node, weights, f"{result}_product")
        yield helper.make_node("Add", [f"{result}_product", node.input[2]], [result])

    def _lookup(self, node: NodeProto) -> Iterator[NodeProto]:
        self.count += 1
        name, indices = node.input
        result = node.output[0]
        table, scales_name = self._store_once(name, quantize_rows, self._array(name), "rows_int8")
        yield helper.make_node("Gather", [table, indices], [f"{result}_int8"])
        yield helper.make_node("Cast", [f"{result}_int8"], [f"{result}_steps"], to=1)
        yield helper.make_node("Gather", [scales_name, indices], [f"{result}_scale"])
        yield helper.make_node("Mul", [f"{result}_steps", f"{result}_scale"], [result])


def _drop_unused(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    used = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    return kept[::-1]


def _find_widened_bytes(graph: GraphProto) -> dict[str, str]:
    """Maps the names of float32 casts of uint8 inputs to the names of the uint8 values."""
    uint8 = onnx.TensorProto.UINT8
    bytes_ = {value.name for value in graph.input if value.type.tensor_type.elem_type == uint8}
    widened: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in ("Reshape", "Transpose") and node.input[0] in bytes_:
            bytes_.add(node.output[0])
        elif (
            node.op_type == "Cast"
            and node.input[0] in bytes_
            and _get_attribute(node, "to", 0) == 1
        ):
            widened[node.output[0]] = node.input[0]
    return widened


def _get_attribute(node: NodeProto, name: str, default: float) -> Any:
    values = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return values[0] if values else default


def _is_plain(node: NodeProto) -> bool:
    """Tests if a Gemm is x @ w (+ b), with w as it is or transposed."""
    scaled = _get_attribute(node, "alpha", 1.0) != 1.0 or _get_attribute(node, "beta", 1.0) != 1.0
    return not scaled and not _get_attribute(node, "transA", 0)
