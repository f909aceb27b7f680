"""Rewrites a float32 network into one whose products are computed with int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

    from mmsearch.types import FloatArray

Kernel = Literal["rows", "blocks"]

BLOCK = 32
LARGEST = 127
ZERO = 128
"""Activations are uint8 around this: on x86 a uint8 times int8 product is the fast one."""
SMALLEST_WEIGHT = 16_384
"""A product with fewer weights costs less than quantising what it is multiplied with."""
SMALLEST_TABLE = 4_000_000
"""Tables from this many numbers on are kept as int8; a table of positions stays as it is."""
OUTSIDE_BYTES = 1024
RECIPE = "rows-paired"
"""Marks in a card that the int8 networks give the same products on every processor."""
LARGEST_PAIR = 127.5
"""Steps that two neighbouring weights of like sign may sum up to: rounding makes at most 128 of it,
and 255 * 128 = 32640 fits int16."""
CONTRIB = "com.microsoft"


def to_int8(source: Path, target: Path, *, kernel: Kernel = "rows") -> int:
    """Write `target`: the network `source` with int8 weights, whose outputs are nearly the same.

    Returns how many products and lookups were rewritten; where there are none, nothing is written.

    With the kernel `rows`, `MatMul` and `Gemm` with constant weights become `MatMulIntegerToFloat`:
    weights with one scale a column, activations with one a row, found when it runs. ONNX Runtime's
    own dynamic quantisation takes one scale for the whole batch, so that a picture's vector depends
    on what it came with (cosine 0.9998 on random weights; where weights have outliers, far less),
    and is 1.2 times as fast. With `blocks` they become `MatMulNBits`, with a scale for each 32
    numbers of both: the error is a third, and the weights are as small, but it is hardly faster
    than float32. What is looked up in a table of more than 4 million numbers is kept as int8 with
    one scale a row, and widened after the lookup.

    Large tensors go to `<target>.data`, which ONNX Runtime maps into memory instead of reading it:
    of a table only the rows that are looked up are ever read.
    """
    import onnx

    model = onnx.load(str(source))
    rewriting = _Rewriting(model.graph, kernel)
    rewriting.apply()
    if not rewriting.count:
        return 0
    _import_contrib(model)
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
    return rewriting.count


def columns_int8(weights: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """(depth, width) float32 as int8 of that shape, and (width,) scales: int8 * scale ~ float32.

    No two neighbours of a column, (0, 1), (2, 3) and so on, sum up to more than 128 in magnitude:
    `vpmaddubsw` adds their products with uint8 activations in int16 (Intel's manual, volume 2B).
    """
    pairs = np.pad(weights, ((0, len(weights) % 2), (0, 0))).reshape(-1, 2, weights.shape[1])
    sums = [np.maximum(sign * pairs, 0).sum(axis=1).max(axis=0) for sign in (1, -1)]
    single = np.abs(weights).max(axis=0) / LARGEST
    scales = np.maximum(single, np.maximum(*sums) / LARGEST_PAIR)
    return _rounded(weights, scales, axis=0)


def rows_int8(table: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """(rows, width) float32 as int8 of that shape, and (rows, 1) scales: int8 * scale ~ float32."""
    values, scales = _scaled(table, axis=1)
    return values, scales.reshape(-1, 1)


def blocks_int8(weights: FloatArray) -> tuple[NDArray[np.uint8], FloatArray]:
    """(depth, width) float32 as (width, depth / 32, 32) uint8 around 128, and a scale a block."""
    depth, width = weights.shape
    blocks = np.ascontiguousarray(weights.T).reshape(width, depth // BLOCK, BLOCK)
    values, scales = _scaled(blocks, axis=2)
    return (values.astype(np.int16) + ZERO).astype(np.uint8), scales.reshape(-1)


def _scaled(values: FloatArray, *, axis: int) -> tuple[NDArray[np.int8], FloatArray]:
    return _rounded(values, np.abs(values).max(axis=axis) / LARGEST, axis=axis)


def _rounded(
    values: FloatArray, steps: FloatArray, *, axis: int
) -> tuple[NDArray[np.int8], FloatArray]:
    scales = np.where(steps == 0, 1.0, steps).astype(np.float32)
    spread = np.expand_dims(scales, axis)
    return np.clip(np.rint(values / spread), -LARGEST, LARGEST).astype(np.int8), scales


@dataclass(slots=True)
class _Rewriting:
    """One pass over a graph."""

    graph: GraphProto
    kernel: Kernel
    count: int = 0
    _tensors: dict[str, TensorProto] = field(default_factory=dict)
    _new: list[TensorProto] = field(default_factory=list)
    _quantised: dict[str, tuple[str, str]] = field(default_factory=dict)
    _stored: dict[str, tuple[str, str]] = field(default_factory=dict)
    _bytes: dict[str, str] = field(default_factory=dict)

    def apply(self) -> None:
        self._tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        self._bytes = _widened_bytes(self.graph)
        nodes = [new for node in self.graph.node for new in self._rewritten(node)]
        self._constants()
        nodes = _without_unused(nodes, {value.name for value in self.graph.output})
        used = {name for node in nodes for name in node.input}
        used |= {value.name for value in self.graph.output}
        kept = [t for t in (*self.graph.initializer, *self._new) if t.name in used]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        del self.graph.value_info[:]

    def _rewritten(self, node: NodeProto) -> Iterator[NodeProto]:
        if node.op_type == "MatMul" and self._is_weight(node.input[1]):
            yield from self._product(node, self._array(node.input[1]), node.output[0])
        elif node.op_type == "Gemm" and self._is_weight(node.input[1]) and _is_plain(node):
            weights = self._array(node.input[1])
            turned = weights.T if _attribute(node, "transB", 0) else weights
            yield from self._gemm(node, np.ascontiguousarray(turned))
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
            and _attribute(node, "axis", 0) == 0
        )

    def _array(self, name: str) -> Any:
        from onnx import numpy_helper

        return numpy_helper.to_array(self._tensors[name])

    def _store(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self._new.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _constants(self) -> None:
        self._store("int8_one", np.float32(1.0))
        self._store("int8_zero", np.uint8(ZERO))
        self._store("int8_weight_zero", np.int8(0))
        self._store("int8_last_axis", np.array([-1], dtype=np.int64))
        self._store("int8_per_step", np.float32(1 / LARGEST))
        self._store("int8_least", np.float32(1e-12))

    def _rows(self, name: str) -> Iterator[NodeProto]:
        """Quantise activations: (..., depth) float32 to uint8, and their scales (..., 1)."""
        from onnx import helper

        if name in self._quantised:  # several products take the same
            return
        made = f"{name}_rows"
        self._quantised[name] = (f"{made}_int8", f"{made}_scale")
        yield helper.make_node("ReduceMax", [name, "int8_last_axis"], [f"{made}_high"], keepdims=1)
        yield helper.make_node("ReduceMin", [name, "int8_last_axis"], [f"{made}_low"], keepdims=1)
        yield helper.make_node("Neg", [f"{made}_low"], [f"{made}_deep"])
        yield helper.make_node(
            "Max", [f"{made}_high", f"{made}_deep", "int8_least"], [f"{made}_largest"]
        )
        yield helper.make_node("Mul", [f"{made}_largest", "int8_per_step"], [f"{made}_scale"])
        yield helper.make_node("Div", [name, f"{made}_scale"], [f"{made}_steps"])
        yield helper.make_node(
            "QuantizeLinear", [f"{made}_steps", "int8_one", "int8_zero"], [f"{made}_int8"]
        )

    def _product(self, node: NodeProto, weights: FloatArray, result: str) -> Iterator[NodeProto]:
        from onnx import helper

        self.count += 1
        name = node.input[1]
        turned = f"{name}_t" if node.op_type == "Gemm" else name
        if self.kernel == "blocks" and weights.shape[0] % BLOCK == 0:
            yield self._blocks(node.input[0], turned, weights, result)
            return
        if turned not in self._stored:
            values, scales = columns_int8(weights)
            self._stored[turned] = (
                self._store(f"{turned}_int8", values),
                self._store(f"{turned}_scale", scales),
            )
        weight, weight_scale = self._stored[turned]
        source = node.input[0]
        if source in self._bytes:  # pixels: already what the kernel takes
            inputs = [self._bytes[source], weight, "int8_one", weight_scale]
            yield helper.make_node("MatMulIntegerToFloat", inputs, [result], domain=CONTRIB)
            return
        yield from self._rows(source)
        rows, row_scale = self._quantised[source]
        inputs = [rows, weight, "int8_one", weight_scale, "int8_zero", "int8_weight_zero"]
        yield helper.make_node("MatMulIntegerToFloat", inputs, [f"{result}_steps"], domain=CONTRIB)
        yield helper.make_node("Mul", [f"{result}_steps", row_scale], [result])

    def _blocks(self, source: str, name: str, weights: FloatArray, result: str) -> NodeProto:
        from onnx import helper

        if name not in self._stored:
            packed, scales = blocks_int8(weights)
            self._stored[name] = (
                self._store(f"{name}_blocks", packed),
                self._store(f"{name}_blocks_scale", scales),
            )
        return helper.make_node(
            "MatMulNBits",
            [source, *self._stored[name]],
            [result],
            domain=CONTRIB,
            K=weights.shape[0],
            N=weights.shape[1],
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # int8 activations, a scale for each block
        )

    def _gemm(self, node: NodeProto, weights: FloatArray) -> Iterator[NodeProto]:
        from onnx import helper

        result = node.output[0]
        if len(node.input) < 3 or not node.input[2]:
            yield from self._product(node, weights, result)
            return
        yield from self._product(node, weights, f"{result}_product")
        yield helper.make_node("Add", [f"{result}_product", node.input[2]], [result])

    def _lookup(self, node: NodeProto) -> Iterator[NodeProto]:
        from onnx import helper

        self.count += 1
        name, indices = node.input
        result = node.output[0]
        if name not in self._stored:
            values, scales = rows_int8(self._array(name))
            self._stored[name] = (
                self._store(f"{name}_rows_int8", values),
                self._store(f"{name}_rows_scale", scales),
            )
        table, scales_name = self._stored[name]
        yield helper.make_node("Gather", [table, indices], [f"{result}_int8"])
        yield helper.make_node("Cast", [f"{result}_int8"], [f"{result}_steps"], to=1)
        yield helper.make_node("Gather", [scales_name, indices], [f"{result}_scale"])
        yield helper.make_node("Mul", [f"{result}_steps", f"{result}_scale"], [result])


def _without_unused(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    used = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    return kept[::-1]


def _widened_bytes(graph: GraphProto) -> dict[str, str]:
    """What is only uint8 input made float32: by its name, the name of the uint8 values."""
    bytes_ = {
        value.name
        for value in graph.input
        if value.type.tensor_type.elem_type == 2  # UINT8
    }
    widened: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in ("Reshape", "Transpose") and node.input[0] in bytes_:
            bytes_.add(node.output[0])
        elif node.op_type == "Cast" and node.input[0] in bytes_ and _attribute(node, "to", 0) == 1:
            widened[node.output[0]] = node.input[0]
    return widened


def _attribute(node: NodeProto, name: str, default: float) -> Any:
    from onnx import helper

    found = [a for a in node.attribute if a.name == name]
    return helper.get_attribute_value(found[0]) if found else default


def _is_plain(node: NodeProto) -> bool:
    """Whether a Gemm is x @ w (+ b), with w as it is or turned."""
    scaled = _attribute(node, "alpha", 1.0) != 1.0 or _attribute(node, "beta", 1.0) != 1.0
    return not scaled and not _attribute(node, "transA", 0)


def _import_contrib(model: ModelProto) -> None:
    from onnx import helper

    if all(entry.domain != CONTRIB for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
