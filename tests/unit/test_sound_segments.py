"""Each sound track is cut by itself, and no words are invented for a language unknown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mmsearch.encoders.base import Utterance
from mmsearch.media.base import AudioBlock
from mmsearch.segmentation.sound_segments import SoundSegmenter, SpokenPart
from mmsearch.types import OmissionCause, Place, Span
from tests.fakes import FakeSound

if TYPE_CHECKING:
    from mmsearch.types import SampleArray

RATE = 16_000


class Listener:
    """A transcriber that knows some languages, and hears one sentence in all sound."""

    model = "none"

    def __init__(self, *languages: str, detects: str = "") -> None:
        self.languages = languages
        self._detects = detects
        self.heard: list[Span] = []

    def transcribe(
        self, samples: SampleArray, start_s: float, *, with_words: bool = False
    ) -> list[Utterance]:
        span = Span(start_s, start_s + len(samples) / RATE)
        self.heard.append(span)
        return [Utterance("It rained.", Span(span.start_s, span.end_s + 9.0), self._detects)]


def block(
    start_s: float, length_s: float = 10.0, track: int | None = None, language: str | None = None
) -> AudioBlock:
    samples = np.full(round(length_s * RATE), 0.1, np.float32)
    return AudioBlock(samples, start_s, RATE, track, language)


def hear(listener: Listener, *blocks: AudioBlock) -> tuple[list[SpokenPart], SoundSegmenter]:
    segmenter = SoundSegmenter(FakeSound(Counter()), listener)
    parts = [part for each in blocks for part in segmenter.transcribe(each)]
    return [*parts, *segmenter.finish_speech()], segmenter


def test_tracks_are_cut_apart_and_keep_their_number() -> None:
    parts, _ = hear(Listener(), *(block(at, track=n) for at in (0.0, 10.0) for n in (1, 2)))
    assert [part.place for part in parts] == [Place(Span(0, 20), track=n) for n in (1, 2)]


def test_an_utterance_stays_within_its_sound() -> None:
    (part,), _ = hear(Listener(), block(5.0))
    assert part.place == Place(Span(5.0, 15.0))


def test_a_hole_parts_sections_and_windows() -> None:
    listener = Listener()
    blocks = [block(0.0), block(10.0, 3.0), block(4_200.0), block(4_210.0, 4.0)]
    hear(listener, *blocks)
    assert listener.heard == [Span(0, 13), Span(4_200, 4_214)]

    segmenter = SoundSegmenter(FakeSound(Counter()), listener)
    windows = [window for each in blocks for window in segmenter.cut_windows(each)]
    windows += segmenter.finish_windows()
    spans = [window.place.span for window in windows]
    assert all(span is not None and (span.end_s <= 13 or span.start_s >= 4_200) for span in spans)
    assert any(span is not None and span.start_s == 4_200 for span in spans)


@pytest.mark.parametrize("tag", ["deu", "ger", "de", "de-AT", "german"])
def test_a_language_that_the_model_does_not_know_is_not_transcribed(tag: str) -> None:
    listener = Listener("en")
    parts, segmenter = hear(
        listener, *(block(at, track=n, language=each) for at in (0.0, 10.0) for n, each in
                    ((1, "eng"), (2, tag)))
    )  # fmt: skip

    assert {part.place.track for part in parts} == {1}
    (omission,) = segmenter.omissions
    assert omission.cause is OmissionCause.LANGUAGE
    assert omission.detail == f"sound track 2 is in {tag}, and the speech model knows only en"


@pytest.mark.parametrize("tag", [None, "eng", "en", "en-US", "English", "x-strange"])
def test_english_and_sound_without_a_tag_is_transcribed(tag: str | None) -> None:
    parts, segmenter = hear(Listener("en"), block(0.0, language=tag))
    assert len(parts) == 1
    assert segmenter.omissions == []


@pytest.mark.parametrize("languages", [(), ("en", "fr")])
def test_a_model_for_any_language_hears_all(languages: tuple[str, ...]) -> None:
    parts, segmenter = hear(Listener(*languages), block(0.0, language="deu"))
    assert [part.language for part in parts] == ["de"]
    assert segmenter.omissions == []


def test_a_language_that_was_detected_outweighs_the_tag() -> None:
    (part,), _ = hear(Listener("en", "de", detects="en"), block(0.0, language="deu"))
    assert part.language == "en"
