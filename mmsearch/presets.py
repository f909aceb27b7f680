"""Presets: which encoders make up a library, and how their similarities become scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mmsearch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic curve from cosine to score: 0.5 at `midpoint`, the steeper the surer.

    Platt 1999, with constants fitted by `scripts/fit_calibration.py`.
    """

    midpoint: float
    steepness: float

    def score(self, similarity: float) -> float:
        """The score (0..1) of a cosine."""
        return 1.0 / (1.0 + math.exp(-self.steepness * (similarity - self.midpoint)))


@dataclass(frozen=True, slots=True)
class Preset:
    """The encoders of a library, by the names under which they are found.

    `calibrations` maps "what is asked > space" to a curve; what is not listed cannot be asked.
    """

    name: str
    text: str
    image: str
    sound: str
    speech_model: str
    calibrations: Mapping[str, Calibration]
    summary: str


MINI = Preset(
    name="mini",
    text="mmsearch.encoders.text:MiniLmEncoder",
    image="mmsearch.encoders.tagging:TaggingEncoder",
    sound="mmsearch.encoders.sound:WhisperSoundEncoder",
    speech_model="tiny.en",
    calibrations=MappingProxyType(
        {
            # Fitted on 509 captions of photographs and shots: midpoint 0.475, steepness 11.9.
            "text>image": Calibration(midpoint=0.475, steepness=11.9),
            # 30 questions and quotations separate from the rest without error, so a fit has no
            # slope to find; the curve runs between the best that is wrong and the least that is
            # right (0.35), with a slope not much steeper than that of pictures.
            "text>text": Calibration(midpoint=0.36, steepness=15.0),
            # Set by hand, for want of known answers: like pictures and like sounds.
            "image>image": Calibration(midpoint=0.70, steepness=10.0),
            "tags>text": Calibration(midpoint=0.55, steepness=15.0),
            "sound>sound": Calibration(midpoint=0.70, steepness=8.0),
        }
    ),
    summary="small models that come with the installation; English; nothing is downloaded",
)

PLANNED = frozenset({"clip"})
PRESETS: Mapping[str, Preset] = MappingProxyType({MINI.name: MINI})
DEFAULT = MINI.name


def find(name: str) -> Preset:
    """The preset of that name; raises ConfigError, which lists those there are."""
    try:
        return PRESETS[name]
    except KeyError as exc:
        if name in PLANNED:
            raise ConfigError(
                f"preset {name!r} is not in this version yet; there are: "
                f"{', '.join(sorted(PRESETS))}"
            ) from exc
        raise ConfigError(
            f"there is no preset {name!r}; there are: {', '.join(sorted(PRESETS))}"
        ) from exc
