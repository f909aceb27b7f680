"""Sentence encoders of transformers: E5, Qwen3-Embedding, BGE and their like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.networks import open_tower
from mmsearch.encoders.stored_model import StoredEncoder, make_space, require_stored_model
from mmsearch.encoders.text.text_tokens import StoredTokenizer
from mmsearch.encoders.text_batching import TOKENS, batch_by_length, pad_token_rows, truncate_ids
from mmsearch.runtime.concurrency import LazyValues
from mmsearch.runtime.device import resolve_device

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.model_card import StoredModel
    from mmsearch.models.presets import ModelSpec
    from mmsearch.runtime.network import Network
    from mmsearch.types import FloatArray

TOWER = "text"


class SentenceEncoder(StoredEncoder):
    """A sentence encoder from the store; `source` is a hub repository or a folder.

    Many were trained with a mark on queries and another on passages ('query: ', 'passage: '), which
    are put before each text. The network is opened with the first text. Safe to
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

    def __init__(
        self,
        stored: StoredModel,
        open_network: Callable[[], Network],
        *,
        open_on_gpu: Callable[[], Network] | None = None,
    ) -> None:
        """`open_on_gpu` opens the network for passages, if it is another."""
        settings = stored.card.settings
        self.space = make_space(self.kind, stored)
        self.query_prefix = str(settings["query_prefix"])
        self.passage_prefix = str(settings["passage_prefix"])
        self.max_tokens = int(settings["max_tokens"]) - int(settings["own_tokens"])
        """Of the text alone, without special tokens and prefix."""
        self._limit = int(settings["max_tokens"])
        self._pad_id = int(settings["pad_id"])
        self._end_tokens = int(settings["end_tokens"])
        self._tokens = StoredTokenizer(stored.folder)
        self._open = {"queries": open_network, "passages": open_on_gpu or open_network}
        self._is_shared = open_on_gpu is None
        self._opened = LazyValues()

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> SentenceEncoder:
        """Loads a model of the store; raises WeightsMissing or WeightsMismatch."""
        stored = require_stored_model(spec, context)
        device = resolve_device(context.device).device
        return cls(
            stored,
            lambda: open_tower(stored, TOWER, context.for_queries),
            open_on_gpu=None
            if device.kind == "cpu"
            else lambda: open_tower(stored, TOWER, context),
        )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text, without special tokens and prefix."""
        return self._tokens.count_tokens(texts) if texts else []

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, dim) float32 with unit rows for passages, cut to `max_tokens`."""
        return self._encode([self.passage_prefix + text for text in texts], "passages")

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, dim) float32 with unit rows for queries."""
        return self._encode([self.query_prefix + text for text in texts], "queries")

    def _encode(self, texts: Sequence[str], purpose: str) -> FloatArray:
        # A tokenizer without special tokens returns no ids for an empty text.
        rows = [row or [self._pad_id] for row in self._tokens.encode(texts)]
        ids = [truncate_ids(row, self._limit, last=self._end_tokens) for row in rows]
        name = "queries" if self._is_shared else purpose
        network = self._opened.get(name, self._open[name])
        vectors = np.empty((len(ids), self.space.dim), dtype=np.float32)
        for batch in batch_by_length([len(row) for row in ids], tokens=TOKENS):
            inputs = pad_token_rows([ids[i] for i in batch], pad_id=self._pad_id)
            (vectors[batch],) = network.run(inputs)
        return vectors
