"""What a sound is like: Whisper's own encoder, pooled over a fixed window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.speech.transcriber import TINY_EN
from mmsearch.encoders.speech.whisper import packaged_whisper
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
        self, whisper: Callable[[], Any], *, centre: FloatArray, scale: FloatArray
    ) -> None:
        self._load = whisper
        self._centre = centre
        self._scale = scale

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """The space it fills."""
        del spec, context
        return cls.space

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> WhisperSoundEncoder:
        """With the packaged tiny.en, which the transcriber shares; loaded with its first sound."""
        del spec
        return cls.around(lambda: packaged_whisper(context.threads or 0))

    @classmethod
    def around(cls, whisper: Callable[[], Any]) -> WhisperSoundEncoder:
        """Around what gives a `faster_whisper.WhisperModel` of tiny.en."""
        with resources.files("mmsearch").joinpath(STATISTICS).open("rb") as stream:
            statistics = np.load(stream, allow_pickle=False)
            return cls(
                whisper,
                centre=statistics["centre"].astype(np.float32),
                scale=statistics["scale"].astype(np.float32),
            )

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """(n, 768) float32 with unit rows, for windows of at most `window_s` at 16 kHz mono."""
        features = np.stack([self.features(window) for window in windows])
        standard = (features - self._centre) / self._scale
        norms = np.linalg.norm(standard, axis=1, keepdims=True)
        unit: FloatArray = (standard / np.maximum(norms, 1e-12)).astype(np.float32)
        return unit

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Words cannot enter this space: raises ConfigError."""
        raise ConfigError(f"the sound model 'whisper-sound' takes no words ({len(texts)} given)")

    def features(self, window: SampleArray) -> FloatArray:
        """(768,) float32: the mean, then the deviation, over the window's own frames."""
        from ctranslate2 import StorageView

        count = int(self.window_s * SAMPLE_RATE_HZ)
        padded = np.zeros(count, dtype=np.float32)
        padded[: len(window)] = window[:count]
        frames = int(self.window_s * FRAMES_PER_S)
        whisper = self._load()
        mel = whisper.feature_extractor(padded)[:, :frames]
        batch = np.ascontiguousarray(mel[None], dtype=np.float32)
        states = np.array(whisper.model.encode(StorageView.from_array(batch)))[0]
        # Two mel frames make one state; states over the padding say nothing about the sound.
        own = max(1, min(len(states), round(len(window) / SAMPLE_RATE_HZ * FRAMES_PER_S / 2)))
        heard = states[:own].astype(np.float32)
        pooled: FloatArray = np.concatenate([heard.mean(axis=0), heard.std(axis=0)])
        return pooled


class WindowCutter:
    """Cuts a stream of blocks into windows on a fixed grid from its start.

    The grid depends on the sound alone, never on how it was cut into blocks.
    """

    def __init__(
        self, *, window_s: float, hop_s: float, sample_rate_hz: int = SAMPLE_RATE_HZ
    ) -> None:
        self._rate = sample_rate_hz
        self._size = int(window_s * sample_rate_hz)
        self._hop = int(hop_s * sample_rate_hz)
        self._kept = np.zeros(0, dtype=np.float32)
        self._start_s: float | None = None
        self._count = 0

    def push(self, samples: SampleArray, start_s: float) -> Iterator[tuple[SampleArray, Span]]:
        """The windows that are complete with this block."""
        if self._start_s is None:
            self._start_s = start_s
        self._kept = np.concatenate([self._kept, samples])
        while len(self._kept) >= self._size:
            yield self._take(self._kept[: self._size])
            self._kept = self._kept[self._hop :]

    def finish(self) -> Iterator[tuple[SampleArray, Span]]:
        """The last window, where it is not too short to say anything: a fifth, or the only one."""
        covered = self._size - self._hop if self._count else 0
        rest = len(self._kept)
        if rest > covered and (rest >= self._size // 5 or self._count == 0):
            yield self._take(self._kept)

    def _take(self, window: SampleArray) -> tuple[SampleArray, Span]:
        begin_s = (self._start_s or 0.0) + self._count * self._hop / self._rate
        self._count += 1
        return window, Span(begin_s, begin_s + len(window) / self._rate)
