"""Subtitles stand for a transcript where they cover the voice, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from mmsearch.encoders.base import Utterance
from mmsearch.media.base import Cue, CueRole
from mmsearch.segmentation.cued_transcription import CuedTranscription
from mmsearch.types import Place, Span

if TYPE_CHECKING:
    from mmsearch.types import SampleArray

RATE = 16_000
SAID = "the invention of movable metal letters in the middle of the fifteenth century"
START_S = 100.0


class Listener:
    """A transcriber that hears `SAID` in all sound, and remembers what it got."""

    model = "none"

    def __init__(self) -> None:
        self.heard: list[Span] = []

    def transcribe(
        self, samples: SampleArray, start_s: float, *, with_words: bool = False
    ) -> list[Utterance]:
        span = Span(start_s, start_s + len(samples) / RATE)
        self.heard.append(span)
        return [Utterance(SAID, span)]


def read_speech(path: Path) -> SampleArray:
    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(str(path)) as container:
        frames = [each for frame in container.decode(audio=0) for each in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


@pytest.fixture(scope="module")
def voice(data: Path) -> SampleArray:
    """Speech of about ten seconds, half a minute of silence, and the speech again."""
    speech = read_speech(data / "speech" / "LJ001-0005.flac")
    return np.concatenate([speech, np.zeros(30 * RATE, np.float32), speech])


def transcribe(
    voice: SampleArray, cues: list[Cue], language: str | None = None
) -> tuple[list[Utterance], list[Span]]:
    listener = Listener()
    cued = CuedTranscription(listener)
    for cue in cues:
        cued.add_cue(cue)
    return cued.transcribe(voice, START_S, track=1, language=language), listener.heard


def cover(
    from_s: float,
    until_s: float,
    text: str = SAID,
    language: str | None = "en",
    role: CueRole = "full",
) -> Cue:
    return Cue(text, Place(span=Span(START_S + from_s, START_S + until_s)), language, role)


def test_without_cues_all_is_heard(voice: SampleArray) -> None:
    utterances, heard = transcribe(voice, [cover(-50.0, -40.0)])
    assert heard == [utterances[0].span] == [Span(START_S, START_S + len(voice) / RATE)]


@pytest.mark.parametrize("language", ["en", "eng", "en-GB"])
def test_cues_in_the_language_of_the_sound_are_taken(voice: SampleArray, language: str) -> None:
    end_s = len(voice) / RATE
    utterances, heard = transcribe(voice, [cover(0.0, end_s)], language)
    assert not utterances
    assert not heard


@pytest.mark.parametrize("language", [None, "ger"])
def test_cues_that_say_what_is_heard_are_taken(voice: SampleArray, language: str | None) -> None:
    end_s = len(voice) / RATE
    utterances, heard = transcribe(voice, [cover(0.0, end_s)], language)
    assert not utterances
    assert len(heard) == 1
    assert heard[0].end_s - heard[0].start_s < 31


@pytest.mark.parametrize(
    "cue",
    [
        cover(0.0, 60.0, "die Erfindung beweglicher Lettern aus Metall", "de"),
        cover(0.0, 60.0, "die Erfindung beweglicher Lettern aus Metall", None),
        cover(0.0, 60.0, role="partial"),
        cover(1.0, 2.0, "Subtitles downloaded from an example"),
        cover(11.0, 30.0, "nobody speaks meanwhile"),
    ],
)
def test_other_cues_replace_no_transcript(voice: SampleArray, cue: Cue) -> None:
    utterances, heard = transcribe(voice, [cue])
    assert heard[-1].end_s - heard[-1].start_s == pytest.approx(len(voice) / RATE)
    # What a cue says word by word is there already.
    assert bool(utterances) == (cue.role == "full")


def test_what_cues_do_not_cover_is_heard(voice: SampleArray) -> None:
    half_s = (len(voice) / RATE - 30) / 2
    cues = [cover(0.0, half_s), cover(half_s + 30, half_s + 30 + 0.5 * half_s)]
    utterances, heard = transcribe(voice, cues, "en")
    (stretch,) = heard
    assert START_S + half_s + 30 < stretch.start_s < stretch.end_s
    assert stretch.end_s - stretch.start_s < half_s
    assert not utterances or utterances[0].span == stretch


def test_an_utterance_that_a_cue_says_is_dropped(voice: SampleArray) -> None:
    utterances, _ = transcribe(voice, [cover(0.0, 3.0, "invention of letters")])
    assert [each.text for each in utterances] == [SAID]
    utterances, _ = transcribe(voice, [cover(0.0, 3.0, SAID.upper())])
    assert not utterances


def test_chapters_say_nothing(voice: SampleArray) -> None:
    utterances, heard = transcribe(voice, [cover(0.0, 60.0, role="chapter")], "en")
    assert len(utterances) == len(heard) == 1
