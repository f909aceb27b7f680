"""Cuts the decoded sound of a file into blocks of 16 kHz mono."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsearch.media.base import SAMPLE_RATE_HZ, AudioBlock
from mmsearch.media.timeline import Timeline

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

    from mmsearch.types import SampleArray

# Below this, a gap is a wobble of the stamps.
_GAP_S = 0.1
# Silence that one file may be given in all: joined recordings can have gaps without end.
_MAX_SILENCE_S = 7200.0
# What resamplers and ears know: outside, a header lies, and a byte could become an hour.
_RATES_HZ = range(1000, 6_000_001)

_MAX_PLANES = 8
_DTYPES = {
    "u8": "uint8",
    "s16": "int16",
    "s32": "int32",
    "s64": "int64",
    "flt": "float32",
    "dbl": "float64",
}


class SoundTrack:
    """Collects frames and hands over blocks that follow each other without gap.

    A gap between the stamps is filled with silence, so that the times of the blocks stay those of
    the file.
    """

    def __init__(self, *, block_s: float, origin_s: float) -> None:
        self._block_samples = max(1, round(block_s * SAMPLE_RATE_HZ))
        self._timeline = Timeline(origin_s)
        self._resampler: AudioResampler | None = None
        self._layout: tuple[str, str, int] | None = None
        self._is_nameless = False
        self._pieces: list[SampleArray] = []
        self._held = 0
        self._silence_s = 0.0
        self._start_s: float | None = None
        self._samples = 0

    @property
    def end_s(self) -> float:
        """Seconds from the start of the file to the end of what was fed."""
        return (self._start_s or 0.0) + self._samples / SAMPLE_RATE_HZ

    @property
    def is_empty(self) -> bool:
        """Whether no sound has come so far."""
        return self._samples == 0

    def feed(self, frame: AudioFrame) -> Iterator[AudioBlock]:
        """Take one decoded frame; yields each block that it completes."""
        if frame.samples <= 0 or frame.sample_rate not in _RATES_HZ:
            return
        layout = (frame.format.name, frame.layout.name, frame.sample_rate)
        if layout != self._layout:
            # Broadcasts change from stereo to 5.1 in the middle.
            yield from self._drain()
            self._layout = layout
            self._is_nameless = False
        stamp_s = frame.time if frame.pts is not None else None
        self._follow(stamp_s)
        # The filter behind the resampler must not see stamps that it would stumble over.
        frame.pts = None
        if self._resampler is None:
            self._resampler = _resampler()
        if self._is_nameless:
            frame = _averaged(frame)
        try:
            resampled = self._resampler.resample(frame)
        except (ValueError, OSError):
            if self._is_nameless:
                raise
            # A layout without a name, of 18 channels say, cannot be mixed down by the book.
            self._is_nameless = True
            self._resampler = _resampler()
            resampled = self._resampler.resample(_averaged(frame))
        yield from self._add(resampled)

    def finish(self) -> Iterator[AudioBlock]:
        """Yield the rest, once no more frames come."""
        yield from self._drain()
        if self._held:
            yield self._block(self._held)

    def _drain(self) -> Iterator[AudioBlock]:
        if self._resampler is not None:
            resampler, self._resampler = self._resampler, None
            yield from self._add(resampler.resample(None))

    def _follow(self, stamp_s: float | None) -> None:
        import numpy as np

        time_s = self._timeline.at(stamp_s, self.end_s)
        if self._start_s is None:
            self._start_s = time_s
            return
        gap_s = time_s - self.end_s
        if gap_s > _GAP_S and self._silence_s + gap_s <= _MAX_SILENCE_S:
            self._silence_s += gap_s
            self._push(np.zeros(math.floor(gap_s * SAMPLE_RATE_HZ), dtype=np.float32))

    def _add(self, frames: list[AudioFrame]) -> Iterator[AudioBlock]:
        import numpy as np

        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.float32)
            samples /= 32768.0
            self._push(samples)
        while self._held >= self._block_samples:
            yield self._block(self._block_samples)

    def _push(self, samples: SampleArray) -> None:
        self._pieces.append(samples)
        self._held += len(samples)
        self._samples += len(samples)

    def _block(self, count: int) -> AudioBlock:
        import numpy as np

        joined = np.concatenate(self._pieces)
        start_s = (self._start_s or 0.0) + (self._samples - self._held) / SAMPLE_RATE_HZ
        self._pieces = [joined[count:]] if len(joined) > count else []
        self._held -= count
        return AudioBlock(joined[:count].copy(), start_s)


def _resampler() -> AudioResampler:
    from av import AudioResampler

    # With floats, FFmpeg adds channels up to more than full scale; with integers it weighs them.
    return AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)


def _averaged(frame: AudioFrame) -> AudioFrame:
    """The mean of the first channels, as float."""
    import numpy as np
    from av import AudioFrame as Frame

    dtype = np.dtype(_DTYPES[frame.format.name.removesuffix("p")])
    channels = max(1, frame.layout.nb_channels)
    if frame.format.is_planar:
        # PyAV 18 crashes in `to_ndarray` where a planar frame has more than eight channels.
        planes = frame.planes[: min(channels, _MAX_PLANES)]
        rows = [np.frombuffer(memoryview(plane), dtype, count=frame.samples) for plane in planes]
        mean = np.mean(np.stack(rows), axis=0, dtype=np.float64)
    else:
        packed = np.frombuffer(memoryview(frame.planes[0]), dtype, count=frame.samples * channels)
        mean = packed.reshape(-1, channels).mean(axis=1, dtype=np.float64)
    if dtype.kind in "iu":
        half = 2.0 ** (8 * dtype.itemsize - 1)
        mean = (mean - (half if dtype.kind == "u" else 0.0)) / half
    wave = np.asarray(np.nan_to_num(mean, nan=0.0, posinf=1.0, neginf=-1.0), dtype=np.float32)
    mono = Frame.from_ndarray(np.ascontiguousarray(wave[None]), "flt", "mono")
    mono.sample_rate = frame.sample_rate
    return mono
