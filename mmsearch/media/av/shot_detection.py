"""Detects the shots of a video in small versions of four frames a second, and of held frames."""

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
# A change without a cut, as by dissolves and pans. A long pan gives a picture in three seconds, not
# one a second.
_DRIFT = 45.0
_DRIFT_AGE_S = 3.0
# Cross-fades and encoders need a few frames before a new picture is clear.
_SETTLE_S = 0.4
# At a variable frame rate, a slide is drawn once and shown until the next change. Films of a frame
# a second are no series of slides.
_HOLD_S = 2.0
# A pixel of a sample that changed differs by more than the noise of encoders. A moved pointer
# changes a fiftieth of all at most, another title on a slide a thirtieth.
_CHANGED_BY = 10
_CHANGED_SHARE = 0.03
# Standard deviation of the values: below it a frame is black, white or a plain title.
_PLAIN = 6.0


@dataclass(frozen=True, slots=True)
class ShotUpdate:
    """The shot that ended with a sample, if any.

    `is_best` means that this frame is now the best picture of the current shot.
    """

    ended_shot: Span | None
    is_best: bool


class FrameChoice:
    """Chooses the picture of a shot: the first sample after its beginning that is not plain.

    Until then, the latest sample that is no plainer than the one before.
    """

    def __init__(self, start_s: float, *, floor_s: float) -> None:
        self._start_s = start_s
        self._settle_s = min(_SETTLE_S, floor_s / 2)
        self.sample: PixelArray | None = None
        self.is_settled = False

    def consider(self, time_s: float, small: PixelArray) -> bool:
        """Takes the next sample, (36, 64, 3) uint8; returns True if it is now the picture."""
        if self.is_settled:
            return False
        if self.sample is None:
            self.sample = small
            return True
        self.is_settled = time_s - self._start_s >= self._settle_s and float(small.std()) > _PLAIN
        if self.is_settled or float(small.std()) >= float(self.sample.std()):
            self.sample = small
            return True
        return False

    def settle(self, small: PixelArray) -> bool:
        """Ends the choice with a sample that is shown for long; True if it becomes the picture."""
        self.is_settled = True
        if self.sample is not None and not shows_change(self.sample, small):
            return False
        self.sample = small
        return True


class ShotDetector:
    """Cuts a stream of samples into shots.

    At most one shot begins in `floor_s` seconds, and at least one in `ceiling_s`, except where
    frames are rare and nothing changes. The picture of a shot depends only on its own samples, so
    that `mmsearch.media.av.clip_reader` finds it again.
    """

    def __init__(self, *, floor_s: float, ceiling_s: float) -> None:
        self._floor_s = floor_s
        self._ceiling_s = max(ceiling_s, floor_s)
        self._start_s: float | None = None
        self._last_s = 0.0
        self._last: PixelArray | None = None
        self._choice = FrameChoice(0.0, floor_s=floor_s)
        self._motion = 4.0
        self._missed_cut = False
        self._has_rare_frames = False

    def needs_sample(self, time_s: float) -> bool:
        """Returns True if the frame at `time_s` should be sampled."""
        return self._start_s is None or is_due(time_s, self._last_s)

    def feed(self, time_s: float, small: PixelArray) -> ShotUpdate:
        """Takes the next sample, (36, 64, 3) uint8, at `time_s` seconds."""
        kept = self._choice.sample
        if self._start_s is None or self._last is None or kept is None:
            self._begin(time_s, time_s, small)
            return ShotUpdate(None, is_best=True)
        step = _measure_difference(self._last, small)
        is_cut = step > max(_CUT, _CUT_TIMES_MOTION * self._motion)
        # Cuts count too, bounded: otherwise a restless film would be all cuts.
        self._motion += 0.2 * (min(step, 2 * _CUT) - self._motion)
        drift = _measure_difference(kept, small)
        age_s = time_s - self._start_s
        self._has_rare_frames = self._has_rare_frames or _are_rare(self._last_s, time_s)
        if age_s < self._floor_s:
            self._missed_cut = self._missed_cut or is_cut
        elif (
            is_cut
            or (drift > _DRIFT and age_s >= _DRIFT_AGE_S)
            or (self._missed_cut and drift > _CUT)
            or (
                age_s >= self._ceiling_s
                and (shows_change(kept, small) or not self._has_rare_frames)
            )
        ):
            cut_s = max(locate_cut(self._last_s, time_s), self._start_s + self._floor_s)
            ended_shot = Span(self._start_s, cut_s)
            self._begin(cut_s, time_s, small)
            return ShotUpdate(ended_shot, is_best=True)
        self._last_s, self._last = time_s, small
        return ShotUpdate(None, is_best=self._choice.consider(time_s, small))

    def hold(self) -> ShotUpdate:
        """States that the last sample is shown for long (`is_long_hold`).

        If it differs from the picture of its shot it begins another, or in the first `floor_s`
        seconds becomes that picture.
        """
        if self._last is None or self._start_s is None or self._choice.sample is None:
            return ShotUpdate(None, is_best=False)
        is_old = self._last_s - self._start_s >= self._floor_s
        if not is_old or not shows_change(self._choice.sample, self._last):
            return ShotUpdate(None, is_best=self._choice.settle(self._last))
        ended_shot = Span(self._start_s, self._last_s)
        self._begin(self._last_s, self._last_s, self._last)
        self._choice.settle(self._last)
        return ShotUpdate(ended_shot, is_best=True)

    def finish(self, end_s: float) -> Span | None:
        """Returns the last shot, which ends with the video at `end_s`; None without frames."""
        if self._start_s is None:
            return None
        return Span(self._start_s, max(end_s, self._last_s, self._start_s + 0.001))

    def _begin(self, start_s: float, time_s: float, small: PixelArray) -> None:
        self._start_s = start_s
        self._last_s, self._last = time_s, small
        self._choice = FrameChoice(start_s, floor_s=self._floor_s)
        self._choice.consider(time_s, small)
        self._missed_cut = False
        self._has_rare_frames = False


def is_due(time_s: float, last_s: float) -> bool:
    """Returns True if the frame at `time_s` is the next sample after the one at `last_s`."""
    return time_s >= last_s + SAMPLE_S - 1e-6


def is_held(time_s: float, next_s: float) -> bool:
    """Returns True if a frame is shown beyond its next sample: then it is a sample itself."""
    return next_s > time_s + SAMPLE_S + 1e-6


def is_long_hold(time_s: float, next_s: float) -> bool:
    """Returns True if a frame is shown so long that it deserves to be the picture of a shot."""
    return next_s >= time_s + _HOLD_S - 1e-6


def shows_change(a: PixelArray, b: PixelArray) -> bool:
    """Returns True if two samples differ by more than a moved pointer."""
    import numpy as np

    differences = np.abs(a.astype(np.int16) - b.astype(np.int16)).max(axis=2)
    return float((differences > _CHANGED_BY).mean()) > _CHANGED_SHARE


def locate_cut(last_s: float, time_s: float) -> float:
    """Returns the time of a cut between two samples: half way, or the later one for rare frames."""
    return time_s if _are_rare(last_s, time_s) else time_s - (time_s - last_s) / 2


def _are_rare(last_s: float, time_s: float) -> bool:
    return time_s - last_s > 2 * SAMPLE_S


def _measure_difference(a: PixelArray, b: PixelArray) -> float:
    import numpy as np

    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())
