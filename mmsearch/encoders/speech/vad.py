"""Voice activity detection: removes silence from samples, and maps times back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.types import SampleArray

SAMPLE_RATE_HZ = 16_000
WINDOW_S = 30.0
"""The length of sound that Whisper takes at once."""

MIN_SILENCE_MS = 2000
PAD_MS = 400
"""As in faster-whisper's sequential mode, so that one window gives the same text. With its
settings for batches (160 ms) nothing was gained, with 500 and 200 ms a fifth more windows."""

FLOOR_DB = -120.0


@dataclass(frozen=True, slots=True)
class SpeechRegions:
    """The parts of a recording in which somebody speaks, as (start, end) in samples, ascending."""

    parts: tuple[tuple[int, int], ...]

    @classmethod
    def detect(cls, samples: SampleArray) -> SpeechRegions:
        """Runs Silero's network, which comes with faster-whisper; no part is over one window."""
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        if not len(samples):
            return cls(())
        options = VadOptions(
            min_silence_duration_ms=MIN_SILENCE_MS,
            speech_pad_ms=PAD_MS,
            max_speech_duration_s=WINDOW_S,
        )
        parts = get_speech_timestamps(samples, options)
        return cls(tuple((part["start"], part["end"]) for part in parts))

    def extract(self, samples: SampleArray) -> SampleArray:
        """Concatenates the parts to (n,) float32, without the silence between them."""
        parts = [samples[start:end] for start, end in self.parts]
        return np.concatenate(parts) if parts else samples[:0]

    def make_windows(self) -> list[Span]:
        """Groups the parts into windows of the model, in seconds of the concatenated parts.

        A window has as many whole parts as fit into 30 s, so that no word is cut.
        """
        lengths = [end - start for start, end in self.parts]
        bounds = [0]
        for end, length in zip(accumulate(lengths), lengths, strict=True):
            if end - bounds[-1] > WINDOW_S * SAMPLE_RATE_HZ and end - length > bounds[-1]:
                bounds.append(end - length)
        bounds.append(sum(lengths))
        return [
            Span(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)
            for start, end in pairwise(bounds)
            if end > start
        ]

    def map_to_original(self, span: Span) -> Span:
        """Maps a span of the concatenated parts to the recording."""
        return Span(
            self._map_time(span.start_s, is_end=False), self._map_time(span.end_s, is_end=True)
        )

    def _map_time(self, time_s: float, *, is_end: bool) -> float:
        starts = [0, *accumulate(end - start for start, end in self.parts)]
        sample = time_s * SAMPLE_RATE_HZ
        # Between two parts an end belongs to the former, a start to the latter.
        after = bisect_left(starts, sample) if is_end else bisect_right(starts, sample)
        index = min(max(after - 1, 0), len(self.parts) - 1)
        return (self.parts[index][0] + sample - starts[index]) / SAMPLE_RATE_HZ


def find_untranscribed(
    windows: Sequence[Span], ends_s: Sequence[float], *, least_s: float
) -> list[Span]:
    """Returns the rests of windows after the last words transcribed in them.

    Whisper leaves a sentence that a window cuts off unfinished, for the next window; a batch has
    none. `ends_s` are the ends of all transcribed segments. A window without any is silent, and so
    is a rest below `least_s`.
    """
    rests = []
    for window in windows:
        inside = [end for end in ends_s if window.start_s < end <= window.end_s]
        if inside and window.end_s - max(inside) >= least_s:
            rests.append(Span(max(inside), window.end_s))
    return rests


def measure_level_db(samples: SampleArray) -> float:
    """Computes the root mean square of samples in decibels of full scale; -120 for silence."""
    if not len(samples):
        return FLOOR_DB
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(FLOOR_DB, 10.0 * float(np.log10(max(power, 1e-12))))
