"""CLAP: sounds, and words that name them, in one space (Wu et al., ICASSP 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.audio.mel import MelFrontEnd, MelSettings
from mmsearch.encoders.networks import open_tower
from mmsearch.encoders.stored_model import logit_scale, space_of, stored_model
from mmsearch.encoders.text.text_tokens import TextTokens
from mmsearch.encoders.text_batching import by_length, cut, padded
from mmsearch.runtime.concurrency import Once

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.models.presets import ModelSpec
    from mmsearch.runtime.network import Network
    from mmsearch.types import FloatArray, SampleArray, Space

WINDOW_S = 10.0
PREPARED = 32
"""Windows whose spectrograms are held at once: 8 MB."""
OpenTower = Callable[[str], "Network"]


class ClapEncoder:
    """A `ClapModel` from the store; `source` is a hub repository or a folder.

    Nothing in it is random: a window of at most 10 s is filled up as in training, never cropped.
    Each network is opened when it is first wanted. Safe to share between threads.
    """

    kind = "sound"
    patterns = (
        "*.safetensors",
        "config.json",
        "p*processor_config.json",
        "tokenizer*",
        "vocab*",
        "merges.txt",
        "special_tokens_map.json",
    )
    packaged = ()
    is_converted = True
    window_s = WINDOW_S
    hop_s = WINDOW_S / 2
    sample_rate_hz = 48_000
    takes_words = True

    def __init__(self, stored: StoredModel, open_network: OpenTower) -> None:
        """`open_network` gives the network of the tower `audio` or `text`, wherever it runs."""
        settings = stored.card.settings
        mel = MelSettings.from_settings(settings)
        self.space = space_of("sound", stored)
        self.window_s = mel.window_s
        self.hop_s = mel.window_s / 2
        self.sample_rate_hz = mel.sample_rate_hz
        self.logit_scale = logit_scale(stored, "logit_scale_audio")
        self._front_end = MelFrontEnd(mel)
        self._tokens = TextTokens(stored.folder)
        self._max_tokens = int(settings["max_tokens"])
        self._pad_id = int(settings["pad_id"])
        self._end_tokens = int(settings["end_tokens"])
        self._open_network = open_network
        self._opened = Once()

    @staticmethod
    def repository(source: str) -> str:
        """The source itself."""
        return source

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """The space it fills; raises WeightsMissing or WeightsMismatch."""
        return space_of("sound", stored_model(spec, context))

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> ClapEncoder:
        """From the store; raises WeightsMissing or WeightsMismatch."""
        stored = stored_model(spec, context)
        where = {"audio": context, "text": context.for_queries}
        return cls(stored, lambda tower: open_tower(stored, tower, where[tower]))

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """(n, dim) float32 with unit rows, for mono windows at 48 kHz of at most 10 s."""
        parts = [np.empty((0, self.space.dim), dtype=np.float32)]
        for start in range(0, len(windows), PREPARED):
            features = self._front_end.features(windows[start : start + PREPARED])
            parts += self._network("audio").run({"features": features})
        return np.concatenate(parts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 with unit rows for words that name sounds; what is too long is cut."""
        ids = [cut(row, self._max_tokens, last=self._end_tokens) for row in self._tokens.ids(texts)]
        vectors = np.empty((len(ids), self.space.dim), dtype=np.float32)
        for batch in by_length([len(row) for row in ids]):
            rows = padded([ids[i] for i in batch], pad_id=self._pad_id)
            (vectors[batch],) = self._network("text").run(rows)
        return vectors

    def _network(self, tower: str) -> Network:
        return self._opened.get(tower, lambda: self._open_network(tower))
