"""A cold `mmsearch search` from the shell to JSON over a library of 10,000 segments."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import corpus, measure

SEGMENTS = 10_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        corpus.library_in_child(library, SEGMENTS)
        query = [*measure.MMSEARCH, "search", "dog on a beach", "--library", str(library), "--json"]
        found = measure.command([*query, "--min-score", "0"], runs=9)
        helped = measure.command([*measure.MMSEARCH, "--help"], runs=5)
    print(f"{'':28}{'median s':>10}{'fastest s':>11}{'peak MB':>9}{'target':>20}")
    for name, figure, target in (
        (f"search, {SEGMENTS:,} segments", found, "<= 0.65 s, 350 MB"),
        ("--help", helped, ""),
    ):
        print(
            f"{name:28}{figure.seconds:10.2f}{figure.fastest_s:11.2f}{figure.peak_mb:9.0f}"
            f"{target:>20}"
        )


if __name__ == "__main__":
    main()
