"""Resamples the decoded sound of a file to mono blocks at one or more rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmsearch.media.av.timeline import Timeline
from mmsearch.media.base import SAMPLE_RATE_HZ, AudioBlock

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

    from mmsearch.types import FloatArray, SampleArray

# A shorter gap is a wobble of the stamps.
_GAP_S = 0.1
# A longer gap is a recorder that stopped: nothing is inserted.
_MAX_FILLED_GAP_S = 60.0
# The silence inserted in one track at most: joined recordings can have endless gaps.
_MAX_SILENCE_S = 7200.0
# Channels whose mean has less than this part of their power are upside down to each other.
_CANCELLED = 0.1
# And with more than this part they no longer are.
_RESTORED = 0.3
# The time after which sound has half its weight in that comparison.
_HALF_LIFE_S = 0.05
# Outside this range a header is wrong, and a byte could become an hour.
_RATES_HZ = range(1000, 6_000_001)

_MAX_PLANES = 8
_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


class SoundTrack:
    """Turns decoded frames into blocks of each rate.

    Gaps between time stamps are filled with silence, so that blocks keep the times of the file; the
    block after a gap of over a minute starts later instead. Stamps up to `stated_end_s` are
    believed, however far they jump. Each rate is resampled from the source, independent of the
    other rates. Of two channels that cancel each other out, one is used.
    """

    def __init__(
        self,
        *,
        block_s: float,
        origin_s: float,
        rates_hz: Sequence[int] = (SAMPLE_RATE_HZ,),
        stated_end_s: float = 0.0,
    ) -> None:
        self._balance = _StereoBalance()
        self._tracks = [
            _Track(rate, block_s=block_s, timeline=Timeline(origin_s, stated_end_s=stated_end_s))
            for rate in dict.fromkeys(rates_hz)
        ]

    @property
    def end_s(self) -> float:
        """End of the sound so far, in seconds from the start of the file."""
        return self._tracks[0].end_s

    @property
    def is_empty(self) -> bool:
        """True if no sound has come so far."""
        return self._tracks[0].is_empty

    def feed(self, frame: AudioFrame) -> Iterator[AudioBlock]:
        """Takes a decoded frame; yields each block that it completes."""
        if frame.samples <= 0 or frame.sample_rate not in _RATES_HZ:
            return
        stamp_s = frame.time if frame.pts is not None else None
        # Bad stamps would make the filter graph of the resampler fail.
        frame.pts = None
        if self._balance.is_cancelled(frame):
            frame = _average_channels(frame, 1)
        yield from _interleave([track.feed(frame, stamp_s) for track in self._tracks])

    def finish(self) -> Iterator[AudioBlock]:
        """Yields the remaining blocks after the last frame."""
        yield from _interleave([track.finish() for track in self._tracks])


def _interleave(streams: list[Iterator[AudioBlock]]) -> Iterator[AudioBlock]:
    """Yields a block of each stream in turn, so that none runs ahead."""
    while streams:
        for stream in list(streams):
            block = next(stream, None)
            if block is None:
                streams.remove(stream)
            else:
                yield block


class _Track:
    """The sound track at one rate."""

    def __init__(self, rate_hz: int, *, block_s: float, timeline: Timeline) -> None:
        self._rate_hz = rate_hz
        self._block_samples = max(1, round(block_s * rate_hz))
        self._timeline = timeline
        self._resampler: AudioResampler | None = None
        self._layout: tuple[str, str, int] | None = None
        self._is_nameless = False
        self._pieces: list[SampleArray] = []
        self._pending_count = 0
        self._silence_s = 0.0
        self._start_s: float | None = None
        # Since the start or the last gap that was not filled.
        self._sample_count = 0
        self.is_empty = True

    @property
    def end_s(self) -> float:
        return (self._start_s or 0.0) + self._sample_count / self._rate_hz

    def feed(self, frame: AudioFrame, stamp_s: float | None) -> Iterator[AudioBlock]:
        layout = (frame.format.name, frame.layout.name, frame.sample_rate)
        if layout != self._layout:
            # Broadcasts change from stereo to 5.1 in the middle.
            yield from self._drain()
            self._layout = layout
            self._is_nameless = False
        yield from self._fill_gap(stamp_s)
        if self._resampler is None:
            self._resampler = _make_resampler(self._rate_hz)
        if self._is_nameless:
            frame = _average_channels(frame)
        try:
            resampled = self._resampler.resample(frame)
        except (ValueError, OSError):
            if self._is_nameless:
                raise
            # FFmpeg has no downmix for a layout without a name, of 18 channels say.
            self._is_nameless = True
            self._resampler = _make_resampler(self._rate_hz)
            resampled = self._resampler.resample(_average_channels(frame))
        yield from self._append_frames(resampled)

    def finish(self) -> Iterator[AudioBlock]:
        """Yields what is pending."""
        yield from self._drain()
        if self._pending_count:
            yield self._take_block(self._pending_count)

    def _drain(self) -> Iterator[AudioBlock]:
        if self._resampler is not None:
            resampler, self._resampler = self._resampler, None
            yield from self._append_frames(resampler.resample(None))

    def _fill_gap(self, stamp_s: float | None) -> Iterator[AudioBlock]:
        """Fills the gap between the last sample and the stamp with silence, a block at a time.

        A long gap ends the block instead, and the next one starts after it.
        """
        import numpy as np

        time_s = self._timeline.advance(stamp_s, self.end_s)
        if self._start_s is None:
            self._start_s = time_s
            return
        gap_s = time_s - self.end_s
        if gap_s <= _GAP_S:
            return
        if gap_s > _MAX_FILLED_GAP_S or self._silence_s + gap_s > _MAX_SILENCE_S:
            yield from self.finish()
            self._start_s, self._sample_count = max(time_s, self.end_s), 0
            return
        self._silence_s += gap_s
        missing = math.floor(gap_s * self._rate_hz)
        while missing:
            count = min(missing, self._block_samples)
            missing -= count
            self._push(np.zeros(count, dtype=np.float32))
            yield from self._take_full_blocks()

    def _append_frames(self, frames: list[AudioFrame]) -> Iterator[AudioBlock]:
        import numpy as np

        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.float32)
            samples /= 32768.0
            self._push(samples)
        yield from self._take_full_blocks()

    def _push(self, samples: SampleArray) -> None:
        self._pieces.append(samples)
        self._pending_count += len(samples)
        self._sample_count += len(samples)
        self.is_empty = False

    def _take_full_blocks(self) -> Iterator[AudioBlock]:
        while self._pending_count >= self._block_samples:
            yield self._take_block(self._block_samples)

    def _take_block(self, count: int) -> AudioBlock:
        import numpy as np

        joined = np.concatenate(self._pieces)
        start_s = (self._start_s or 0.0) + (
            self._sample_count - self._pending_count
        ) / self._rate_hz
        self._pieces = [joined[count:]] if len(joined) > count else []
        self._pending_count -= count
        return AudioBlock(joined[:count].copy(), start_s, self._rate_hz)


def _make_resampler(rate_hz: int) -> AudioResampler:
    from av import AudioResampler

    # With floats, FFmpeg sums channels beyond full scale; with integers it weighs them.
    return AudioResampler(format="s16", layout="mono", rate=rate_hz)


class _StereoBalance:
    """Tells if the two channels of a track have cancelled each other out of late."""

    def __init__(self) -> None:
        self._mean_power = 0.0
        self._power = 0.0
        self._is_cancelled = False

    def is_cancelled(self, frame: AudioFrame) -> bool:
        """Takes a frame; tests if the mean of its channels is nearly silent, and they are not."""
        import numpy as np

        if frame.layout.nb_channels != 2:
            return False
        left, right = _read_channels(frame, 2)
        memory = 0.5 ** (frame.samples / frame.sample_rate / _HALF_LIFE_S)
        mean_power = float(np.mean(np.square(left + right))) / 4 * frame.samples
        power = float(np.mean(np.square(left)) + np.mean(np.square(right))) / 2 * frame.samples
        if not math.isfinite(power):
            return False
        self._mean_power = memory * self._mean_power + mean_power
        self._power = memory * self._power + power
        part = _RESTORED if self._is_cancelled else _CANCELLED
        self._is_cancelled = self._mean_power < part * self._power
        return self._is_cancelled


def _read_channels(frame: AudioFrame, count: int) -> FloatArray:
    """Returns (at most `count`, n) float32 of the first channels, in [-1, 1]."""
    import numpy as np

    dtype = np.dtype(_DTYPES[frame.format.name.removesuffix("p")])
    channels = max(1, frame.layout.nb_channels)
    if frame.format.is_planar:
        # PyAV 18 crashes in `to_ndarray` where a planar frame has more than eight channels.
        planes = frame.planes[: min(channels, count)]
        rows = [np.frombuffer(memoryview(plane), dtype, count=frame.samples) for plane in planes]
        values = np.stack(rows).astype(np.float32)
    else:
        packed = np.frombuffer(memoryview(frame.planes[0]), dtype, count=frame.samples * channels)
        values = packed.reshape(-1, channels)[:, :count].T.astype(np.float32)
    if dtype.kind in "iu":
        half = np.float32(2.0 ** (8 * dtype.itemsize - 1))
        values = (values - (half if dtype.kind == "u" else 0)) / half
    return np.asarray(values, dtype=np.float32)


def _average_channels(frame: AudioFrame, count: int = _MAX_PLANES) -> AudioFrame:
    """Returns the mean of at most the first `count` channels, as float."""
    import numpy as np
    from av import AudioFrame as Frame

    mean = _read_channels(frame, count).mean(axis=0, dtype=np.float64)
    wave = np.asarray(np.nan_to_num(mean, nan=0.0, posinf=1.0, neginf=-1.0), dtype=np.float32)
    mono = Frame.from_ndarray(np.ascontiguousarray(wave[None]), "flt", "mono")
    mono.sample_rate = frame.sample_rate
    return mono
