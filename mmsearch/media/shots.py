"""Finds where a video cuts, from small versions of a few frames a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.types import PixelArray

SAMPLE_S = 0.25
SMALL_SIZE = (64, 36)
# Mean absolute difference of 8-bit values between two samples. Between cuts of films it is below
# 10 for nearly all samples, at cuts mostly above 20.
_CUT = 18.0
_CUT_TIMES_MOTION = 3.0
# A picture that has become another without any cut: dissolves, pans. A pan that goes on gives a
# picture in three seconds, not one a second.
_DRIFT = 45.0
_DRIFT_AGE_S = 3.0
# Cross-fades and encoders need a few frames before a new picture stands.
_SETTLE_S = 0.4
# Standard deviation of the values: below it a frame is black, white or a plain title.
_PLAIN = 6.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sample means: the shot that ended with it, if one did, and whether to keep it.

    `keep` says that this frame is now the best picture of the shot that is open.
    """

    ended: Span | None
    keep: bool


class ShotDetector:
    """Cuts a stream of samples into shots.

    At most one shot begins in `floor_s` seconds, and at least one in `ceiling_s`.
    """

    def __init__(self, *, floor_s: float, ceiling_s: float) -> None:
        self._floor_s = floor_s
        self._ceiling_s = max(ceiling_s, floor_s)
        self._settle_s = min(_SETTLE_S, floor_s / 2)
        self._start_s: float | None = None
        self._last_s = 0.0
        self._last: PixelArray | None = None
        self._kept: PixelArray | None = None
        self._is_settled = False
        self._motion = 4.0
        self._missed_cut = False

    def wants(self, time_s: float) -> bool:
        """Whether the frame at `time_s` should be sampled."""
        return self._start_s is None or time_s >= self._last_s + SAMPLE_S - 1e-6

    def feed(self, time_s: float, small: PixelArray) -> Verdict:
        """Take the next sample: (36, 64, 3) uint8, at `time_s` seconds."""
        if self._start_s is None or self._last is None or self._kept is None:
            self._start_s = time_s
            self._accept(time_s, small)
            return Verdict(None, keep=True)
        step = _difference(self._last, small)
        is_cut = step > max(_CUT, _CUT_TIMES_MOTION * self._motion)
        # Cuts count too, bounded: or a film that never rests would be all cuts.
        self._motion += 0.2 * (min(step, 2 * _CUT) - self._motion)
        drift = _difference(self._kept, small)
        age_s = time_s - self._start_s
        if age_s < self._floor_s:
            self._missed_cut = self._missed_cut or is_cut
        elif (
            is_cut
            or (drift > _DRIFT and age_s >= _DRIFT_AGE_S)
            or (self._missed_cut and drift > _CUT)
            or (age_s >= self._ceiling_s)
        ):
            gap_s = time_s - self._last_s
            # The cut lies between two samples, unless frames are rare: then the old one stood.
            cut_s = time_s - gap_s / 2 if gap_s <= 2 * SAMPLE_S else time_s
            cut_s = max(cut_s, self._start_s + self._floor_s)
            ended = Span(self._start_s, cut_s)
            self._start_s = cut_s
            self._accept(time_s, small)
            return Verdict(ended, keep=True)
        self._last_s, self._last = time_s, small
        if self._is_settled:
            return Verdict(None, keep=False)
        self._is_settled = age_s >= self._settle_s and float(small.std()) > _PLAIN
        # Until then the latest is the best there is, but a picture is not given up for a plain one.
        if self._is_settled or float(small.std()) >= float(self._kept.std()):
            self._kept = small
            return Verdict(None, keep=True)
        return Verdict(None, keep=False)

    def finish(self, end_s: float) -> Span | None:
        """The last shot, which ends with the video at `end_s`; None if nothing came."""
        if self._start_s is None:
            return None
        return Span(self._start_s, max(end_s, self._last_s, self._start_s + 0.001))

    def _accept(self, time_s: float, small: PixelArray) -> None:
        self._last_s, self._last, self._kept = time_s, small, small
        self._is_settled = False
        self._missed_cut = False


def _difference(a: PixelArray, b: PixelArray) -> float:
    import numpy as np

    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())
