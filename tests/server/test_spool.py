"""The folder of uploads: private, and not left behind for good."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mmsearch.server.http.spool import LOCK, PREFIX, Spool

KILLED = """
import os, signal
from mmsearch.server.http.spool import Spool
place = Spool().path
(place / "secret.jpg").write_bytes(b"somebody's")
print(place, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that is the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_nobody_else_can_read_it_and_it_goes(temporary: Path) -> None:
    spool = Spool()
    assert spool.path.parent.parent == temporary
    assert spool.path.parent.stat().st_mode & 0o077 == 0
    assert list(spool.path.iterdir()) == []
    (spool.path / "one").mkdir()
    spool.close()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_server_left_goes_with_the_next() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    left = Path(done.stdout.strip())
    assert (left / "secret.jpg").exists()
    spool = Spool()
    assert not left.parent.exists()
    assert spool.path.exists()
    spool.close()


def test_one_in_use_and_strange_ones_stay(temporary: Path) -> None:
    first = Spool()
    half_made = temporary / f"{PREFIX}half"
    half_made.mkdir()
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    second = Spool()
    assert first.path.exists()
    assert half_made.exists()
    assert (elsewhere / LOCK).exists()
    for one in (first, second):
        one.close()
    shutil.rmtree(half_made)
