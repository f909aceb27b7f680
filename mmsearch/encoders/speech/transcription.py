"""Runs a faster-whisper model over samples: one window at a time, or in batches.

Measured by `benchmarks/speech.py` with tiny.en as int8 on 2 cores, 410 s of sound, beam 5. Seconds
of processor time for a second of sound (the machine had other work), and word error rate:

    faster-whisper called directly           0.0453  0.0465
    sequential                               0.0458  0.0465
    batches of 2, 4, 8, 16 with the rests    0.0434, 0.0430, 0.0436, 0.0415  0.0542

Batches of faster-whisper itself took 30 % less than sequential on 337 s of it, but lost sentences
that a window cuts off (word error rate 0.116 against 0.053); without times they kept them (0.059)
and gave one segment for 30 s. So a CPU works sequentially, with the very words of faster-whisper.
On a GPU batches are worth far more: 63 s against 17 s for 13 minutes with large-v2 and batches of
8, by the authors of faster-whisper. That was not measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmsearch.encoders.base import Utterance, Word
from mmsearch.encoders.speech.utterances import SENTENCE_ENDS, TranscribedSegment
from mmsearch.encoders.speech.vad import (
    SAMPLE_RATE_HZ,
    SpeechRegions,
    find_untranscribed,
    measure_level_db,
)
from mmsearch.errors import ModelError
from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.types import SampleArray

BATCH = 16
"""Windows at once on a GPU, as in faster-whisper and WhisperX."""
MIN_REST_S = 0.8
"""Twice the silence that is left on both sides of speech: a shorter rest holds no speech."""
MAX_PASSES = 4
"""A rest that remains after so many passes is given up."""
FRAMES_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """The language of the speech; None to detect it."""

    language: str | None = None


def transcribe_sequentially(
    whisper: Any, samples: SampleArray, options: TranscriptionOptions
) -> list[TranscribedSegment]:
    """Transcribes (n,) float32 at 16 kHz window by window, with times in seconds of it."""
    regions = SpeechRegions.detect(samples)
    if not regions.parts:
        return []
    segments, info = whisper.transcribe(
        regions.extract(samples),
        language=options.language,
        vad_filter=False,
        condition_on_previous_text=False,
        temperature=0.0,
        word_timestamps=True,
    )
    return [_make_segment(segment, samples, info, regions) for segment in segments]


class BatchTranscriber:
    """Transcribes up to `size` windows at once; full memory of a GPU halves it for good.

    Where a window ends in mid-sentence, the model leaves that sentence out; such rests are the
    windows of a further pass.
    """

    def __init__(self, size: int = BATCH) -> None:
        self.size = size

    def __call__(
        self, whisper: Any, samples: SampleArray, options: TranscriptionOptions
    ) -> list[TranscribedSegment]:
        """As `transcribe_sequentially`; raises ModelError without memory for one window."""
        regions = SpeechRegions.detect(samples)
        speech = regions.extract(samples)
        windows = regions.make_windows()
        info: Any = None
        segments: list[Any] = []
        for _ in range(MAX_PASSES):
            done = 0
            pass_segments: list[Any] = []
            while done < len(windows):
                batch = windows[done : done + self.size]
                try:
                    batch_segments, batch_info = _transcribe_batch(whisper, speech, batch, options)
                except RuntimeError as exc:
                    self._halve(len(batch), exc)
                    continue
                done += len(batch)
                pass_segments += batch_segments
                info = info or batch_info
                options = replace(options, language=info.language)
            segments += pass_segments
            ends_s = [segment.end for segment in pass_segments]
            windows = find_untranscribed(windows, ends_s, least_s=MIN_REST_S)
        segments.sort(key=lambda segment: segment.start)
        return [_make_segment(segment, samples, info, regions) for segment in segments]

    def _halve(self, windows: int, error: RuntimeError) -> None:
        if "out of memory" not in str(error).lower():
            raise error
        if windows == 1:
            raise ModelError(
                "the GPU has too little free memory to transcribe 30 s of speech: use a smaller "
                "--speech-model, or --device cpu"
            ) from error
        self.size = windows // 2


def _transcribe_batch(
    whisper: Any, speech: SampleArray, windows: Sequence[Span], options: TranscriptionOptions
) -> tuple[list[Any], Any]:
    """Returns segments in seconds of `speech`, and the model's information on the language."""
    from faster_whisper import BatchedInferencePipeline

    segments, info = BatchedInferencePipeline(whisper).transcribe(
        speech,
        language=options.language,
        clip_timestamps=[{"start": window.start_s, "end": window.end_s} for window in windows],
        batch_size=len(windows),
        without_timestamps=False,
        temperature=0.0,
        word_timestamps=True,
    )
    # A window is filled up with silence, and what was invented there would lie in the next one.
    ends_s = {int(window.start_s * FRAMES_PER_SECOND): window.end_s for window in windows}
    inside = []
    for segment in segments:
        end_s = ends_s.get(segment.seek, segment.end)
        if segment.start < end_s:
            inside.append(replace(segment, end=min(segment.end, end_s)))
    return inside, info


def _make_segment(
    segment: Any, samples: SampleArray, info: Any, regions: SpeechRegions
) -> TranscribedSegment:
    words = _place_words([word for word in segment.words or () if word.word.strip()], regions)
    if words:
        end_s = max(word.span.end_s for word in words)
        span = Span(words[0].span.start_s, max(end_s, words[0].span.start_s))
    else:
        span = regions.map_to_original(Span(float(segment.start), float(segment.end)))
    begin, end = (int(at_s * SAMPLE_RATE_HZ) for at_s in (span.start_s, span.end_s))
    utterance = Utterance(
        segment.text.strip(), span, info.language, words, float(info.language_probability)
    )
    return TranscribedSegment(
        utterance,
        no_speech_probability=float(segment.no_speech_prob),
        log_probability=float(segment.avg_logprob),
        compression_ratio=float(segment.compression_ratio),
        level_db=measure_level_db(samples[begin:end]),
    )


def _place_words(words: Sequence[Any], regions: SpeechRegions) -> tuple[Word, ...]:
    """Returns words of one segment, given in seconds of the concatenated parts of speech."""
    texts = [word.word.strip() for word in words]
    ends = [text.endswith(SENTENCE_ENDS) for text in texts[:-1]] + [True]
    begins = [True, *ends[:-1]]
    return tuple(
        Word(
            text,
            regions.map_word(
                Span(float(word.start), float(word.end)), begins=begins_one, ends=ends_one
            ),
            float(word.probability),
        )
        for word, text, begins_one, ends_one in zip(words, texts, begins, ends, strict=False)
    )
