"""The sound encoder `clap`: sounds and words in one space (Wu et al., ICASSP 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.audio.mel import MelFrontEnd, MelSettings
from mmsearch.encoders.networks import open_tower
from mmsearch.encoders.stored_model import (
    StoredEncoder,
    make_space,
    read_logit_scale,
    require_stored_model,
)
from mmsearch.encoders.text.text_tokens import StoredTokenizer
from mmsearch.encoders.text_batching import batch_by_length, pad_token_rows, truncate_ids
from mmsearch.runtime.concurrency import LazyValues

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.models.presets import ModelSpec
    from mmsearch.runtime.network import Network
    from mmsearch.types import FloatArray, SampleArray

WINDOW_S = 10.0
SPECTROGRAM_BATCH = 32
"""Windows whose spectrograms are held at once: 8 MB."""
OpenTower = Callable[[str], "Network"]


class ClapEncoder(StoredEncoder):
    """A `ClapModel` from the store; `source` is a hub repository or a folder.

    Nothing in it is random: a window of at most 10 s is filled up as in training, never cropped.
    Each network is opened with its first use. Safe to share between threads.
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
    window_s = WINDOW_S
    hop_s = WINDOW_S / 2
    sample_rate_hz = 48_000
    takes_words = True

    def __init__(self, stored: StoredModel, open_network: OpenTower) -> None:
        """`open_network` opens the tower `audio` or `text` on its device."""
        settings = stored.card.settings
        mel = MelSettings.from_settings(settings)
        self.space = make_space(self.kind, stored)
        self.window_s = mel.window_s
        self.hop_s = mel.window_s / 2
        self.sample_rate_hz = mel.sample_rate_hz
        self.logit_scale = read_logit_scale(stored, "logit_scale_audio")
        self._front_end = MelFrontEnd(mel)
        self._tokens = StoredTokenizer(stored.folder)
        self._max_tokens = int(settings["max_tokens"])
        self._pad_id = int(settings["pad_id"])
        self._end_tokens = int(settings["end_tokens"])
        self._open_network = open_network
        self._opened = LazyValues()

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> ClapEncoder:
        """Loads the model of the store; raises WeightsMissing or WeightsMismatch."""
        stored = require_stored_model(spec, context)
        contexts = {"audio": context, "text": context.for_queries}
        return cls(stored, lambda tower: open_tower(stored, tower, contexts[tower]))

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """Returns (n, dim) float32 with unit rows, for mono windows at 48 kHz of at most 10 s."""
        parts = [np.empty((0, self.space.dim), dtype=np.float32)]
        for start in range(0, len(windows), SPECTROGRAM_BATCH):
            features = self._front_end.compute_features(windows[start : start + SPECTROGRAM_BATCH])
            parts += self._get_network("audio").run({"features": features})
        return np.concatenate(parts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, dim) float32 with unit rows; texts that are too long are cut."""
        limit, last = self._max_tokens, self._end_tokens
        ids = [truncate_ids(row, limit, last=last) for row in self._tokens.encode(texts)]
        vectors = np.empty((len(ids), self.space.dim), dtype=np.float32)
        for batch in batch_by_length([len(row) for row in ids]):
            rows = pad_token_rows([ids[i] for i in batch], pad_id=self._pad_id)
            (vectors[batch],) = self._get_network("text").run(rows)
        return vectors

    def _get_network(self, tower: str) -> Network:
        return self._opened.get(tower, lambda: self._open_network(tower))
