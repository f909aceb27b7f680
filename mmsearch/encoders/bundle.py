"""The encoders of one library, each loaded when it is first used."""

from __future__ import annotations

import importlib
import threading
from functools import cached_property
from typing import Any

from mmsearch.encoders.base import ImageEncoder, SoundEncoder, TextEncoder, Transcriber
from mmsearch.encoders.speech import PACKAGED, WhisperTranscriber, whisper_model
from mmsearch.presets import Preset
from mmsearch.types import Space


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


class Encoders:
    """A preset come to life. Safe to share between threads: each model is loaded once."""

    def __init__(
        self, preset: Preset, *, speech_model: str | None = None, threads: int | None = None
    ) -> None:
        self.preset = preset
        self.speech_model = speech_model or preset.speech_model
        self._threads = threads
        self._loading = threading.RLock()

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of the preset, without loading a network."""
        found = (self.preset.text, self.preset.image, self.preset.sound)
        return tuple(_named(path).space for path in found)

    def space(self, name: str) -> Space:
        """The space of that name."""
        return next(space for space in self.spaces if space.name == name)

    @cached_property
    def text(self) -> TextEncoder:
        """The text encoder."""
        with self._loading:
            encoder: TextEncoder = _named(self.preset.text).load(threads=self._threads)
            return encoder

    @cached_property
    def image(self) -> ImageEncoder:
        """The image encoder; its network is loaded with its first picture."""
        with self._loading:
            encoder: ImageEncoder = _named(self.preset.image).load(threads=self._threads)
            return encoder

    @property
    def sound_window_s(self) -> float:
        """How long a window of sound is, known without loading its network."""
        return float(_named(self.preset.sound).window_s)

    @property
    def sound_hop_s(self) -> float:
        """How far the next window is."""
        return float(_named(self.preset.sound).hop_s)

    @cached_property
    def _packaged_whisper(self) -> Any:
        return whisper_model(PACKAGED, threads=self._threads or 0)

    @cached_property
    def sound(self) -> SoundEncoder:
        """The sound encoder."""
        with self._loading:
            encoder: SoundEncoder = _named(self.preset.sound).load(self._packaged_whisper)
            return encoder

    @cached_property
    def transcriber(self) -> Transcriber:
        """The speech model; raises WeightsMissing or WeightsMismatch."""
        with self._loading:
            if self.speech_model == PACKAGED:
                return WhisperTranscriber(self._packaged_whisper)
            whisper = whisper_model(self.speech_model, threads=self._threads or 0)
            return WhisperTranscriber(whisper, model=self.speech_model)
