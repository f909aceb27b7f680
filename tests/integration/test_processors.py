"""A library may be made on one processor and searched on another: int8 vectors agree.

QEMU runs the same code on an emulated processor that has AVX2 and no VNNI, whose int8 products ONNX
Runtime adds up in int16.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmsearch.models.conversion.parity import compute_cosines

QEMU = shutil.which("qemu-x86_64")
AGREEMENT = 0.999
"""The least cosine between the vectors of one thing made on two processors."""
SCRIPT = """
import sys
from types import SimpleNamespace

import numpy as np

from mmsearch.models.conversion.sample_images import SENTENCES
from mmsearch.encoders.text.minilm import MiniLmEncoder
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.runtime.processor import saturates_int8

network, pixels, target = sys.argv[1:]
encoder = MiniLmEncoder.load(None, SimpleNamespace(threads=1))
np.savez(
    target,
    product=OnnxModel.open(network, threads=1).run({"x": np.load(pixels)})[0],
    sentences=encoder.encode(SENTENCES[:3]),
    saturates=saturates_int8(),
)
"""

pytestmark = pytest.mark.skipif(
    QEMU is None or platform.machine() != "x86_64",
    reason="needs qemu-x86_64 (Debian: qemu-user) on x86-64",
)


def test_vectors_in_int8_agree_with_those_of_a_processor_without_vnni(tmp_path: Path) -> None:
    from tests.unit.test_conversion_parts import quantised_product

    random = np.random.default_rng(0)
    network = quantised_product(tmp_path, np.abs(random.normal(size=(256, 64))))
    np.save(tmp_path / "pixels.npy", random.integers(0, 256, (5, 256)).astype(np.uint8))

    def run(name: str, *prefix: str) -> dict[str, np.ndarray]:
        files = (network, tmp_path / "pixels.npy", tmp_path / f"{name}.npz")
        environment = os.environ | {"MMSEARCH_CACHE": str(tmp_path / "cache")}
        command = [*prefix, sys.executable, "-c", SCRIPT, *map(str, files)]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=600)
        with np.load(tmp_path / f"{name}.npz") as results:
            return dict(results)

    here = run("here")
    there = run("there", str(QEMU), "-cpu", "Haswell")

    assert there["saturates"]
    np.testing.assert_array_equal(here["product"], there["product"])
    assert compute_cosines(here["sentences"], there["sentences"]).min() >= AGREEMENT
