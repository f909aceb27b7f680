"""How a faster-whisper model goes through a stretch of sound: one window at a time, or in batches.

Measured by `benchmarks/speech.py` with tiny.en as int8 on 2 cores, 410 s of sound, beam 5. Seconds
of processor time for a second of sound (the machine had other work), and word error rate:

    faster-whisper called directly           0.0453  0.0465
    one by one                               0.0458  0.0465
    batches of 2, 4, 8, 16 with the rests    0.0434, 0.0430, 0.0436, 0.0415  0.0542

Batches as faster-whisper has them took 30 % less than one by one on 337 s of it, but lost what a
window cuts off (word error rate 0.116 against 0.053); without times they kept it (0.059) and gave
one segment for 30 s. So a CPU goes one by one, and says word for word what faster-whisper says. On
a GPU batches are worth far more: 63 s against 17 s for 13 minutes with large-v2 and batches of 8,
say the authors of faster-whisper. That was not measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmsearch.encoders.base import Utterance, Word
from mmsearch.encoders.speech.utterances import Heard
from mmsearch.encoders.speech.vad import SAMPLE_RATE_HZ, Voice, level_db, unheard
from mmsearch.errors import ModelError
from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.types import SampleArray

BATCH = 16
"""Windows at once on a GPU: what faster-whisper's and WhisperX's authors take."""
LEAST_REST_S = 0.8
"""Twice the silence that is left on both sides of speech: below it nothing was said."""
MOST_PASSES = 4
"""What is still a rest after so many passes is given up."""
FRAMES_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class Listening:
    """What is asked of a model: the language (None to detect it), and whether word times too."""

    language: str | None = None
    with_words: bool = False


def one_by_one(whisper: Any, samples: SampleArray, listening: Listening) -> list[Heard]:
    """What is heard in (n,) float32 at 16 kHz, in seconds of it, one window after the other."""
    segments, info = whisper.transcribe(
        samples,
        language=listening.language,
        vad_filter=True,
        condition_on_previous_text=False,
        temperature=0.0,
        word_timestamps=listening.with_words,
    )
    return [_heard(segment, samples, info, _as_it_is) for segment in segments]


class InBatches:
    """The same with up to `size` windows at once; full memory of a GPU halves it for good.

    Where a window ends in mid-sentence, the model leaves that sentence out; such rests are the
    windows of a further pass.
    """

    def __init__(self, size: int = BATCH) -> None:
        self.size = size

    def __call__(self, whisper: Any, samples: SampleArray, listening: Listening) -> list[Heard]:
        """As `one_by_one`; raises ModelError where there is no memory for one window."""
        voice = Voice.found_in(samples)
        spoken = voice.of(samples)
        windows = voice.windows()
        info: Any = None
        segments: list[Any] = []
        for _ in range(MOST_PASSES):
            done = 0
            found: list[Any] = []
            while done < len(windows):
                batch = windows[done : done + self.size]
                try:
                    segments_now, told = _batch(whisper, spoken, batch, listening)
                except RuntimeError as exc:
                    self._halve(len(batch), exc)
                    continue
                done += len(batch)
                found += segments_now
                info = info or told
                listening = replace(listening, language=info.language)
            segments += found
            windows = unheard(windows, [one.end for one in found], least_s=LEAST_REST_S)
        segments.sort(key=lambda one: one.start)
        return [_heard(one, samples, info, voice.original) for one in segments]

    def _halve(self, windows: int, error: RuntimeError) -> None:
        if "out of memory" not in str(error).lower():
            raise error
        if windows == 1:
            raise ModelError(
                "the GPU has too little free memory to transcribe 30 s of speech: use a smaller "
                "--speech-model, or --device cpu"
            ) from error
        self.size = windows // 2


def _batch(
    whisper: Any, spoken: SampleArray, windows: Sequence[Span], listening: Listening
) -> tuple[list[Any], Any]:
    """Segments in seconds of `spoken`, and what is known of their language."""
    from faster_whisper import BatchedInferencePipeline

    segments, info = BatchedInferencePipeline(whisper).transcribe(
        spoken,
        language=listening.language,
        clip_timestamps=[{"start": one.start_s, "end": one.end_s} for one in windows],
        batch_size=len(windows),
        without_timestamps=False,
        temperature=0.0,
        word_timestamps=listening.with_words,
    )
    # A window is filled up with silence, and what was invented there would lie in the next one.
    ends_s = {int(one.start_s * FRAMES_PER_SECOND): one.end_s for one in windows}
    inside = []
    for segment in segments:
        end_s = ends_s.get(segment.seek, segment.end)
        if segment.start < end_s:
            inside.append(replace(segment, end=min(segment.end, end_s)))
    return inside, info


def _as_it_is(span: Span) -> Span:
    return span


def _heard(segment: Any, samples: SampleArray, info: Any, place: Callable[[Span], Span]) -> Heard:
    span = place(Span(float(segment.start), float(segment.end)))
    begin, end = (int(at_s * SAMPLE_RATE_HZ) for at_s in (span.start_s, span.end_s))
    words = tuple(
        Word(
            one.word.strip(), place(Span(float(one.start), float(one.end))), float(one.probability)
        )
        for one in segment.words or ()
        if one.word.strip()
    )
    utterance = Utterance(
        segment.text.strip(),
        span,
        language=info.language,
        words=words,
        language_probability=float(info.language_probability),
    )
    return Heard(
        utterance,
        no_speech=float(segment.no_speech_prob),
        log_probability=float(segment.avg_logprob),
        compression=float(segment.compression_ratio),
        level_db=level_db(samples[begin:end]),
    )
