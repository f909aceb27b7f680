"""The encoders of one library, each loaded when it is first used."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
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
        self._models: dict[str, Any] = {}
        self._loading = threading.RLock()

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of the preset, without loading a network."""
        found = (self.preset.text, self.preset.image, self.preset.sound)
        return tuple(_named(path).space for path in found)

    def space(self, name: str) -> Space:
        """The space of that name."""
        return next(space for space in self.spaces if space.name == name)

    def _once(self, name: str, load: Callable[[], Any]) -> Any:
        # Not cached_property: since Python 3.12 it lets two threads load the same model.
        if name not in self._models:
            with self._loading:
                if name not in self._models:
                    self._models[name] = load()
        return self._models[name]

    @property
    def text(self) -> TextEncoder:
        """The text encoder."""
        encoder: TextEncoder = self._once(
            "text", lambda: _named(self.preset.text).load(threads=self._threads)
        )
        return encoder

    @property
    def image(self) -> ImageEncoder:
        """The image encoder; its network is loaded with its first picture."""
        encoder: ImageEncoder = self._once(
            "image", lambda: _named(self.preset.image).load(threads=self._threads)
        )
        return encoder

    @property
    def sound_window_s(self) -> float:
        """How long a window of sound is, known without loading its network."""
        return float(_named(self.preset.sound).window_s)

    @property
    def sound_hop_s(self) -> float:
        """How far the next window is."""
        return float(_named(self.preset.sound).hop_s)

    def _whisper(self, model: str) -> Any:
        return self._once(
            f"whisper {model}", lambda: whisper_model(model, threads=self._threads or 0)
        )

    @property
    def sound(self) -> SoundEncoder:
        """The sound encoder."""
        encoder: SoundEncoder = self._once(
            "sound", lambda: _named(self.preset.sound).load(self._whisper(PACKAGED))
        )
        return encoder

    @property
    def transcriber(self) -> Transcriber:
        """The speech model; raises WeightsMissing or WeightsMismatch."""
        model = self.speech_model
        found: Transcriber = self._once(
            "transcriber", lambda: WhisperTranscriber(self._whisper(model), model=model)
        )
        return found
