"""The sound encoder `laion-clap`: CLAP from a `.pt` checkpoint of the package laion_clap.

    pip install 'mmsearch[laion]'
    pip install --no-deps laion-clap==1.1.7

Two steps, since the package asks for NumPy 1 (and for wandb, pandas and more) where mmsearch needs
NumPy 2; its networks run with NumPy 2 as well. Only these are imported, under a name of their own:
`import laion_clap` asks the hub for the tokenizers of BERT, RoBERTa and BART and unpickles a table,
its `CLAP_Module` fetches the weights of roberta-base (500 MB), which the checkpoint then replaces,
and its `load_ckpt` unpickles. Only the tokenizer of roberta-base (1.4 MB) has to be fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.audio.laion_checkpoint import read_checkpoint
from mmsearch.encoders.audio.laion_networks import Towers, find_package_folder, open_towers
from mmsearch.encoders.audio.mel import MelFrontEnd, MelSettings
from mmsearch.encoders.unit_rows import normalize_rows
from mmsearch.errors import ConfigError, ModelError, WeightsMismatch, WeightsMissing
from mmsearch.formatting import replace_surrogates
from mmsearch.models.hash_cache import HashCache
from mmsearch.models.hub import source_model
from mmsearch.runtime.concurrency import LazyValues
from mmsearch.types import Space, WeightFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mmsearch.encoders.base import Context
    from mmsearch.models.presets import ModelSpec
    from mmsearch.types import FloatArray, SampleArray

ROBERTA = "FacebookAI/roberta-base"
TOKENIZER = "tokenizer.json"
DIM = 512
SAMPLE_RATE_HZ = 48_000
WINDOW_S = 10.0
SAMPLES = int(WINDOW_S * SAMPLE_RATE_HZ)
MAX_TOKENS = 77
FUSED_MEL = MelFrontEnd(MelSettings(mel_scale="htk", padding="repeatpad", is_fused=True))
"""The input of fused networks, as torchaudio computes it; others take the samples."""


class LaionClapEncoder:
    """Embeds sounds by HTS-AT and words by RoBERTa (Wu et al., ICASSP 2023), in torch.

    The networks are opened with the first sound or words.
    """

    kind = "sound"
    window_s = WINDOW_S
    hop_s = WINDOW_S / 2
    sample_rate_hz = SAMPLE_RATE_HZ
    takes_words = True

    def __init__(
        self, space: Space, context: Context, *, checkpoint: Path, tokenizer: Path
    ) -> None:
        self.space = space
        self._checkpoint = checkpoint
        self._tokenizer = tokenizer
        self._context = context
        self._opened = LazyValues()

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """Returns the space it fills, from the checkpoint's hash alone.

        Raises ConfigError without the name of a checkpoint, WeightsMissing and WeightsMismatch.
        """
        del context
        path = _find_checkpoint(spec)
        stamps = HashCache.open(path.parent, inside=False)
        sha256 = stamps.compute_sha256(path, path.name)
        stamps.save()
        if spec.weights_sha256 not in ("", sha256):
            raise WeightsMismatch(
                f"{path} has sha256 {sha256[:12]}, but {spec.weights_sha256[:12]} was pinned or "
                f"recorded: put that file back, or index into a new library"
            )
        return Space(
            name="sound",
            dim=DIM,
            metric="cosine",
            model=path.name,
            revision="",
            weights_sha256=sha256,
            files=(WeightFile(path.name, sha256, path.stat().st_size),),
        )

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> LaionClapEncoder:
        """Finds all files; the networks are opened later.

        Raises as `describe`, MissingExtra without the package, and WeightsMissing if RoBERTa's
        tokenizer cannot be fetched.
        """
        find_package_folder()
        space = cls.describe(spec, context)
        path = _find_checkpoint(spec)
        return cls(space, context, checkpoint=path, tokenizer=_find_tokenizer(path))

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """Returns (n, 512) float32 with unit rows, for mono windows at 48 kHz.

        As in the package, samples are rounded to 16 bits, and a window of less than 10 s is
        repeated as often as it fits whole. Of a longer one the first 10 s count, not a random part.
        """
        if not windows:
            return np.empty((0, DIM), dtype=np.float32)
        towers, _ = self._open()
        rounded = [_round_to_16_bits(window[:SAMPLES]) for window in windows]
        if towers.is_fused:
            inputs = FUSED_MEL.compute_features(rounded)
        else:
            inputs = np.stack([FUSED_MEL.fill_window(row) for row in rounded]).astype(np.float32)
        (vectors,) = towers.sound.run({"sound": inputs})
        return normalize_rows(vectors)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, 512) float32 with unit rows; texts are cut to 77 tokens."""
        if not texts:
            return np.empty((0, DIM), dtype=np.float32)
        towers, tokenizer = self._open()
        encodings = tokenizer.encode_batch([replace_surrogates(text) for text in texts])
        ids = np.array([each.ids for each in encodings], dtype=np.int64)
        mask = np.array([each.attention_mask for each in encodings], dtype=np.int64)
        (vectors,) = towers.words.run({"input_ids": ids, "attention_mask": mask})
        return normalize_rows(vectors)

    def _open(self) -> tuple[Towers, Tokenizer]:
        def open_all() -> tuple[Towers, Tokenizer]:
            checkpoint = read_checkpoint(self._checkpoint)
            tokenizer = _open_tokenizer(self._tokenizer, checkpoint.words)
            return open_towers(checkpoint, self._context), tokenizer

        return self._opened.get("towers", open_all)


def _find_checkpoint(spec: ModelSpec) -> Path:
    """Returns the file of a model; raises ConfigError for no name, WeightsMissing for no file."""
    example = "--sound-model laion-clap:/path/630k-audioset-best.pt"
    if not spec.source:
        raise ConfigError(f"the sound model 'laion-clap' needs a checkpoint: {example}")
    path = Path(spec.source).expanduser().absolute()
    if not path.is_file():
        raise WeightsMissing(
            f"the checkpoint {path} is not there: copy it there, or name it where it is ({example})"
        )
    return path


def _round_to_16_bits(window: SampleArray) -> SampleArray:
    """Rounds float32 samples to 16 bits, as in the model's training."""
    levels = (np.clip(window, -1.0, 1.0) * 32767.0).astype(np.int16)
    return (levels / 32767.0).astype(np.float32)


def _find_tokenizer(checkpoint: Path) -> Path:
    """Finds RoBERTa's tokenizer beside the checkpoint or in the hub's cache, or fetches it."""
    beside = checkpoint.with_name(TOKENIZER)
    if beside.is_file():
        return beside
    try:
        return source_model.locate(ROBERTA, patterns=(TOKENIZER,)).folder / TOKENIZER
    except WeightsMissing as exc:
        raise WeightsMissing(
            f"{checkpoint.name} needs the tokenizer of {ROBERTA}, which is not on this machine and "
            f"cannot be fetched now.\n"
            f"On a machine with a network:\n"
            f"  hf download {ROBERTA} {TOKENIZER} --local-dir FOLDER\n"
            f"carry FOLDER/{TOKENIZER} over, and put it beside the checkpoint:\n"
            f"  {beside}"
        ) from exc


def _open_tokenizer(path: Path, words: int) -> Tokenizer:
    """Opens the tokenizer with truncation and padding; raises WeightsMismatch for another one."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # tokenizers raises Exception itself
        raise ModelError(f"{path} is no tokenizer ({exc}): remove it, and it is fetched") from exc
    size = tokenizer.get_vocab_size()
    special = [tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>")]
    if size != words or special != [0, 1, 2]:
        raise WeightsMismatch(
            f"{path} is not the tokenizer of this checkpoint: it has {size} tokens, not {words}, "
            f"or others than RoBERTa's; put {ROBERTA}'s {TOKENIZER} there, or remove it"
        )
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")  # noqa: S106  # no password: a token
    return tokenizer
