"""How well labels fit photographs, and whether their probabilities can be believed.

A label is right for a photograph of `$MMSEARCH_TEST_DATA/captions` where three of its five captions
have one of the label's words. Needs a library over them, or makes one of `mini`.

    python -m benchmarks.labels [LIBRARY]
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import measure
from mmsearch.library.library import Library

WORDS = {
    "cat": "cats?|kitten", "dog": "dogs?|pup(py)?", "horse": "horses?", "bear": "bears?",
    "bird": "birds?|vultures?|parakeet|canary", "elephant": "elephants?", "pizza": "pizzas?",
    "cake": "cakes?|cupcakes?", "laptop": "laptops?|mac ?book", "bus": "bus(es)?",
    "airplane": "(air)?planes?|jets?", "skateboard": "skateboard.*|skater?", "tennis": "tennis",
    "baseball": "baseball|pitcher", "kitchen": "kitchen", "bathroom": "bath ?room|toilet",
    "bedroom": "bed|bedroom", "stop sign": "stop ?sign", "motorcycle": "motorcycle|motorbike",
    "bicycle": "bike|bicycle", "umbrella": "umbrellas?", "suitcase": "suitcases?|.*uggage|baggage",
    "clock": "clock", "flower": "flowers?|rose", "boat": "boats?", "skiing": "ski.*",
    "kite": "kites?", "frisbee": "frisbees?", "car": "cars?|taxi", "sandwich": "sandwich(es)?",
}  # fmt: skip
LABELS = list(WORDS)
BINS = 10
FEWER = (2, 5, 10, 20)
DRAWS = 60
THRESHOLDS = (0.15, 0.2, 0.3, 0.4, 0.5, 0.7)

Logits = NDArray[np.float64]


def truth(folder: Path) -> dict[Path, set[int]]:
    """The labels of each photograph, by their numbers."""
    found = {}
    for line in (folder / "captions.jsonl").read_text().splitlines():
        row = json.loads(line)
        found[folder / row["image"]] = {
            number
            for number, words in enumerate(WORDS.values())
            if sum(bool(re.search(rf"\b({words})\b", one.lower())) for one in row["captions"]) >= 3
        }
    return found


@contextmanager
def opened(folder: Path, arguments: Sequence[str]) -> Iterator[Library]:
    """The library that was named, or one over the photographs."""
    with (
        tempfile.TemporaryDirectory() as place,
        Library.open(arguments[0] if arguments else Path(place) / "library") as library,
    ):
        if not arguments:
            library.index(folder / "images")
        yield library


def softmax(logits: Logits) -> Logits:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def calibration_error(sure: Logits, right: NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins (Guo et al., ICML 2017)."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return float(
        sum(
            (bins == one).mean() * abs(right[bins == one].mean() - sure[bins == one].mean())
            for one in np.unique(bins)
        )
    )


def told(name: str, found: Logits, answers: NDArray[np.int64]) -> None:
    right, sure = found.argmax(axis=1) == answers, found.max(axis=1)
    print(
        f"{name:>24}  right {right.mean():.3f}  mean probability {sure.mean():.3f}  calibration "
        f"error {calibration_error(sure, right):.3f}"
    )


def main() -> None:
    folder = measure.test_data() / "captions"
    known = truth(folder)
    with opened(folder, sys.argv[1:]) as library:
        found = np.empty((len(known), len(LABELS)))
        for row, path in zip(found, known, strict=True):
            tags = library.classify(path, LABELS).spaces["image"]
            sure = {tag.name: tag.probability for tag in tags}
            row[:] = [sure[label] for label in LABELS]
    logits = np.log(np.maximum(found, 1e-30))
    one = [i for i, labels in enumerate(known.values()) if len(labels) == 1]
    answers = np.array([next(iter(list(known.values())[i])) for i in one])
    print(f"{len(known)} photographs, {len(one)} of them with one of {len(LABELS)} labels")
    told(f"{len(LABELS)} labels", found[one], answers)
    draw = np.random.default_rng(0)
    for count in FEWER:
        parts = []
        for row, answer in zip(logits[one], answers, strict=True):
            others = np.delete(np.arange(len(LABELS)), answer)
            parts += [
                row[[answer, *draw.choice(others, count - 1, replace=False)]] for _ in range(DRAWS)
            ]
        told(f"{count} of them, drawn", softmax(np.stack(parts)), np.zeros(len(parts), np.int64))
    factors = np.arange(0.3, 3.0, 0.05)
    losses = [
        -np.log(softmax(factor * logits[one])[np.arange(len(one)), answers]).mean()
        for factor in factors
    ]
    best, used = int(np.argmin(losses)), int(np.argmin(abs(factors - 1)))
    print(
        f"the scale that fits best is {factors[best]:.2f} times that in use: {losses[best]:.4f} "
        f"nats, not {losses[used]:.4f}"
    )
    rights = np.array([[i in labels for i in range(len(LABELS))] for labels in known.values()])
    for threshold in THRESHOLDS:
        kept = found >= threshold
        print(
            f"{f'kept from {threshold:.2f} on':>24}  precision {rights[kept].mean():.2f}  recall "
            f"{kept[rights].mean():.2f}"
        )


if __name__ == "__main__":
    main()
