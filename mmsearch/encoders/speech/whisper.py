"""Which Whisper transcribes: the packaged tiny.en, or a faster-whisper model from the store."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.encoders.speech import transcriber
from mmsearch.encoders.stored_model import provenance_of, stored_model
from mmsearch.models.weights import weights_sha256
from mmsearch.runtime.device import resolve
from mmsearch.types import Provenance, WeightFile

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.presets import ModelSpec


class FasterWhisper:
    """Speech through faster-whisper; `source` is a size, a hub repository or a folder."""

    kind = "speech"
    patterns = transcriber.PATTERNS
    packaged = (transcriber.PACKAGED,)
    is_converted = False

    @staticmethod
    def repository(source: str) -> str:
        """The hub repository of a size; any other source is one, or a folder."""
        named = transcriber.REPOSITORIES.get(source)
        return source if named is None else named.name

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Provenance:
        """Which model it is; raises WeightsMissing or WeightsMismatch."""
        if spec.source not in cls.packaged:
            return provenance_of(stored_model(spec, context))
        files = tuple(
            WeightFile(name, file.sha256, file.path().stat().st_size)
            for name, file in sorted(transcriber.TINY_EN.items())
        )
        return Provenance("openai/whisper-tiny.en", "", weights_sha256(files), files)

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> transcriber.WhisperTranscriber:
        """The model, on the GPU where the context has one."""
        device = str(resolve(context.device, needs_torch=False).device)
        if spec.source in cls.packaged and device == "cpu":
            whisper = packaged_whisper(context.threads or 0)
        else:
            is_packaged = spec.source in cls.packaged
            folder = transcriber.packaged_folder() if is_packaged else _folder(spec, context)
            whisper = transcriber.open_whisper(folder, threads=context.threads or 0, device=device)
        return transcriber.WhisperTranscriber(
            whisper, model=spec.source, language=context.language, device=device
        )


def _folder(spec: ModelSpec, context: Context) -> Path:
    return stored_model(spec, context).folder


@lru_cache(maxsize=1)
def packaged_whisper(threads: int = 0) -> Any:
    """The packaged tiny.en on the CPU, once for speech and sound together."""
    return transcriber.open_whisper(transcriber.packaged_folder(), threads=threads, device="cpu")
