"""How soon `mmsearch index` ends after Ctrl-C: seconds, with all that was finished kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 5


def main() -> None:
    """Interrupt runs over the sample files, each after its first file."""
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            took_s, finished = interrupt(Path(folder) / "library")
        print(f"{took_s:.2f} s, {finished} files kept")


def interrupt(library: Path) -> tuple[float, int]:
    """Seconds from the interrupt of a new run to its end, and how many files it had finished."""
    command = [sys.executable, "-m", "mmsearch", "index", "--json", "--library", library]
    with subprocess.Popen([*command, ROOT / "sample_data"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        finished = 0
        while not finished and (line := process.stdout.readline()):
            finished += b'"event": "indexed"' in line
        began = time.perf_counter()
        process.send_signal(signal.SIGINT)
        finished += process.stdout.read().count(b'"event": "indexed"')
        process.wait()
        return time.perf_counter() - began, finished


if __name__ == "__main__":
    main()
