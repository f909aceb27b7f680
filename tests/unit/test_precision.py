"""int8 or fp32: chosen by what is right and fastest on the processor that runs a model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mmsearch.config import cache_dir
from mmsearch.errors import ModelError
from mmsearch.models.model_card import ModelCard, StoredModel, TowerCard
from mmsearch.runtime import precision, processor
from mmsearch.runtime.precision import choose_precision
from mmsearch.types import WeightFile

DIGEST = "a" * 64
HERE, ELSEWHERE = "x86_64 this one", "x86_64 another"
WIDTH = 64


def save_network(path: Path, products: int) -> None:
    """A network that takes the longer the more products it has."""
    names = ["x", *(f"h{number}" for number in range(products - 1)), "y"]
    weights = np.eye(WIDTH, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", [source, "w"], [result]) for source, result in pairwise(names)],
        "g",
        [helper.make_tensor_value_info("x", 1, ["rows", "length", WIDTH])],
        [helper.make_tensor_value_info("y", 1, ["rows", "length", WIDTH])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )


def store(folder: Path, tower: TowerCard, *, int8: int = 0, fp32: int = 0) -> StoredModel:
    """A model whose networks have so many products; none is not there."""
    counts = {"int8": int8, "fp32": fp32}
    files = []
    for name, products in counts.items():
        if products:
            save_network(folder / f"image.{name}.onnx", products)
            files.append(WeightFile(f"image.{name}.onnx", DIGEST, 1))
    card = ModelCard("open-clip", "owner/model", DIGEST, 4, towers={"image": tower})
    return StoredModel(folder, replace(card, files=tuple(files)))


@pytest.fixture(autouse=True)
def _processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "read_processor_name", lambda: HERE)
    monkeypatch.setattr(precision, "saturates_int8", lambda: False)


def timed(name: str = "int8", *, on: str = ELSEWHERE) -> TowerCard:
    return TowerCard(name, batch=4, processor=on, recipe="rows-paired")


def test_on_the_processor_that_converted_it_the_card_decides(tmp_path: Path) -> None:
    stored = store(tmp_path, timed(on=HERE), int8=400, fp32=1)

    assert choose_precision(stored, "image") == "int8"
    assert not cache_dir().exists()


@pytest.mark.parametrize("on_the_card", ["int8", "fp32"])
@pytest.mark.parametrize("faster", ["int8", "fp32"])
def test_on_another_processor_the_faster_network_is_taken(
    tmp_path: Path, on_the_card: str, faster: str
) -> None:
    products = {"int8": 400, "fp32": 400, faster: 1}
    stored = store(tmp_path, timed(on_the_card), **products)

    assert choose_precision(stored, "image") == faster


def test_a_processor_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = store(tmp_path, timed(), int8=400, fp32=1)
    assert choose_precision(stored, "image") == "fp32"
    (stored.folder / "image.int8.onnx").unlink()  # what is measured again would fail
    assert choose_precision(stored, "image") == "fp32"

    monkeypatch.setattr(precision, "read_processor_name", lambda: "x86_64 a third")
    with pytest.raises(ModelError, match=r"image\.int8\.onnx"):
        choose_precision(stored, "image")


def test_a_torn_measurement_is_made_again(tmp_path: Path) -> None:
    stored = store(tmp_path, timed(), int8=400, fp32=1)
    choose_precision(stored, "image")
    (kept,) = (cache_dir() / "speeds").iterdir()
    kept.write_text("{")

    assert choose_precision(stored, "image") == "fp32"
    assert kept.read_text() != "{"


def test_a_cache_that_cannot_be_written_to_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "file"))

    assert choose_precision(store(tmp_path, timed(), int8=400, fp32=1), "image") == "fp32"


def test_what_int8_was_not_near_enough_for_stays_fp32(tmp_path: Path) -> None:
    assert choose_precision(store(tmp_path, timed("fp32"), fp32=1), "image") == "fp32"


def test_what_is_wanted_by_name_is_not_measured(tmp_path: Path) -> None:
    assert choose_precision(store(tmp_path, timed(), int8=400, fp32=1), "image", "int8") == "int8"


def test_a_table_is_int8_for_its_memory_wherever_it_runs(tmp_path: Path) -> None:
    assert choose_precision(store(tmp_path, timed(on=""), int8=400, fp32=1), "image") == "int8"


def test_int8_that_may_saturate_is_not_taken_where_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store(tmp_path, TowerCard("int8"), int8=1, fp32=400)
    assert choose_precision(stored, "image") == "int8"

    monkeypatch.setattr(precision, "saturates_int8", lambda: True)
    assert choose_precision(stored, "image") == "fp32"
    assert choose_precision(stored, "image", "fp32") == "fp32"
    with pytest.raises(ModelError, match="models pull open-clip:owner/model --again"):
        choose_precision(stored, "image", "int8")


def test_a_processor_is_named_by_what_decides_on_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
    names = []
    for flags in ("fpu avx2", "fpu avx2 avx_vnni", "sse2 avx2"):
        cpuinfo.write_text(f"model name\t: Some Processor\nflags\t\t: {flags}\n")
        names.append(processor.read_processor_name.__wrapped__())

    assert names[0] == names[2] != names[1]
    assert "Some Processor avx2" in names[0]

    cpuinfo.unlink()
    assert processor.read_processor_name.__wrapped__()
