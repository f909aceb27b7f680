"""Warm searches in one process over 100,000 segments, all spaces and words, with filters.

`python -m benchmarks.warm_search [SEGMENTS]`. Vectors are random directions and texts random words
of a small vocabulary: every query has many words in many texts, which is the harder case. No query
is asked twice: one that was asked before need not be encoded.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import mmsearch
from benchmarks import corpus
from mmsearch import text
from mmsearch.library.library import Library

SEGMENTS = 100_000
ROUNDS = 8
QUERIES = (
    "dog on a beach", "segments of a library", "random vectors", "a red boat at night",
    '"path segments"', "number of words", "somebody plays the piano", "harbour", "measuring time",
    "the encoder of pictures", "rain", "a man on a horse in the snow", "spaces and places",
)  # fmt: skip
SPACES = itertools.count(1)
"""Spaces behind a query make it another text with the same words."""
WAYS = {
    "all spaces": {},
    "--kinds image": {"kinds": ["image"]},
    "--where size < 10MB": {"where": "size < 10MB"},
    "--where path ~ 'segments'": {"where": "path ~ 'segments'"},
    "--no-dedupe": {"ranking": "dedupe=off"},
    "words=off": {"ranking": "words=off"},
}


def main() -> None:
    segments = int(sys.argv[1]) if len(sys.argv) > 1 else SEGMENTS
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "library"
        corpus.library_in_child(place, segments)
        (Path(folder) / "more").mkdir()
        (Path(folder) / "more" / "note.txt").write_text("a man on a horse in the snow")
        with mmsearch.open(place) as library:
            library.index(Path(folder) / "more")  # makes what searching needs
            report(library, segments)


def report(library: Library, segments: int) -> None:
    print(f"{segments:,} segments; {len(QUERIES)} queries, {ROUNDS} rounds; ms")
    print(f"{'':<30}{'p50':>8}{'p99':>8}{'worst':>8}")
    for name, settings in WAYS.items():
        times = measured(library, settings)
        p50, p99 = np.percentile(times, [50, 99])
        print(f"{name:<30}{p50:>8.1f}{p99:>8.1f}{max(times):>8.1f}")
    times = []
    for _ in range(ROUNDS * 4):
        query = text("a man on a horse" + " " * next(SPACES)) - text("snow" + " " * next(SPACES))
        started = time.perf_counter()
        library.search(query, min_score=0)
        times.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times[1:], [50, 99])
    print(f"{'--not snow':<30}{p50:>8.1f}{p99:>8.1f}{max(times[1:]):>8.1f}")


def measured(library: Library, settings: dict) -> list[float]:
    from mmsearch.query.ranking import Ranking

    asked = dict(settings)
    if "ranking" in asked:
        asked["ranking"] = Ranking.parse(asked["ranking"])
    times = []
    for number in range(ROUNDS + 1):
        for query in QUERIES:
            new = query + " " * next(SPACES)
            started = time.perf_counter()
            library.search(new, **asked)
            if number:  # the first round reads pages
                times.append(1000 * (time.perf_counter() - started))
    return times


if __name__ == "__main__":
    main()
