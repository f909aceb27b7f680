"""Cuts the sound tracks of one file into windows and sections of speech, each track by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.encoders.audio.whisper_sound import WindowSplitter
from mmsearch.encoders.speech.transcriber import SpeechSplitter
from mmsearch.languages import parse_language
from mmsearch.segmentation.cued_transcription import CuedTranscription
from mmsearch.types import Omission, OmissionCause, Place, Span

if TYPE_CHECKING:
    from mmsearch.encoders.base import SoundEncoder, Transcriber, Utterance
    from mmsearch.media.base import AudioBlock, Cue
    from mmsearch.types import SampleArray

SPEECH_RATE_HZ = 16_000
"""The sample rate that Whisper was trained on."""


@dataclass(frozen=True, slots=True)
class SoundWindow:
    """A window of sound for the sound encoder, with its place."""

    samples: SampleArray
    place: Place


@dataclass(frozen=True, slots=True)
class SpokenPart:
    """An utterance with its place; `language` is that of the speech model, or of the container."""

    text: str
    place: Place
    language: str | None


class SoundSegmenter:
    """Cuts blocks into windows and utterances, with the number of their track.

    A track in another language than the only one of the speech model is not transcribed, as it
    would invent words: it is one of `omissions`.
    """

    def __init__(self, sound: SoundEncoder, transcriber: Transcriber) -> None:
        self._sound = sound
        self._transcriber = transcriber
        self._cued = CuedTranscription(transcriber)
        self._windows: dict[int | None, WindowSplitter] = {}
        self._sections: dict[int | None, SpeechSplitter] = {}
        self._tags: dict[int | None, str | None] = {}
        self.omissions: list[Omission] = []

    def add_cue(self, cue: Cue) -> None:
        """Takes a cue: what it says need not be transcribed."""
        self._cued.add_cue(cue)

    def cut_windows(self, block: AudioBlock) -> Iterator[SoundWindow]:
        """Yields the windows that a block completes, if it has the rate of the sound encoder."""
        if block.sample_rate_hz != self._sound.sample_rate_hz:
            return
        splitter = self._windows.get(block.track)
        if splitter is None:
            splitter = self._windows[block.track] = WindowSplitter(
                window_s=self._sound.window_s,
                hop_s=self._sound.hop_s,
                sample_rate_hz=self._sound.sample_rate_hz,
            )
        for samples, span in splitter.push(block.samples, block.start_s):
            yield SoundWindow(samples, Place(span=span, track=block.track))

    def transcribe(self, block: AudioBlock) -> Iterator[SpokenPart]:
        """Yields the utterances of the sections that a block completes, if it has their rate."""
        if block.sample_rate_hz != SPEECH_RATE_HZ:
            return
        if block.track not in self._tags:
            self._tags[block.track] = block.language
            if not self._knows(block.language):
                self.omissions.append(_make_omission(block, self._transcriber))
        if not self._knows(block.language):
            return
        splitter = self._sections.get(block.track)
        if splitter is None:
            splitter = SpeechSplitter(sample_rate_hz=SPEECH_RATE_HZ)
            self._sections[block.track] = splitter
        for section in splitter.push(block.samples, block.start_s):
            yield from self._transcribe_section(block.track, *section)

    def finish_windows(self) -> Iterator[SoundWindow]:
        """Yields the last window of each track."""
        for track, splitter in self._windows.items():
            for samples, span in splitter.finish():
                yield SoundWindow(samples, Place(span=span, track=track))

    def finish_speech(self) -> Iterator[SpokenPart]:
        """Yields the utterances of the last section of each track."""
        for track, splitter in self._sections.items():
            for section in splitter.finish():
                yield from self._transcribe_section(track, *section)

    def _knows(self, tag: str | None) -> bool:
        languages = _list_languages(self._transcriber)
        code = parse_language(tag)
        # A model for many languages knows more dialects than it has codes.
        return code is None or len(languages) != 1 or code in languages

    def _transcribe_section(
        self, track: int | None, samples: SampleArray, start_s: float
    ) -> Iterator[SpokenPart]:
        end_s = start_s + len(samples) / SPEECH_RATE_HZ
        tag = self._tags[track]
        for utterance in self._cued.transcribe(samples, start_s, track=track, language=tag):
            place = Place(span=_clamp(utterance, start_s, end_s), track=track)
            yield SpokenPart(
                utterance.text, place, utterance.language or parse_language(tag) or tag
            )


def _list_languages(transcriber: Transcriber) -> tuple[str, ...]:
    """Returns the codes of the languages that a transcriber understands; empty if it is unknown."""
    languages: tuple[str, ...] = getattr(transcriber, "languages", ())
    return languages


def _make_omission(block: AudioBlock, transcriber: Transcriber) -> Omission:
    (known,) = _list_languages(transcriber)
    name = "the sound" if block.track is None else f"sound track {block.track}"
    detail = f"{name} is in {block.language}, and the speech model knows only {known}"
    return Omission(OmissionCause.LANGUAGE, detail)


def _clamp(utterance: Utterance, start_s: float, end_s: float) -> Span:
    span = utterance.span
    return Span(*(min(max(at_s, start_s), end_s) for at_s in (span.start_s, span.end_s)))
