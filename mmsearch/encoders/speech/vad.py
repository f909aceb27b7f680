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

MIN_SILENCE_S = 2.0
PAD_S = 0.4
"""As in faster-whisper's sequential mode, so that one window gives the same text. With its
settings for batches (160 ms) nothing was gained, with 500 and 200 ms a fifth more windows."""

MIN_GAP_MS = 250
"""Longer than the stop inside a word, so that a word lies in one stretch of voice."""

FLOOR_DB = -120.0


@dataclass(frozen=True, slots=True)
class SpeechRegions:
    """The parts of a recording in which somebody speaks, as (start, end) in samples, ascending.

    `voices` are the stretches of voice in the parts, without the silence that is left around and
    between them.
    """

    parts: tuple[tuple[int, int], ...]
    voices: tuple[tuple[int, int], ...] = ()

    @classmethod
    def detect(cls, samples: SampleArray) -> SpeechRegions:
        """Runs Silero's network, which comes with faster-whisper; no part is over one window."""
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        if not len(samples):
            return cls(())
        options = VadOptions(
            min_silence_duration_ms=MIN_GAP_MS,
            speech_pad_ms=0,
            max_speech_duration_s=WINDOW_S - 2 * PAD_S,
        )
        found = get_speech_timestamps(samples, options)
        return cls.from_voices([(each["start"], each["end"]) for each in found], len(samples))

    @classmethod
    def from_voices(cls, voices: Sequence[tuple[int, int]], sample_count: int) -> SpeechRegions:
        """Joins stretches of voice over short silence to parts, with some silence around them."""
        longest = int((WINDOW_S - 2 * PAD_S) * SAMPLE_RATE_HZ)
        joined: list[tuple[int, int]] = []
        for start, end in voices:
            if (
                joined
                and start - joined[-1][1] < MIN_SILENCE_S * SAMPLE_RATE_HZ
                and end - joined[-1][0] <= longest
            ):
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        pad = int(PAD_S * SAMPLE_RATE_HZ)
        middles = [(one[1] + following[0]) // 2 for one, following in pairwise(joined)]
        parts = zip(joined, [0, *middles], [*middles, sample_count], strict=True) if joined else ()
        padded = [
            (max(start - pad, earliest), min(end + pad, latest))
            for (start, end), earliest, latest in parts
        ]
        return cls(tuple(padded), tuple(voices))

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

    def map_word(self, span: Span, *, begins: bool = False, ends: bool = False) -> Span:
        """Maps a word of the concatenated parts to the stretch of voice that holds it.

        The model draws words at a pause out over the silence, and into the part beyond it. Of two
        parts, a word that only `begins` a sentence lies in the later one, a word that only `ends`
        one in the earlier; any other where most of its voice is. Without any voice in it, the word
        keeps the silence of that part.
        """
        starts = self._list_starts()
        begin, end = span.start_s * SAMPLE_RATE_HZ, span.end_s * SAMPLE_RATE_HZ
        first = self._find_part(starts, begin, is_end=False)
        last = max(first, self._find_part(starts, end, is_end=True))
        stretches: dict[int, tuple[float, float]] = {}
        voices: dict[int, tuple[float, float]] = {}
        for index in range(first, last + 1):
            part_start, part_end = self.parts[index]
            offset = part_start - starts[index]
            start = min(max(begin + offset, part_start), part_end)
            stretches[index] = stretch = (start, max(start, min(end + offset, part_end)))
            if overlaps := [_intersect(stretch, voice) for voice in self._find_voices(*stretch)]:
                voices[index] = max(overlaps, key=_measure_length)
        found = voices or stretches
        if begins and not ends:
            start, end = found[max(found)]
        elif ends and not begins:
            start, end = found[min(found)]
        else:
            start, end = max(found.values(), key=_measure_length)
        return Span(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)

    def _find_voices(self, start: float, end: float) -> Sequence[tuple[int, int]]:
        """Returns the stretches of voice that overlap an interval in samples."""
        first = bisect_right(self.voices, start, key=lambda voice: voice[1])
        last = bisect_left(self.voices, end, key=lambda voice: voice[0])
        return self.voices[first:last]

    def _list_starts(self) -> list[int]:
        return [0, *accumulate(end - start for start, end in self.parts)]

    def _find_part(self, starts: Sequence[int], sample: float, *, is_end: bool) -> int:
        # Between two parts an end belongs to the former, a start to the latter.
        after = bisect_left(starts, sample) if is_end else bisect_right(starts, sample)
        return min(max(after - 1, 0), len(self.parts) - 1)

    def _map_time(self, time_s: float, *, is_end: bool) -> float:
        starts = self._list_starts()
        sample = time_s * SAMPLE_RATE_HZ
        index = self._find_part(starts, sample, is_end=is_end)
        start, end = self.parts[index]
        return min(start + sample - starts[index], end) / SAMPLE_RATE_HZ


def _intersect(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return max(one[0], other[0]), min(one[1], other[1])


def _measure_length(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


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
