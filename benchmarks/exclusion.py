"""Does `X --not Y` keep X and leave Y out? On captioned photographs, by what the captions say.

`MMSEARCH_TEST_DATA=... python -m benchmarks.exclusion [LIBRARY]`; without a library one is made of
the photographs. A photograph shows a thing where any of its captions has one of the words for it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import mmsearch
from mmsearch import text
from mmsearch.library.library import Library

PAIRS = (
    ("an animal", ("animal", "cat", "dog", "bear", "horse", "bird", "elephant", "vultures"),
     "a cat", ("cat", "kitten")),
    ("an animal", ("animal", "cat", "dog", "bear", "horse", "bird", "elephant", "vultures"),
     "a horse", ("horse", "horses", "equestrians", "riders")),
    ("an animal", ("animal", "cat", "dog", "bear", "horse", "bird", "elephant"), "a bear",
     ("bear", "bears")),
    ("an animal", ("animal", "cat", "dog", "bear", "horse", "bird", "elephant"), "a dog",
     ("dog", "dogs")),
    ("food on a plate", ("food", "plate", "plates", "meal", "pizza", "sandwich", "bowl"), "pizza",
     ("pizza", "pizzas")),
    ("food", ("food", "plate", "meal", "pizza", "sandwich", "bowl", "cake"), "a birthday cake",
     ("cake", "cupcake", "birthday")),
    ("a computer", ("computer", "laptop", "macbook"), "a cat", ("cat",)),
    ("a laptop", ("laptop", "laptops"), "a dog", ("dog",)),
    ("a kitchen", ("kitchen", "stove", "oven"), "a refrigerator", ("refrigerator", "fridge")),
    ("a kitchen", ("kitchen", "stove", "oven"), "pizza", ("pizza", "pizzas")),
    ("a vehicle on a road", ("bus", "car", "motorcycle", "taxi", "road", "street"), "a bus",
     ("bus", "buses")),
    ("a vehicle", ("bus", "car", "motorcycle", "airplane", "plane", "bike"), "an airplane",
     ("airplane", "airplanes", "plane", "jets", "airport", "planes")),
    ("a vehicle", ("bus", "car", "motorcycle", "plane", "bike"), "a motorcycle",
     ("motorcycle", "motorcyclist", "motor")),
    ("sport", ("tennis", "baseball", "skateboard", "skiing", "frisbee", "pitcher"), "tennis",
     ("tennis",)),
    ("sport", ("tennis", "baseball", "skateboard", "skiing", "pitcher"), "baseball",
     ("baseball", "pitcher", "pitch")),
    ("sport", ("tennis", "baseball", "skateboard", "skiing", "pitcher"), "skiing",
     ("skiing", "skiers", "ski")),
    ("a sign", ("sign", "signs"), "a stop sign", ("stop",)),
    ("a room", ("bedroom", "bathroom", "kitchen", "room", "bed"), "a bathroom",
     ("bathroom", "toilet", "sink", "shower")),
    ("a room", ("bedroom", "bathroom", "kitchen", "room", "bed"), "a bed", ("bed", "bedroom")),
    ("water", ("water", "lake", "ocean", "beach", "river", "sea"), "an airplane on the water",
     ("airplane", "plane", "planes", "seaplane")),
)  # fmt: skip
"""(X, the words of captions for it, Y, its words)."""
FIRST = 10


def main() -> None:
    media = Path(os.environ["MMSEARCH_TEST_DATA"]).resolve() / "captions"
    rows = map(json.loads, (media / "captions.jsonl").read_text().splitlines())
    said = {
        str(media / row["image"]): set(re.findall(r"[a-z]+", " ".join(row["captions"]).lower()))
        for row in rows
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "library"
        with mmsearch.open(place) as library:
            if len(sys.argv) == 1:
                library.index(media / "images")
            report(library, said)


def report(library: Library, said: dict[str, set[str]]) -> None:
    print(f"{'':<40}{'Y in the first 10':>20}{'X of the rest':>24}{'kept':>8}")
    print(f"{'':<40}{'before':>10}{'after':>10}{'before':>12}{'after':>12}")
    total = [0, 0, 0, 0, 0, 0]
    for wanted, wanted_words, avoided, avoided_words in PAIRS:

        def shows(path: str, words: tuple[str, ...]) -> bool:
            return bool(said.get(path, set()) & set(words))

        before = [hit.path for hit in library.search(text(wanted), kinds=["image"], min_score=0)]
        query = text(wanted) - text(avoided)
        after = [hit.path for hit in library.search(query, kinds=["image"], min_score=0)]
        bad = [sum(shows(path, avoided_words) for path in paths) for paths in (before, after)]
        good = [path for path in before if not shows(path, avoided_words)]
        good = [path for path in good if shows(path, wanted_words)]
        right = sum(shows(path, wanted_words) and not shows(path, avoided_words) for path in after)
        kept = sum(path in after for path in good)
        print(
            f"{f'{wanted} --not {avoided}':<40}{bad[0]:>10}{bad[1]:>10}"
            f"{len(good):>9}/{len(before):<2}{right:>9}/{len(after):<2}{kept:>5}/{len(good)}"
        )
        for at, value in enumerate([*bad, len(good), right, kept, len(after)]):
            total[at] += value
    print(
        f"in all: Y among the first {FIRST} {total[0]} before, {total[1]} after "
        f"({total[1] / total[5]:.1%} of what is shown); X without Y {total[2]} before, {total[3]} "
        f"after; {total[4] / max(1, total[2]):.0%} of those before are kept"
    )


if __name__ == "__main__":
    main()
