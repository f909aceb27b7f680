"""The server does what its OpenAPI document says, as schemathesis finds out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmsearch.library.library import Library
from tests.fakes import write_picture, write_text
from tests.server.live import ROOT, command

EXAMPLES = 25
SEED = 20_26


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_found_that_the_document_does_not_say(tmp_path: Path) -> None:
    """All checks, in all phases: examples, coverage of the schemas, random data, sequences."""
    write_picture(tmp_path / "files" / "red.png", "red")
    write_text(tmp_path / "files" / "a.txt", "a red lighthouse on a rock")
    with Library.open(tmp_path / "library") as library:
        library.index(tmp_path / "files")
    arguments = ("--allow-write", "--root", str(tmp_path / "files"))
    with command(tmp_path / "library", *arguments) as (url, process):
        done = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "schemathesis"), "run"),
                *(f"{url}/openapi.json", "--checks", "all", "--no-color"),
                *("--max-examples", str(EXAMPLES), "--seed", str(SEED)),
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.server.formats",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        generated = re.search(r"(\d+) generated", done.stdout)
        assert generated is not None
        assert int(generated[1]) > 500
        assert process.poll() is None
