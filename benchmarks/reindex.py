"""`mmsearch index` of 10,000 files that have not changed since the last time."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import corpus, measure

FILES = 10_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        media, library = Path(folder) / "media", Path(folder) / "library"
        corpus.text_files(media, FILES)
        index = [*measure.MMSEARCH, "index", str(media), "--library", str(library)]
        started = time.perf_counter()
        subprocess.run(index, check=True, capture_output=True)
        first_s = time.perf_counter() - started
        again = measure.command(index, runs=5)
    print(f"first index of {FILES:,} text files: {first_s:.1f} s ({FILES / first_s:.0f} files/s)")
    print(f"second: {again.seconds:.2f} s median, {again.fastest_s:.2f} s fastest (target 2 s)")


if __name__ == "__main__":
    main()
