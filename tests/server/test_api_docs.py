"""What docs/http.md shows works as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsearch.library.library import Library
from mmsearch.query.algebra import image
from mmsearch.server import problems
from mmsearch.server.http.app import create_app
from tests.server.live import ROOT, served, settings_of

GUIDE = (ROOT / "docs/http.md").read_text(encoding="utf-8")
WRITTEN = "127.0.0.1:8100"


@pytest.fixture(scope="module")
def library(small_library: Path) -> Iterator[Library]:
    with Library.open(small_library) as opened:
        yield opened


@pytest.fixture(scope="module")
def place(library: Library) -> Iterator[str]:
    with served(create_app(settings_of(library), library)) as url:
        yield url.removeprefix("http://")


@pytest.fixture(scope="module")
def folder(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files are that the guide names."""
    folder = tmp_path_factory.mktemp("guide")
    shutil.copy(samples / "photos/beach.jpg", folder)
    shutil.copy(samples / "photos/IMG_0031.jpg", folder / "boat.jpg")
    shutil.copy(samples / "sounds/canal.flac", folder / "engine.wav")
    return folder


def test_the_python_of_the_guide_runs(place: str, folder: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    assert code.count(WRITTEN) == 2
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace(WRITTEN, place)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^384 \d+$", done.stdout, re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_searches_by_curl_of_the_guide_run(place: str, folder: Path, library: Library) -> None:
    (known,) = library.search(image(folder / "beach.jpg"), limit=1)
    commands = re.findall(r"\$ (curl -s localhost:8100/v1/search(?:.*\\\n)*.*(?:\n    .*)*)", GUIDE)
    assert len(commands) == 4
    for command in commands:
        written = command.replace("localhost:8100", place)
        written = re.sub("[0-9a-f]{32}", known.asset.id, written)
        done = subprocess.run(
            ["/bin/sh", "-c", written], cwd=folder, capture_output=True, check=True, timeout=60
        )
        assert b'"hits": [' in done.stdout, done.stdout


def test_every_kind_of_problem_is_in_the_guide() -> None:
    quiet = {"method-not-allowed", "library-locked", "internal-error", "not-installed"}
    for kind in problems.PROBLEM_TYPES:
        assert f"`{kind.name}`" in GUIDE or kind.name in quiet
