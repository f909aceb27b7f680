"""Measures the background of a library, the similarities by chance, and moves curves to it.

A calibration that was not fitted assumes some background; it is moved and stretched to that of the
library, which is measured after indexing with texts that match little. Fitted calibrations stay:
the similarities of such texts depend more on the subjects of a library than on the model (ADR 14).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.models.calibration import Calibration
from mmsearch.runtime.atomic_files import write_atomically
from mmsearch.snapshot.array_writers import MODALITIES
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.types import Modality

if TYPE_CHECKING:
    from mmsearch.encoders.bundle import Encoders

FORM = 1
NAME = "background.json"
ALL = "all"
SAMPLED = 512
FEWEST = 64
"""With fewer vectors no curve is moved."""
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
"""Subjects from everywhere: a library is about few of them."""


@dataclass(frozen=True, slots=True)
class Background:
    """Mean and standard deviation of similarities, over `count` vectors."""

    mean: float
    std: float
    count: int


Backgrounds = Mapping[str, Mapping[str, Background]]
"""By space, then by kind of asset, or ALL."""


def is_background_due(snapshot: Snapshot) -> bool:
    """Tests if the background is unknown, or the library has changed much since."""
    known = read_background(snapshot)
    for name, arrays in snapshot.spaces.items():
        there = arrays.there
        before = known[name][ALL].count if ALL in known.get(name, {}) else 0
        if there >= FEWEST and abs(there - before) > STALE_SHARE * there:
            return True
    return False


def measure_background(snapshot: Snapshot, encoders: Encoders) -> None:
    """Measures the background and keeps it beside the indexes, where these can be written."""
    rng = np.random.default_rng(0)
    backgrounds: dict[str, dict[str, Background]] = {}
    filled = {name for name in snapshot.filled_spaces if snapshot.spaces[name].there >= FEWEST}
    for name, queries in encoders.encode_query_texts(ASKED, filled).items():
        owners = snapshot.owners(name)
        arrays = snapshot.spaces[name]
        there = owners >= 0
        if arrays.is_there is not None:
            there &= arrays.is_there
        kinds = np.append(snapshot.modalities, 255)[owners]
        listed = {ALL: there} | {
            kind.value: there & (kinds == code) for code, kind in enumerate(MODALITIES)
        }
        backgrounds[name] = {}
        for kind, mask in listed.items():
            rows = np.flatnonzero(mask)
            if len(rows) < FEWEST:
                continue
            some = np.sort(rng.choice(rows, min(SAMPLED, len(rows)), replace=False))
            similarities = queries @ arrays.matrix.take(some).T
            backgrounds[name][kind] = Background(
                float(similarities.mean()), float(similarities.std()), len(rows)
            )
    _write_background(snapshot.reader.location.cache_folder / NAME, backgrounds)


def _write_background(path: Path, backgrounds: Backgrounds) -> None:
    spaces = {
        name: {kind: asdict(background) for kind, background in kinds.items()}
        for name, kinds in backgrounds.items()
    }
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"form": FORM, "spaces": spaces}))


def read_background(snapshot: Snapshot) -> Backgrounds:
    """Reads the last measurement; empty where there is none."""
    try:
        stored = json.loads((snapshot.reader.location.cache_folder / NAME).read_text())
        if stored["form"] != FORM:
            return {}
        return {
            name: {kind: Background(**values) for kind, values in kinds.items()}
            for name, kinds in stored["spaces"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def calibrate_by_kind(
    snapshot: Snapshot, space: str, curve: Calibration
) -> dict[Modality, Calibration]:
    """Returns the moved curve of each kind of asset whose background is known."""
    known: Backgrounds = snapshot.memoize("background", lambda: read_background(snapshot))
    kinds = known.get(space, {})
    curves = {}
    for kind in MODALITIES:
        background = kinds.get(kind.value) or kinds.get(ALL)
        if background is not None:
            curves[kind] = curve.shift_to_background(background.mean, background.std)
    return curves
