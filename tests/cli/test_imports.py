"""What the command does not import, so that it starts at once, even where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes import write_text

HEAVY = (
    "torch", "pandas", "lancedb", "onnx", "av", "faster_whisper", "open_clip", "transformers",
    "mmsearch.library.localization", "mmsearch.library.heatmap",
)  # fmt: skip

WATCH = """
import json, os, sys
leave = os._exit

def tell(code):
    loaded = [name for name in {heavy!r} if name in sys.modules]
    with open({answer!r}, "w") as stream:
        json.dump(loaded, stream)
    leave(code)

os._exit = tell
from mmsearch.cli.app import main
main()
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH in which torch and pandas can be imported."""
    for name in ("torch", "pandas"):
        write_text(tmp_path / "installed" / name / "__init__.py", "__version__ = '99.0'\n")
    return tmp_path / "installed"


def imported(installed: Path, *arguments: str | Path) -> tuple[int, list[str]]:
    """The exit code, and which of the heavy packages were loaded at the end of a command."""
    answer = installed / "answer.json"
    ran = subprocess.run(
        [sys.executable, "-c", WATCH.format(heavy=HEAVY, answer=str(answer)), *map(str, arguments)],
        capture_output=True, cwd=ROOT, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert answer.exists(), ran.stderr.decode()
    return ran.returncode, json.loads(answer.read_text())


def test_indexing_loads_the_writer_but_neither_torch_nor_pandas(
    installed: Path, samples: Path, tmp_path: Path
) -> None:
    """Were lancedb not seen here, the tests below could not fail."""
    code, loaded = imported(
        installed, "index", "--library", tmp_path / "new", samples / "documents"
    )

    assert code == 0
    assert loaded == ["lancedb"]


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(installed: Path, arguments: list[str]) -> None:
    assert imported(installed, *arguments) == (0, [])


def test_a_cold_search_loads_nothing_heavy(installed: Path, small_library: Path) -> None:
    assert imported(installed, "search", "--library", small_library, "kitten") == (0, [])


def test_a_cold_status_loads_nothing_heavy(installed: Path, small_library: Path) -> None:
    assert imported(installed, "status", "--library", small_library) == (0, [])


def test_heat_maps_load_what_makes_them_and_nothing_heavy(
    installed: Path, small_library: Path, tmp_path: Path
) -> None:
    """Were it not seen here, the tests above could not fail."""
    code, loaded = imported(
        installed, "search", "--library", small_library, "kitten", "-n", "1", "--kinds", "image",
        "--heat-maps", tmp_path / "maps",
    )  # fmt: skip

    assert code == 0
    assert loaded == ["mmsearch.library.localization", "mmsearch.library.heatmap"]
