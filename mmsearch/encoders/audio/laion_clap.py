"""CLAP from a user's own `.pt` checkpoint of the package laion_clap, read for its tensors alone.

    pip install 'mmsearch[laion]'
    pip install --no-deps laion-clap==1.1.7

Two steps, since the package asks for NumPy 1 (and for wandb, pandas and more) where mmsearch needs
NumPy 2; its networks run with NumPy 2 as well. Of the package only these are imported, under a name
of their own: `import laion_clap` asks the hub for the tokenizers of BERT, RoBERTa and BART and
unpickles a table, its `CLAP_Module` fetches the weights of roberta-base (500 MB), which those of
the checkpoint then replace, and its `load_ckpt` unpickles. What has to be fetched is the tokenizer
of roberta-base (1.4 MB).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.audio.laion_checkpoint import read_checkpoint
from mmsearch.encoders.audio.laion_networks import Towers, open_towers, package_folder
from mmsearch.encoders.audio.mel import MelFrontEnd, MelSettings
from mmsearch.errors import ConfigError, ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models.hash_cache import Stamps
from mmsearch.models.hub import hub
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
"""What fused networks take, as the package gets it from torchaudio; others take the samples."""


class LaionClapEncoder:
    """HTS-AT for sounds and RoBERTa for words (Wu et al., ICASSP 2023), run by torch.

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
        self._lock = threading.Lock()
        self._opened: tuple[Towers, Tokenizer] | None = None

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """The space it fills, from the checkpoint's hash alone.

        Raises ConfigError where no checkpoint is named, WeightsMissing and WeightsMismatch.
        """
        del context
        path = _checkpoint_path(spec)
        stamps = Stamps.of(path.parent, inside=False)
        sha256 = stamps.sha256(path, path.name)
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
        """With all that it needs at hand; the networks are opened later.

        Raises what `describe` raises, MissingExtra without the package, and WeightsMissing where
        RoBERTa's tokenizer is not here and cannot be fetched.
        """
        package_folder()
        space = cls.describe(spec, context)
        path = _checkpoint_path(spec)
        return cls(space, context, checkpoint=path, tokenizer=_tokenizer_for(path))

    def encode(self, windows: Sequence[SampleArray]) -> FloatArray:
        """(n, 512) float32 with unit rows, for mono windows at 48 kHz.

        As the package does it: samples rounded to 16 bits, and a window of less than 10 s repeated
        as often as it fits whole. Of a longer one the first 10 s count, never a random part.
        """
        if not windows:
            return np.empty((0, DIM), dtype=np.float32)
        towers, _ = self._open()
        rounded = [_rounded(window[:SAMPLES]) for window in windows]
        prepared = FUSED_MEL.features(rounded) if towers.is_fused else _waveforms(rounded)
        (vectors,) = towers.sound.run({"sound": prepared})
        return _unit(vectors)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """(n, 512) float32 with unit rows; what goes beyond 77 tokens is cut off."""
        if not texts:
            return np.empty((0, DIM), dtype=np.float32)
        towers, tokenizer = self._open()
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        encodings = tokenizer.encode_batch(valid)
        ids = np.array([one.ids for one in encodings], dtype=np.int64)
        mask = np.array([one.attention_mask for one in encodings], dtype=np.int64)
        (vectors,) = towers.words.run({"input_ids": ids, "attention_mask": mask})
        return _unit(vectors)

    def _open(self) -> tuple[Towers, Tokenizer]:
        with self._lock:
            if self._opened is None:
                checkpoint = read_checkpoint(self._checkpoint)
                tokenizer = _open_tokenizer(self._tokenizer, checkpoint.words)
                self._opened = open_towers(checkpoint, self._context), tokenizer
            return self._opened


def _checkpoint_path(spec: ModelSpec) -> Path:
    """The file that a model names; raises ConfigError for no name, WeightsMissing for no file."""
    example = "--sound-model laion-clap:/path/630k-audioset-best.pt"
    if not spec.source:
        raise ConfigError(f"the sound model 'laion-clap' needs a checkpoint: {example}")
    path = Path(spec.source).expanduser().absolute()
    if not path.is_file():
        raise WeightsMissing(
            f"the checkpoint {path} is not there: copy it there, or name it where it is ({example})"
        )
    return path


def _rounded(window: SampleArray) -> SampleArray:
    """float32 samples as 16 bits hold them, which is what the model was trained on."""
    levels = (np.clip(window, -1.0, 1.0) * 32767.0).astype(np.int16)
    return (levels / 32767.0).astype(np.float32)


def _waveforms(windows: Sequence[SampleArray]) -> FloatArray:
    """(n, samples) float32, short windows repeated as often as they fit whole, then silence."""
    filled = np.zeros((len(windows), SAMPLES), dtype=np.float32)
    for row, window in zip(filled, windows, strict=True):
        if len(window):
            copies = SAMPLES // len(window)
            row[: copies * len(window)].reshape(copies, len(window))[:] = window
    return filled


def _unit(vectors: FloatArray) -> FloatArray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


def _tokenizer_for(checkpoint: Path) -> Path:
    """RoBERTa's tokenizer: beside the checkpoint, in the hub's cache, or fetched."""
    beside = checkpoint.with_name(TOKENIZER)
    if beside.is_file():
        return beside
    try:
        return hub.locate(ROBERTA, patterns=(TOKENIZER,)).folder / TOKENIZER
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
    """The tokenizer, cutting off and padding; raises WeightsMismatch where it is another one."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # tokenizers raises Exception itself
        raise ModelError(f"{path} is no tokenizer ({exc}): remove it, and it is fetched") from exc
    has = tokenizer.get_vocab_size()
    special = [tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>")]
    if has != words or special != [0, 1, 2]:
        raise WeightsMismatch(
            f"{path} is not the tokenizer of this checkpoint: it has {has} tokens, not {words}, or "
            f"others than RoBERTa's; put {ROBERTA}'s {TOKENIZER} there, or remove it"
        )
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")  # noqa: S106  # no password: a token
    return tokenizer
