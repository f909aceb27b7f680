"""Sentence encoders of transformers: E5, Qwen3-Embedding, BGE and their like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.networks import open_tower
from mmsearch.encoders.stored_model import space_of, stored_model
from mmsearch.encoders.text.text_tokens import TextTokens
from mmsearch.encoders.text_batching import TOKENS, by_length, cut, padded
from mmsearch.runtime.concurrency import Once
from mmsearch.runtime.device import resolve

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.models.presets import ModelSpec
    from mmsearch.runtime.network import Network
    from mmsearch.types import FloatArray, Space

TOWER = "text"


class SentenceEncoder:
    """A sentence encoder from the store; `source` is a hub repository or a folder.

    Many were trained with a mark on what is asked and another on what may answer ('query: ',
    'passage: '); they are put before each text. The network is opened with the first text. Safe to
    share between threads.
    """

    kind = "text"
    patterns = (
        "*.safetensors",
        "*.safetensors.index.json",
        "*.json",
        "vocab.txt",
        "merges.txt",
        "*.model",
    )
    packaged = ()
    is_converted = True

    def __init__(
        self,
        stored: StoredModel,
        open_network: Callable[[], Network],
        *,
        open_on_gpu: Callable[[], Network] | None = None,
    ) -> None:
        """`open_on_gpu` gives the network for what may answer, where it is not the same."""
        settings = stored.card.settings
        self.space = space_of("text", stored)
        self.query_prefix = str(settings["query_prefix"])
        self.passage_prefix = str(settings["passage_prefix"])
        self.max_tokens = int(settings["max_tokens"]) - int(settings["own_tokens"])
        """Of the text alone, without special tokens and prefix."""
        self._limit = int(settings["max_tokens"])
        self._pad_id = int(settings["pad_id"])
        self._end_tokens = int(settings["end_tokens"])
        self._tokens = TextTokens(stored.folder)
        self._open = {"queries": open_network, "passages": open_on_gpu or open_network}
        self._is_shared = open_on_gpu is None
        self._opened = Once()

    @staticmethod
    def repository(source: str) -> str:
        """The source itself."""
        return source

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """The space it fills; raises WeightsMissing or WeightsMismatch."""
        return space_of("text", stored_model(spec, context))

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> SentenceEncoder:
        """From the store; raises WeightsMissing or WeightsMismatch."""
        stored = stored_model(spec, context)
        device = resolve(context.device).device
        return cls(
            stored,
            lambda: open_tower(stored, TOWER, context.for_queries),
            open_on_gpu=None
            if device.kind == "cpu"
            else lambda: open_tower(stored, TOWER, context),
        )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text takes, without special tokens and prefix."""
        return self._tokens.counts(texts) if texts else []

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 with unit rows, for what may answer; beyond `max_tokens` it is cut."""
        return self._encode([self.passage_prefix + text for text in texts], "passages")

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32 with unit rows, for what is asked."""
        return self._encode([self.query_prefix + text for text in texts], "queries")

    def _encode(self, texts: Sequence[str], what: str) -> FloatArray:
        # A tokenizer without special tokens makes nothing of an empty text.
        rows = [row or [self._pad_id] for row in self._tokens.ids(texts)]
        ids = [cut(row, self._limit, last=self._end_tokens) for row in rows]
        vectors = np.empty((len(ids), self.space.dim), dtype=np.float32)
        for batch in by_length([len(row) for row in ids], tokens=TOKENS):
            inputs = padded([ids[i] for i in batch], pad_id=self._pad_id)
            (vectors[batch],) = self._network(what).run(inputs)
        return vectors

    def _network(self, what: str) -> Network:
        name = "queries" if self._is_shared else what
        return self._opened.get(name, self._open[name])
