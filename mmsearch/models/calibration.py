"""Curves that turn the similarities of a model into scores, and the curves of known models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsearch.types import FloatArray

MAX_BACKGROUND_STRETCH = 2.0
"""A background that is wider or narrower still says more of the library than of the model."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic curve from cosine to score, which is 0.5 at `midpoint`.

    Platt 1999, with constants fitted by `scripts/fit_calibration.py`. For encoders that know how
    near the best match could be, `ceiling_weight` times that is subtracted from the cosine: content
    that a model has a word for must come nearer than content that it has only something like.
    `background` is the mean and the standard deviation of the cosines of unrelated pairs where an
    unfitted curve was set; the curve is moved to the background of the library (ADR 14).
    """

    midpoint: float
    steepness: float
    ceiling_weight: float = 0.0
    background: tuple[float, float] | None = None

    def shift_to_background(self, mean: float, std: float) -> Calibration:
        """Returns the curve for unrelated pairs with that mean and standard deviation."""
        if self.background is None:
            return self
        own_mean, own_std = self.background
        stretch = min(max(std / own_std, 1 / MAX_BACKGROUND_STRETCH), MAX_BACKGROUND_STRETCH)
        midpoint = mean + (self.midpoint - own_mean) * stretch
        return replace(self, midpoint=midpoint, steepness=self.steepness / stretch)

    def compute_score(self, similarity: float) -> float:
        """Returns the score (0..1) of one cosine."""
        return 1.0 / (1.0 + math.exp(-self.steepness * (similarity - self.midpoint)))

    def compute_scores(self, similarities: FloatArray, ceiling: float = 0.0) -> FloatArray:
        """Returns (n,) scores (0..1) of (n,) cosines; `ceiling` is the highest possible cosine."""
        import numpy as np

        margins = similarities.astype(np.float64) - self.ceiling_weight * ceiling - self.midpoint
        scores: FloatArray = (1.0 / (1.0 + np.exp(-self.steepness * margins))).astype(np.float32)
        return scores


DEFAULT_CALIBRATION = Calibration(midpoint=0.70, steepness=8.0)
"""For two vectors of one kind, without anything known of their model."""
_CLAP = MappingProxyType(
    {  # Wu et al., ICASSP 2023: matching pairs 0.3 to 0.6, unrelated ones about 0
        "text>sound": Calibration(midpoint=0.30, steepness=14.0, background=(0.03, 0.065)),
        "sound>sound": Calibration(midpoint=0.70, steepness=10.0),
    }
)
# No CLIP or CLAP weights could be fetched where these were set: they follow from the models'
# published temperatures and biases, and wait for `scripts/fit_calibration.py` on real ones. Their
# backgrounds put the middle of the curve four standard deviations above unrelated pairs, where it
# lies for mini's texts: in a library the middle goes where that library's own background puts it.
ENCODER_CALIBRATIONS: Mapping[str, Mapping[str, Calibration]] = MappingProxyType(
    {
        # Softmax-trained CLIP (logit scale 100): matching pairs of the published LAION and DataComp
        # models lie about 0.25 to 0.35, unrelated ones about 0.05 to 0.2.
        "open-clip": {
            "text>image": Calibration(midpoint=0.235, steepness=45.0, background=(0.11, 0.03)),
            "image>image": Calibration(midpoint=0.72, steepness=14.0),
        },
        "clap": _CLAP,
        "laion-clap": _CLAP,
        # E5 was trained at temperature 0.01: its cosines lie between 0.7 and 1.0 (model card).
        "sentence": {
            "text>text": Calibration(midpoint=0.845, steepness=60.0, background=(0.76, 0.02)),
            "tags>text": Calibration(midpoint=0.87, steepness=60.0),
        },
    }
)
"""Calibrations by the encoder that replaces a preset's; a plugin may add its own."""
# SigLIP 2 (Tschannen et al. 2025) gives the probability of a match, sigmoid(112 cos - 16.5), for
# one match among 32,768 pairs. The curve is that with one among a hundred instead.
SIGLIP_CALIBRATIONS: Mapping[str, Calibration] = MappingProxyType(
    {
        "text>image": Calibration(midpoint=0.095, steepness=112.0, background=(0.01, 0.02)),
        "image>image": Calibration(midpoint=0.72, steepness=14.0),
    }
)
MINI_CALIBRATIONS: Mapping[str, Calibration] = MappingProxyType(
    {
        # 380 captions of 76 photographs against 100 queries that nothing answers: the ceiling
        # takes the area under the ROC curve of their best pictures from 0.875 to 0.912, and at
        # what 95 of 100 captions reach (0.179, a score of 0.3) refuses 60 of 100 of the others
        # instead of 45. A logistic fit has steepness 19.
        "text>image": Calibration(midpoint=0.229, steepness=17.0, ceiling_weight=0.5),
        # Of the same 100 queries half find a text at 0.325, a quarter at 0.363, a tenth at 0.4;
        # of 20 questions and quotations with answers all but those that exact words find too
        # are at 0.38 or above, which is a score of 0.32.
        "text>text": Calibration(midpoint=0.43, steepness=15.0),
        # Set by hand, for want of known answers: similar pictures and similar sounds.
        "image>image": Calibration(midpoint=0.70, steepness=10.0),
        "tags>text": Calibration(midpoint=0.55, steepness=15.0),
        "sound>sound": Calibration(midpoint=0.70, steepness=8.0),
    }
)
