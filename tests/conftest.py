"""Fixtures that many tests share: data, an environment of its own, the command, a small library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mmsearch.library.library import Library

ROOT = Path(__file__).parents[1]
# A busy machine makes no example wrong.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
SAMPLE_DATA = ROOT / "sample_data"
SAMPLES = (
    "photos/IMG_0031.jpg",
    "photos/IMG_0144.jpg",
    "photos/beach.jpg",
    "photos/breakfast.jpg",
    "photos/P1020345.jpg",
    "recordings/voice_memo_03.flac",
    "sounds/hallway.mp3",
    "sounds/canal.flac",
    "videos/MVI_0007.mp4",
    "documents/bike_care.md",
    "documents/kitchen_garden.pdf",
    "documents/gettysburg_address.txt",
)
"""A few of each kind: enough to search in, quick to index."""

Cli = Callable[..., "subprocess.CompletedProcess[bytes]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow last: what breaks, breaks early."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(autouse=True)
def _stays_here() -> Iterator[None]:
    """No test leaves the process in another folder, which may be gone for the next one."""
    here = Path.cwd()
    yield
    now = Path.cwd()
    os.chdir(here)
    assert now == here


@pytest.fixture(autouse=True, scope="session")
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the user reaches a test; only converted weights are shared."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("MMSEARCH_") and name not in (
                "MMSEARCH_CACHE",
                "MMSEARCH_TEST_DATA",
            ):
                patch.delenv(name)
        patch.setenv("MMSEARCH_CONFIG", str(home / "none.toml"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """Real media with ground truth, beside the repository; not part of it."""
    folder = Path(os.environ.get("MMSEARCH_TEST_DATA", ROOT.parent / "shared/data"))
    if not folder.is_dir():
        pytest.skip(f"there is no test data at {folder}: name it with MMSEARCH_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The sample files of the repository."""
    return SAMPLE_DATA


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The first words of the command line."""
    return [sys.executable, "-m", "mmsearch"]


@pytest.fixture(scope="session")
def cli(command: list[str]) -> Cli:
    """Run the command to its end, in a process of its own; stdout and stderr are bytes."""

    def run(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        timeout: float = 180,
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=cwd or ROOT,
            env={**os.environ, **(env or {}), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of a few sample files; only to be read."""
    folder = tmp_path_factory.mktemp("samples")
    for name in SAMPLES:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLE_DATA / name, target)
    return folder


@pytest.fixture(scope="session")
def small_library(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library over `samples`, made with the real encoders; only to be read."""
    folder = tmp_path_factory.mktemp("libraries") / "small"
    with Library.open(folder) as library:
        report = library.index(samples)
    assert report.indexed == len(SAMPLES)
    assert report.failed == 0
    return folder
