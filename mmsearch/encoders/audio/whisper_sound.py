"""The sound encoder `whisper-sound`: states of Whisper's encoder, pooled over a fixed window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.speech.transcriber import TINY_EN
from mmsearch.encoders.speech.whisper import open_packaged_whisper
from mmsearch.encoders.unit_rows import normalize_rows
from mmsearch.errors import ConfigError
from mmsearch.types import Space, Span, WeightFile

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.presets import ModelSpec
    from mmsearch.types import FloatArray, SampleArray

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_S = 100
STATISTICS = "models/data/mini/sound.npz"
SOUND_SPACE = Space(
    name="sound",
    dim=768,
    metric="cosine",
    model="openai/whisper-tiny.en encoder",
    revision="mean-deviation-10s",
    weights_sha256=TINY_EN["model.bin"].sha256,
    files=(WeightFile("model.bin", TINY_EN["model.bin"].sha256, 75_537_502),),
)


class WhisperSoundEncoder:
    """Mean and deviation over time of Whisper's encoder states, standardised per dimension.

    The encoder was trained on speech, yet its states tell sounds apart well enough for "more like
    this"; words cannot enter this space. The statistics come from `scripts/fit_sound.py`.
    """

    kind = "sound"
    space = SOUND_SPACE
    window_s = 10.0
    hop_s = 10.0
    sample_rate_hz = SAMPLE_RATE_HZ
    takes_words = False

    def __init__(
        self, open_whisper: Callable[[], Any], *, centre: FloatArray, scale: FloatArray
    ) -> None:
        self._open_whisper = open_whisper
        self._centre = centre
        self._scale = scale

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """Returns the space of all models of this kind."""
        del spec, context
        return cls.space

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> WhisperSoundEncoder:
        """Takes the packaged tiny.en, which the transcriber shares; opened with the first sound."""
        del spec
        return cls.from_whisper(lambda: open_packaged_whisper(context.threads or 0))

    @classmethod
    def from_whisper(cls, open_whisper: Callable[[], Any]) -> WhisperSoundEncoder:
        """Wraps a function that returns a `faster_whisper.WhisperModel` of tiny.en."""
        with resources.files("mmsearch").joinpath(STATISTICS).open("rb") as stream:
            statistics = np.load(stream, allow_pickle=False)
            centre, scale = (statistics[name].astype(np.float32) for name in ("centre", "scale"))
        return cls(open_whisper, centre=centre, scale=scale)

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """Returns (n, 768) float32 with unit rows, for mono windows of at most 10 s at 16 kHz."""
        features = np.stack([self.compute_features(window) for window in windows])
        return normalize_rows((features - self._centre) / self._scale)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Raises ConfigError: words cannot enter this space."""
        raise ConfigError(f"the sound model 'whisper-sound' takes no words ({len(texts)} given)")

    def compute_features(self, window: SampleArray) -> FloatArray:
        """Returns (768,) float32: the mean, then the deviation, over the window's own frames."""
        from ctranslate2 import StorageView

        count = int(self.window_s * SAMPLE_RATE_HZ)
        padded = np.zeros(count, dtype=np.float32)
        padded[: len(window)] = window[:count]
        frames = int(self.window_s * FRAMES_PER_S)
        whisper = self._open_whisper()
        mel = whisper.feature_extractor(padded)[:, :frames]
        batch = np.ascontiguousarray(mel[None], dtype=np.float32)
        states = np.array(whisper.model.encode(StorageView.from_array(batch)))[0]
        # Two mel frames make one state; states over the padding say nothing about the sound.
        own = max(1, min(len(states), round(len(window) / SAMPLE_RATE_HZ * FRAMES_PER_S / 2)))
        states = states[:own].astype(np.float32)
        pooled: FloatArray = np.concatenate([states.mean(axis=0), states.std(axis=0)])
        return pooled


class WindowSplitter:
    """Cuts a stream of blocks into windows on a fixed grid from its start.

    The grid does not depend on the sizes of the blocks. After a gap in the sound it begins again.
    """

    MAX_GAP_S = 0.1

    def __init__(
        self, *, window_s: float, hop_s: float, sample_rate_hz: int = SAMPLE_RATE_HZ
    ) -> None:
        self._rate = sample_rate_hz
        self._size = int(window_s * sample_rate_hz)
        self._hop = int(hop_s * sample_rate_hz)
        self._samples = np.zeros(0, dtype=np.float32)
        self._start_s: float | None = None
        self._count = 0

    def push(self, samples: SampleArray, start_s: float) -> Iterator[tuple[SampleArray, Span]]:
        """Yields the windows that this block completes."""
        if self._start_s is not None and start_s > self._end_s + self.MAX_GAP_S:
            yield from self.finish()
            self._start_s, self._count, self._samples = None, 0, self._samples[:0]
        if self._start_s is None:
            self._start_s = start_s
        self._samples = np.concatenate([self._samples, samples])
        while len(self._samples) >= self._size:
            yield self._take(self._samples[: self._size])
            self._samples = self._samples[self._hop :]

    def finish(self) -> Iterator[tuple[SampleArray, Span]]:
        """Yields the last window if it has a fifth of the length at least, or is the only one."""
        covered = self._size - self._hop if self._count else 0
        rest = len(self._samples)
        if rest > covered and (rest >= self._size // 5 or self._count == 0):
            yield self._take(self._samples)

    @property
    def _end_s(self) -> float:
        taken = self._count * self._hop + len(self._samples)
        return (self._start_s or 0.0) + taken / self._rate

    def _take(self, window: SampleArray) -> tuple[SampleArray, Span]:
        begin_s = (self._start_s or 0.0) + self._count * self._hop / self._rate
        self._count += 1
        return window, Span(begin_s, begin_s + len(window) / self._rate)
