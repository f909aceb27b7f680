"""How near words lie to what they do not mean: the similarities that a library has by chance.

A curve that nobody could fit was set against some background. Where the model's own lies elsewhere
the curve is moved and stretched to it. It is measured when a library is brought up to date, with
words that fit little. Curves that were fitted stay: what such words say of a library depends more
on its subjects than on the model (ADR 14).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.models.presets import Calibration
from mmsearch.runtime.atomic_files import write_whole
from mmsearch.snapshot.snapshot import MODALITIES, Snapshot
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders

FORM = 1
NAME = "background.json"
ALL = "all"
SAMPLED = 512
FEWEST = 64
"""What fewer vectors say is not worth moving a curve for."""
STALE_SHARE = 0.2
ASKED = (
    "a red bicycle", "two people talking", "a glass of water", "an old stone bridge",
    "rain on a window", "a child running", "a page of handwriting", "a pair of shoes",
    "a crowded station", "a snowy mountain", "a bowl of soup", "a black dog", "a wooden boat",
    "a busy office", "flowers in a garden", "a guitar on a chair", "a plane in the sky",
    "a white horse", "a table with books", "an empty street at night", "a woman with a hat",
    "a map on the wall", "a slice of bread", "a bird on a branch", "a screen full of text",
    "a man at a market", "a cup of tea", "a green field", "an open door", "waves on a beach",
    "a train in the fog", "a small kitchen", "the price of a ticket", "how to mend a tyre",
    "the history of a town", "a song about the sea", "a letter from a friend",
    "the rules of a game", "news of an election", "the cause of an illness",
    "a lesson in chemistry", "a promise that was broken", "the meaning of a dream",
    "directions to the museum", "a list of names", "a question without an answer",
    "the weather tomorrow", "a story about a king",
)  # fmt: skip
"""Subjects from everywhere: of any library few of them are what it is about."""


@dataclass(frozen=True, slots=True)
class Background:
    """Mean and standard deviation of similarities, over `count` vectors."""

    mean: float
    std: float
    count: int


Backgrounds = Mapping[str, Mapping[str, Background]]
"""By space, then by kind of asset, or ALL."""


def is_due(snapshot: Snapshot) -> bool:
    """Whether the background is not known, or the library has changed much since."""
    known = read(snapshot)
    for name, arrays in snapshot.spaces.items():
        there = arrays.there
        before = known[name][ALL].count if ALL in known.get(name, {}) else 0
        if there >= FEWEST and abs(there - before) > STALE_SHARE * there:
            return True
    return False


def measure(snapshot: Snapshot, encoders: Encoders) -> None:
    """Measure it anew, and keep it beside the indexes; nothing where that cannot be written to."""
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, Background]] = {}
    filled = {name for name in snapshot.filled if snapshot.spaces[name].there >= FEWEST}
    for name, queries in encoders.enter(ASKED, filled).items():
        owners = snapshot.owners(name)
        arrays = snapshot.spaces[name]
        there = owners >= 0
        if arrays.is_there is not None:
            there &= arrays.is_there
        kinds = np.append(snapshot.modalities, 255)[owners]
        listed = {ALL: there} | {
            kind.value: there & (kinds == code) for code, kind in enumerate(MODALITIES)
        }
        found[name] = {}
        for kind, mask in listed.items():
            rows = np.flatnonzero(mask)
            if len(rows) < FEWEST:
                continue
            some = np.sort(rng.choice(rows, min(SAMPLED, len(rows)), replace=False))
            similarities = queries @ arrays.matrix.take(some).T
            found[name][kind] = Background(
                float(similarities.mean()), float(similarities.std()), len(rows)
            )
    _write(snapshot.reader.location.cache_folder / NAME, found)


def _write(path: Path, found: Backgrounds) -> None:
    told = {
        name: {kind: asdict(one) for kind, one in kinds.items()} for name, kinds in found.items()
    }
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"form": FORM, "spaces": told}))


def read(snapshot: Snapshot) -> Backgrounds:
    """What was measured last; empty where nothing was."""
    try:
        told = json.loads((snapshot.reader.location.cache_folder / NAME).read_text())
        if told["form"] != FORM:
            return {}
        return {
            name: {kind: Background(**one) for kind, one in kinds.items()}
            for name, kinds in told["spaces"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def curves_by_kind(
    snapshot: Snapshot, space: str, curve: Calibration
) -> dict[Modality, Calibration]:
    """The curve for each kind of asset, where the background says that it is another."""
    known: Backgrounds = snapshot.kept("background", lambda: read(snapshot))
    kinds = known.get(space, {})
    found = {}
    for kind in MODALITIES:
        one = kinds.get(kind.value) or kinds.get(ALL)
        if one is not None:
            found[kind] = curve.moved(one.mean, one.std)
    return found
