"""Nothing leaves the machine: what the packages underneath would tell their makers is off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USED = """
import time
import mmsearch
from mmsearch.models import presets
from mmsearch.encoders.bundle import Encoders
from mmsearch.models.provisioning import Runtime
context = Runtime(device="cpu").create_context()
Encoders(presets.find_preset("mini"), context).text.encode_queries(["a dog"])
time.sleep(2)
"""


def left(folder: Path) -> list[Path]:
    """What a process that runs a network leaves in the folders for temporary and cached files."""
    places = {name: str(folder / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for place in places.values():
        Path(place).mkdir(parents=True)
    inherited = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    cache = os.environ.get("MMSEARCH_CACHE", str(folder / "weights"))
    subprocess.run(
        [sys.executable, "-c", USED],
        env={**inherited, **places, "MMSEARCH_CACHE": cache, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    return [path for place in places.values() for path in Path(place).rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_network_that_runs_tells_its_maker_nothing(tmp_path: Path) -> None:
    assert left(tmp_path) == []
