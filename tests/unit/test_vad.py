"""Silence is taken out of a stretch, and times are taken back to where they were."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.encoders.speech.vad import (
    MIN_SILENCE_S,
    PAD_S,
    SAMPLE_RATE_HZ,
    WINDOW_S,
    SpeechRegions,
    find_untranscribed,
    measure_level_db,
)
from mmsearch.types import Span

lengths = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300)), max_size=12)


def voice_of(drawn: list[tuple[int, int]]) -> SpeechRegions:
    """Parts after pauses, in tenths of seconds."""
    parts, at = [], 0
    for pause, length in drawn:
        at += pause * SAMPLE_RATE_HZ // 10
        end = at + length * SAMPLE_RATE_HZ // 10
        parts.append((at, end))
        at = end
    return SpeechRegions(tuple(parts))


@given(lengths)
def test_windows_hold_whole_parts_and_follow_each_other(drawn: list[tuple[int, int]]) -> None:
    voice = voice_of(drawn)
    windows = voice.make_windows()
    cuts = {0.0} | {sum(length for _, length in drawn[: i + 1]) / 10 for i in range(len(drawn))}

    assert bool(windows) == bool(drawn)
    for window in windows:
        assert window.end_s - window.start_s <= WINDOW_S + 1e-6
        assert any(abs(window.start_s - cut) < 1e-3 for cut in cuts)
    for one, following in pairwise(windows):
        assert one.end_s == following.start_s
    if windows:
        assert windows[0].start_s == 0.0
        assert windows[-1].end_s == pytest.approx(sum(length for _, length in drawn) / 10)
        two = [following.end_s - one.start_s for one, following in pairwise(windows)]
        assert all(length > WINDOW_S / 2 for length in two)


def test_a_window_takes_in_as_many_parts_as_fit() -> None:
    voice = voice_of([(0, 100), (30, 150), (30, 50), (30, 10)])
    assert voice.make_windows() == [Span(0.0, 30.0), Span(30.0, 31.0)]


@given(lengths.filter(bool), st.data())
def test_times_are_taken_back_to_the_same_sample(
    drawn: list[tuple[int, int]], data: st.DataObject
) -> None:
    voice = voice_of(drawn)
    start, end = data.draw(st.sampled_from(voice.parts))
    before = sum(stop - begin for begin, stop in voice.parts if stop <= start)
    offset = data.draw(st.integers(0, end - start - 1))

    at_s = (before + offset) / SAMPLE_RATE_HZ
    found = voice.map_to_original(Span(at_s, at_s + 1 / SAMPLE_RATE_HZ))

    assert found.start_s == pytest.approx((start + offset) / SAMPLE_RATE_HZ, abs=1e-3)
    assert found.end_s == pytest.approx((start + offset + 1) / SAMPLE_RATE_HZ, abs=1e-3)


def test_between_two_parts_an_end_belongs_to_the_first_and_a_start_to_the_second() -> None:
    voice = voice_of([(10, 20), (50, 20)])

    assert voice.map_to_original(Span(1.0, 2.0)) == Span(2.0, 3.0)
    assert voice.map_to_original(Span(2.0, 3.0)) == Span(8.0, 9.0)


@given(lengths)
def test_parts_hold_all_voices_and_little_silence(drawn: list[tuple[int, int]]) -> None:
    voices = voice_of([(max(pause, 3), min(length, 290)) for pause, length in drawn]).parts
    count = (voices[-1][1] if voices else 0) + SAMPLE_RATE_HZ // 10
    regions = SpeechRegions.from_voices(voices, count)

    assert regions.voices == voices
    for start, end in voices:
        assert any(part[0] <= start and end <= part[1] for part in regions.parts)
    for one, following in pairwise(((0, 0), *regions.parts, (count, count))):
        assert one[1] <= following[0]
    for start, end in regions.parts:
        assert end - start <= WINDOW_S * SAMPLE_RATE_HZ
        inside = [voice for voice in voices if start <= voice[0] and voice[1] <= end]
        assert inside[0][0] - start <= PAD_S * SAMPLE_RATE_HZ
        assert end - inside[-1][1] <= PAD_S * SAMPLE_RATE_HZ
        silences = [following[0] - one[1] for one, following in pairwise(inside)]
        assert all(silence < MIN_SILENCE_S * SAMPLE_RATE_HZ for silence in silences)


@given(lengths.filter(bool), st.integers(0, 3000), st.integers(0, 200), st.booleans())
def test_a_word_never_leaves_its_part(
    drawn: list[tuple[int, int]], start: int, length: int, begins: bool
) -> None:
    regions = SpeechRegions.from_voices(voice_of(drawn).parts, 10**9)
    span = Span(start / 10, (start + length) / 10)
    word = regions.map_word(span, begins=begins, ends=not begins)

    assert word.start_s <= word.end_s
    assert word.end_s - word.start_s <= length / 10 + 1e-6
    samples = word.start_s * SAMPLE_RATE_HZ, word.end_s * SAMPLE_RATE_HZ
    assert any(part[0] - 1 <= samples[0] and samples[1] <= part[1] + 1 for part in regions.parts)


def test_a_word_that_is_drawn_out_over_a_pause_lies_in_its_sentence() -> None:
    # Voice at 1..10 s and at 50..60 s: parts of 9.8 s and 10.8 s, voice again from 10.2 s on.
    regions = SpeechRegions.from_voices(voice_of([(10, 90), (400, 100)]).parts, 10**6)

    assert regions.map_word(Span(9.0, 10.4), begins=True) == Span(50.0, pytest.approx(50.2))
    assert regions.map_word(Span(9.0, 12.4), ends=True) == Span(pytest.approx(9.6), 10.0)
    assert regions.map_word(Span(9.0, 10.4)) == Span(pytest.approx(9.6), 10.0)
    # Without voice of its own.
    assert regions.map_word(Span(9.5, 10.0), begins=True).start_s == pytest.approx(49.6)
    assert regions.map_word(Span(9.5, 10.0), ends=True).end_s == pytest.approx(10.4)


def test_the_parts_are_put_together() -> None:
    samples = np.arange(10, dtype=np.float32)

    assert SpeechRegions(((1, 3), (7, 9))).extract(samples).tolist() == [1, 2, 7, 8]
    assert SpeechRegions(()).extract(samples).shape == (0,)


def test_silence_has_no_voice() -> None:
    assert SpeechRegions.detect(np.zeros(SAMPLE_RATE_HZ, np.float32)).parts == ()
    assert SpeechRegions.detect(np.zeros(0, np.float32)).parts == ()


def test_the_rest_of_a_window_is_unheard_and_a_silent_window_is_not() -> None:
    windows = [Span(0, 30), Span(30, 55), Span(55, 70)]

    assert find_untranscribed(windows, [10.0, 24.0, 54.6], least_s=0.8) == [Span(24.0, 30)]
    assert find_untranscribed(windows, [], least_s=0.8) == []


def test_levels_are_those_of_full_scale() -> None:
    assert measure_level_db(np.ones(100, np.float32)) == pytest.approx(0.0)
    assert measure_level_db(np.full(100, 0.1, np.float32)) == pytest.approx(-20.0, abs=0.01)
    assert (
        measure_level_db(np.zeros(100, np.float32))
        == measure_level_db(np.zeros(0, np.float32))
        == -120.0
    )
