"""Runs a command and tells how long it took and how much memory it held."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MMSEARCH = [str(Path(sys.executable).parent / "mmsearch")]


def test_data() -> Path:
    """The folder of media with ground truth, which is not part of the project."""
    named = os.environ.get("MMSEARCH_TEST_DATA")
    if not named:
        raise SystemExit("set MMSEARCH_TEST_DATA to the folder of test media: see CONTRIBUTING.md")
    return Path(named).resolve()


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians over the runs: wall seconds, and the peak of resident memory in MB."""

    seconds: float
    peak_mb: float
    fastest_s: float


def command(arguments: list[str], *, runs: int = 5) -> Measured:
    """Run a whole process `runs` times after one run that is not counted."""
    seconds, peaks = [], []
    for run in range(runs + 1):
        started = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 4):
            raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
        if run:
            seconds.append(elapsed)
            peaks.append(usage.ru_maxrss / 1024)
    return Measured(statistics.median(seconds), max(peaks), min(seconds))
