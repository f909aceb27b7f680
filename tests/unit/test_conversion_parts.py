"""What a conversion is made of, on networks and figures small enough to see through."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from mmsearch.errors import ConfigError, MissingExtra, ModelError
from mmsearch.models.conversion import process, quantization, sample_images, tuning
from mmsearch.models.conversion.parity import compare_vectors, compute_cosines
from mmsearch.runtime.onnx import OnnxModel

TAGGER = Path(str(resources.files("mmsearch") / "models/data/mini/tagger.onnx"))
RANDOM = np.random.default_rng(0)
DEPTH, WIDTH, ROWS = 160, 128, 40_000


def constant(name: str, values: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


def save(
    path: Path, nodes: list[onnx.NodeProto], weights: dict[str, object], inputs: dict[str, int]
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("y", 1, None)],
        [constant(name, values) for name, values in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )
    return path


def run_one(path: Path, **inputs: np.ndarray) -> np.ndarray:
    return OnnxModel.open(path, threads=1).run(inputs)[0]


# Quantising


@pytest.mark.parametrize("kernel", ["rows", "blocks"])
@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "turned Gemm"])
def test_a_product_in_int8_is_near_that_in_float(
    tmp_path: Path, kind: str, kernel: quantization.Kernel
) -> None:
    weights = RANDOM.normal(size=(DEPTH, WIDTH))
    bias = RANDOM.normal(size=WIDTH)
    x = RANDOM.normal(size=(5, DEPTH)).astype(np.float32)
    if kind == "MatMul":
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("Add", ["p", "b"], ["y"]),
        ]
    else:
        turned = kind == "turned Gemm"
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=int(turned))]
        weights = weights.T if turned else weights
    source = save(tmp_path / "a.onnx", nodes, {"w": weights, "b": bias}, {"x": 1})

    assert quantization.quantize_network(source, tmp_path / "b.onnx", kernel=kernel) == 1
    exact, small = run_one(source, x=x), run_one(tmp_path / "b.onnx", x=x)

    assert compute_cosines(exact, small).min() > 0.9998
    assert exact.shape == small.shape


def quantised_product(folder: Path, weights: np.ndarray) -> Path:
    """A network that multiplies uint8 `x` with (depth, width) weights, in int8."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    source = save(folder / "a.onnx", nodes, {"w": weights}, {"x": 2})
    assert quantization.quantize_network(source, folder / "b.onnx") == 1
    return folder / "b.onnx"


def largest_pair_sum(weights: np.ndarray) -> int:
    """The largest magnitude of what `vpmaddubsw` adds up of (depth, width) int8 and any uint8.

    It adds two neighbouring products in int16. Products with 255 are the largest; where the two
    weights differ in sign, the other activation is 0.
    """
    pairs = np.pad(weights.astype(np.int64), ((0, len(weights) % 2), (0, 0)))
    pairs = pairs.reshape(-1, 2, weights.shape[1])
    return max(int((255 * np.maximum(sign * pairs, 0)).sum(axis=1).max()) for sign in (1, -1))


def products_of_int8(path: Path) -> Iterator[np.ndarray]:
    """The weights of a network whose products with uint8 activations are in int8."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("MatMulInteger", "MatMulIntegerToFloat"):
            yield numpy_helper.to_array(tensors[node.input[1]])
        elif node.op_type == "QLinearConv":
            weights = numpy_helper.to_array(tensors[node.input[3]])
            if weights.shape[1] > 1:  # depthwise kernels multiply in wider integers
                by_channel = np.moveaxis(weights, 1, -1)  # kernels read input channels last ...
                yield by_channel.reshape(len(weights), -1).T
                yield weights.reshape(len(weights), -1).T  # ... or first


@pytest.mark.parametrize("spread", ["normal", "outliers", "equal", "signs", "tiny"])
@pytest.mark.parametrize("depth", [DEPTH, DEPTH - 1])
def test_no_pair_of_products_saturates_int16(tmp_path: Path, depth: int, spread: str) -> None:
    weights = {
        "normal": RANDOM.normal(size=(depth, WIDTH)),
        "outliers": RANDOM.standard_cauchy(size=(depth, WIDTH)),
        "equal": np.full((depth, WIDTH), -0.3),
        "signs": RANDOM.choice([-1.0, 1.0], size=(depth, WIDTH)),
        "tiny": RANDOM.normal(size=(depth, WIDTH)) * 1e-30,
    }[spread]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    source = save(tmp_path / "a.onnx", nodes, {"w": weights}, {"x": 1})
    quantization.quantize_network(source, tmp_path / "b.onnx")

    (small,) = products_of_int8(tmp_path / "b.onnx")
    assert small.dtype == np.int8
    assert largest_pair_sum(small) <= np.iinfo(np.int16).max


def test_no_pair_of_products_of_the_packaged_tagger_saturates_int16() -> None:
    weights = list(products_of_int8(TAGGER))

    assert len(weights) > 60
    assert max(map(largest_pair_sum, weights)) <= np.iinfo(np.int16).max


@pytest.mark.parametrize("rows", [1, 5])
def test_products_in_int8_are_those_of_integers(tmp_path: Path, rows: int) -> None:
    weights = np.abs(RANDOM.normal(size=(DEPTH, WIDTH)))  # of like sign: pairs are large
    network = quantised_product(tmp_path, weights)
    values, scales = quantization.quantize_columns(weights.astype(np.float32))
    pixels = RANDOM.integers(200, 256, (rows, DEPTH)).astype(np.uint8)

    expected = (pixels.astype(np.int64) @ values.astype(np.int64)) * scales
    np.testing.assert_allclose(run_one(network, x=pixels), expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("sign", [-1, 1])
def test_products_in_blocks_are_those_of_integers(tmp_path: Path, rows: int, sign: int) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = sign * RANDOM.integers(100, 128, (DEPTH, WIDTH))
    weights[:: quantization.BLOCK] = 127  # a step is 1
    source = save(tmp_path / "a.onnx", nodes, {"w": weights}, {"x": 1})
    quantization.quantize_network(source, tmp_path / "b.onnx", kernel="blocks")
    x = RANDOM.integers(100, 128, (rows, DEPTH)).astype(np.float32)
    x[:, :: quantization.BLOCK] = 127

    np.testing.assert_allclose(run_one(tmp_path / "b.onnx", x=x), x @ weights, rtol=1e-6)


def test_a_row_in_int8_does_not_depend_on_the_others(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    source = save(tmp_path / "a.onnx", nodes, {"w": RANDOM.normal(size=(DEPTH, WIDTH))}, {"x": 1})
    quantization.quantize_network(source, tmp_path / "b.onnx")
    x = RANDOM.normal(size=(6, 3, DEPTH)).astype(np.float32)
    x[0] *= 1000  # an outlier that would leave the others three steps

    together = run_one(tmp_path / "b.onnx", x=x)
    alone = np.concatenate([run_one(tmp_path / "b.onnx", x=one[None]) for one in x])

    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_zeros_stay_zeros(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    source = save(tmp_path / "a.onnx", nodes, {"w": np.zeros((DEPTH, WIDTH))}, {"x": 1})
    quantization.quantize_network(source, tmp_path / "b.onnx")

    assert not run_one(tmp_path / "b.onnx", x=np.zeros((2, DEPTH), np.float32)).any()
    assert not run_one(tmp_path / "b.onnx", x=np.ones((2, DEPTH), np.float32)).any()


def test_pixels_are_multiplied_as_they_are(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    source = save(tmp_path / "a.onnx", nodes, {"w": RANDOM.normal(size=(DEPTH, WIDTH))}, {"x": 2})
    quantization.quantize_network(source, tmp_path / "b.onnx")
    pixels = RANDOM.integers(0, 256, (4, DEPTH)).astype(np.uint8)

    kinds = [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node]
    assert kinds == ["MatMulIntegerToFloat"]
    assert (
        compute_cosines(run_one(source, x=pixels), run_one(tmp_path / "b.onnx", x=pixels)).min()
        > 0.999
    )


def test_a_large_table_is_kept_as_int8_beside_the_network(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["w", "x"], ["y"])]
    table = RANDOM.normal(size=(ROWS, WIDTH)) * RANDOM.uniform(0.1, 9, (ROWS, 1))
    source = save(tmp_path / "a.onnx", nodes, {"w": table}, {"x": 7})

    assert quantization.quantize_network(source, tmp_path / "b.onnx") == 1
    ids = np.array([[0, 7], [ROWS - 1, 7]])

    looked_up = run_one(tmp_path / "b.onnx", x=ids)
    np.testing.assert_allclose(looked_up, table[ids], atol=0.2)
    assert compute_cosines(looked_up.reshape(4, -1), table[ids].reshape(4, -1)).min() > 0.999
    assert (tmp_path / "b.onnx").stat().st_size < 10_000
    assert (tmp_path / "b.onnx.data").stat().st_size < 1.1 * ROWS * (WIDTH + 4)


def test_what_has_no_products_is_not_written(tmp_path: Path) -> None:
    source = save(tmp_path / "a.onnx", [helper.make_node("Abs", ["x"], ["y"])], {}, {"x": 1})

    assert quantization.quantize_network(source, tmp_path / "b.onnx") == 0
    assert not (tmp_path / "b.onnx").exists()


@given(st.integers(1, 9), st.integers(1, 9), st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_rows_and_columns_come_back_within_half_a_step(rows: int, width: int, scale: float) -> None:
    values = (np.random.default_rng(rows * 10 + width).normal(size=(rows, width)) * scale).astype(
        np.float32
    )

    by_row, row_scale = quantization.quantize_rows(values)
    by_column, column_scale = quantization.quantize_columns(values)

    assert (np.abs(by_row * row_scale - values) <= 0.51 * row_scale).all()
    assert (np.abs(by_column * column_scale - values) <= 0.51 * column_scale).all()


# Comparing


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_equal_vectors_agree_in_everything() -> None:
    rows = unit(RANDOM.normal(size=(30, 16)))
    found = compare_vectors(rows, rows, alone=rows[:4])

    assert found.is_exact
    assert found.is_close
    assert found.overlap == 1.0


def test_a_common_part_does_not_hide_that_neighbours_are_lost() -> None:
    common = 50 * np.ones(16)
    rows = unit(common + RANDOM.normal(size=(40, 16)))
    others = unit(common + RANDOM.normal(size=(40, 16)))
    found = compare_vectors(rows, others)

    assert found.cosine_mean > 0.999
    assert found.overlap < 0.6
    assert not found.is_close


def test_vectors_that_depend_on_their_batch_are_refused() -> None:
    rows = unit(RANDOM.normal(size=(30, 16)))
    assert not compare_vectors(rows, rows, alone=unit(rows[:4] + 0.1)).is_close


def test_sets_of_different_size_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="3 rows"):
        compare_vectors(np.ones((3, 2), np.float32), np.ones((2, 2), np.float32))


# Measuring


def test_a_network_is_measured_and_its_settings_are_among_those_tried(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    source = save(tmp_path / "a.onnx", nodes, {"w": RANDOM.normal(size=(DEPTH, WIDTH))}, {"x": 1})
    found = tuning.tune(source, {"x": np.ones((3, DEPTH), np.float32)}, seconds=0.2, cpus=2)

    assert found.batch in tuning.BATCHES
    assert found.threads in (1, 2)
    assert found.per_s > 0


@pytest.mark.parametrize(("cpus", "expected"), [(1, [1]), (2, [2, 1]), (3, [3, 1]), (8, [8, 4, 2])])
def test_thread_counts_are_all_half_and_a_quarter(cpus: int, expected: list[int]) -> None:
    assert tuning.list_thread_counts(cpus) == expected


# Probes


def test_probes_are_the_same_each_time_and_differ_from_each_other() -> None:
    pictures = sample_images.make_images(32)

    assert pictures.shape == (sample_images.COUNT, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert (pictures == sample_images.make_images(32)).all()
    assert len({picture.tobytes() for picture in pictures}) == sample_images.COUNT
    assert len(set(sample_images.SENTENCES)) == len(sample_images.SENTENCES) >= 64


def test_photographs_take_the_place_of_made_pictures(sample_data: Path) -> None:
    paths = sorted((sample_data / "photos").glob("*.jpg"))[:3]
    assert len(sample_images.make_images(32, paths)) == sample_images.COUNT
    assert not (sample_images.make_images(32, paths)[0] == sample_images.make_images(32)[0]).all()


# The worker


def ask(asked: str) -> tuple[list[dict[str, object]], int]:
    done = subprocess.run(
        process.COMMAND, input=asked, capture_output=True, text=True, timeout=60, check=False
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def test_an_unknown_family_is_told_in_one_line_of_json() -> None:
    (answer,), code = ask(json.dumps({"encoder": "x", "source": "/a", "target": "/b"}))

    assert answer["error"] == "ConfigError"
    assert "open-clip" in str(answer["message"])
    assert code == 1


def test_errors_of_the_worker_are_raised_under_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    monkeypatch.setattr(process, "COMMAND", (sys.executable, str(script)))

    def answers(line: str) -> None:
        script.write_text(f"import sys, json\njson.load(sys.stdin)\n{line}\n")
        process.run_conversion("clap", tmp_path, tmp_path, on_progress=lambda *_: None)

    with pytest.raises(MissingExtra, match="needs torch"):
        answers("""print('{"error": "MissingExtra", "message": "needs torch"}')""")
    with pytest.raises(ConfigError):
        answers("""print('{"error": "ConfigError", "message": "x"}')""")
    with pytest.raises(ModelError, match=r"signal 9.*memory"):
        answers("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ModelError, match=r"ended with 1.*ZeroDivisionError"):
        answers("1 / 0")


def test_progress_is_passed_on_and_the_worker_ends_with_its_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, json, time\njson.load(sys.stdin)\n"
        """print('{"progress": "a", "share": 0.5}', flush=True)\ntime.sleep(60)\n"""
    )
    monkeypatch.setattr(process, "COMMAND", (sys.executable, str(script)))
    heard: list[tuple[str, float]] = []

    def listen(what: str, share: float) -> None:
        heard.append((what, share))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.run_conversion("clap", tmp_path, tmp_path, on_progress=listen)
    assert heard == [("a", 0.5)]


def test_a_session_splits_what_is_more_than_its_batch(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    source = save(tmp_path / "a.onnx", nodes, {"w": RANDOM.normal(size=(4, 3))}, {"x": 1})
    x = RANDOM.normal(size=(7, 4)).astype(np.float32)
    (whole,) = OnnxModel.open(source).run({"x": x})
    (split,) = OnnxModel.open(source, batch=2, arena=True).run({"x": x})
    (none,) = OnnxModel.open(source).run({"x": x[:0]})

    np.testing.assert_allclose(whole, split, rtol=1e-5)
    assert none.shape == (0, 3)
