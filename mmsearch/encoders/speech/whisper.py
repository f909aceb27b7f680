"""The speech encoder `faster-whisper`: the packaged tiny.en, or a model from the store."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmsearch.encoders.speech import transcriber
from mmsearch.encoders.stored_model import make_provenance, require_stored_model
from mmsearch.models.weights import hash_weights
from mmsearch.runtime.device import resolve_device
from mmsearch.types import Provenance, WeightFile

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context
    from mmsearch.models.presets import ModelSpec


class FasterWhisper:
    """Transcribes through faster-whisper; `source` is a size, a hub repository or a folder."""

    kind = "speech"
    patterns = transcriber.PATTERNS
    packaged = (transcriber.PACKAGED,)
    is_converted = False

    @staticmethod
    def repository(source: str) -> str:
        """Returns the hub repository of a size; any other source is one, or a folder."""
        repository = transcriber.REPOSITORIES.get(source)
        return source if repository is None else repository.name

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Provenance:
        """Returns the provenance of the model; raises WeightsMissing or WeightsMismatch."""
        if spec.source not in cls.packaged:
            return make_provenance(require_stored_model(spec, context))
        files = tuple(
            WeightFile(name, file.sha256, file.find_path().stat().st_size)
            for name, file in sorted(transcriber.TINY_EN.items())
        )
        return Provenance("openai/whisper-tiny.en", "", hash_weights(files), files)

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> transcriber.WhisperTranscriber:
        """Opens the model, on the GPU where the context has one."""
        device = str(resolve_device(context.device, needs_torch=False).device)
        threads = context.threads or 0
        if spec.source not in cls.packaged:
            folder = require_stored_model(spec, context).folder
            whisper = transcriber.open_whisper(folder, threads=threads, device=device)
        elif device == "cpu":
            whisper = open_packaged_whisper(threads)
        else:
            whisper = transcriber.open_named_whisper(threads=threads, device=device)
        return transcriber.WhisperTranscriber(
            whisper, model=spec.source, language=context.language, device=device
        )


@lru_cache(maxsize=1)
def open_packaged_whisper(threads: int = 0) -> Any:
    """Opens the packaged tiny.en on the CPU, once for speech and sound together."""
    return transcriber.open_named_whisper(threads=threads)
