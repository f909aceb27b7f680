"""Sound is cut on a grid of its own, sentences are joined, and nothing is lost or made up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.encoders.audio.whisper_sound import SAMPLE_RATE_HZ, WindowSplitter
from mmsearch.encoders.base import Utterance
from mmsearch.encoders.speech.transcriber import SpeechSplitter
from mmsearch.encoders.speech.utterances import MAX_PAUSE_S, MAX_UTTERANCE_S, join_sentences
from mmsearch.types import Span

RATE = 100


def blocks_of(samples: np.ndarray, cuts: Sequence[int]) -> list[np.ndarray]:
    return np.split(samples, sorted({cut for cut in cuts if 0 < cut < len(samples)}))


def windows_of(
    samples: np.ndarray, cuts: Sequence[int], *, window_s: float, hop_s: float, start_s: float = 0.0
) -> list[tuple[Span, np.ndarray]]:
    cutter = WindowSplitter(window_s=window_s, hop_s=hop_s)
    found = []
    at = start_s
    for block in blocks_of(samples, cuts):
        found += [(span, window.copy()) for window, span in cutter.push(block, at)]
        at += len(block) / SAMPLE_RATE_HZ
    return found + [(span, window.copy()) for window, span in cutter.finish()]


lengths = st.integers(1, 4 * SAMPLE_RATE_HZ // 100)
some_cuts = st.lists(st.integers(0, 4 * SAMPLE_RATE_HZ // 100), max_size=6)


@given(lengths, some_cuts, st.sampled_from([0.01, 0.005]))
def test_windows_do_not_depend_on_the_blocks(length: int, cuts: list[int], hop_s: float) -> None:
    samples = np.arange(length, dtype=np.float32)

    whole = windows_of(samples, [], window_s=0.01, hop_s=hop_s, start_s=7.0)
    cut = windows_of(samples, cuts, window_s=0.01, hop_s=hop_s, start_s=7.0)

    assert [span for span, _ in whole] == [span for span, _ in cut]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(whole, cut, strict=True))


@given(lengths, st.sampled_from([0.01, 0.005]))
def test_a_window_is_the_sound_of_its_span(length: int, hop_s: float) -> None:
    samples = np.arange(length, dtype=np.float32)

    found = windows_of(samples, [], window_s=0.01, hop_s=hop_s)

    assert found
    for number, (span, window) in enumerate(found):
        assert span.start_s == pytest.approx(number * hop_s)
        begin = round(span.start_s * SAMPLE_RATE_HZ)
        assert np.array_equal(window, samples[begin : round(span.end_s * SAMPLE_RATE_HZ)])
        assert 0 < len(window) <= 0.01 * SAMPLE_RATE_HZ
    # At most a fifth of a window at the end is too short to be worth one.
    assert length - round(found[-1][0].end_s * SAMPLE_RATE_HZ) < 0.01 * SAMPLE_RATE_HZ / 5


def test_a_very_short_sound_has_one_window_and_none_at_all_has_none() -> None:
    assert len(windows_of(np.ones(3, dtype=np.float32), [], window_s=10, hop_s=10)) == 1
    assert list(WindowSplitter(window_s=10, hop_s=10).finish()) == []


# Stretches for the speech model


def stretches_of(samples: np.ndarray, cuts: Sequence[int]) -> list[tuple[float, np.ndarray]]:
    cutter = SpeechSplitter(sample_rate_hz=RATE)
    found = []
    at = 3.0
    for block in blocks_of(samples, cuts):
        found += [(start_s, stretch.copy()) for stretch, start_s in cutter.push(block, at)]
        at += len(block) / RATE
    return found + [(start_s, stretch.copy()) for stretch, start_s in cutter.finish()]


@given(
    st.integers(1, 1000 * RATE), st.lists(st.integers(0, 1000 * RATE), max_size=5), st.integers()
)
@settings(max_examples=30)
def test_stretches_join_to_the_whole_and_do_not_depend_on_the_blocks(
    length: int, cuts: list[int], seed: int
) -> None:
    samples = np.random.default_rng(abs(seed)).standard_normal(length).astype(np.float32)

    whole = stretches_of(samples, [])
    cut = stretches_of(samples, cuts)

    assert np.array_equal(np.concatenate([stretch for _, stretch in whole]), samples)
    assert [start_s for start_s, _ in whole] == pytest.approx([start_s for start_s, _ in cut])
    assert [len(stretch) for _, stretch in whole] == [len(stretch) for _, stretch in cut]
    at = 3.0
    for start_s, stretch in whole:
        assert start_s == pytest.approx(at)
        at += len(stretch) / RATE
        assert len(stretch) <= SpeechSplitter.SECTION_S * RATE


def test_a_stretch_ends_where_it_is_quiet() -> None:
    samples = np.ones(400 * RATE, dtype=np.float32)
    quiet = slice(280 * RATE, 282 * RATE)
    samples[quiet] = 0.0

    (_, first), (start_s, _) = stretches_of(samples, [])

    assert quiet.start < len(first) < quiet.stop
    assert start_s == pytest.approx(3.0 + len(first) / RATE)


def test_no_sound_is_no_stretch() -> None:
    assert list(SpeechSplitter().finish()) == []


# Sentences


def said(*parts: tuple[str, float, float]) -> list[Utterance]:
    return [Utterance(text, Span(start_s, end_s)) for text, start_s, end_s in parts]


def test_what_was_cut_in_mid_sentence_is_joined() -> None:
    joined = join_sentences(
        said(("I went", 0, 2), ("to the harbour.", 2.1, 4), ("It rained.", 4.2, 5))
    )

    assert joined == said(("I went to the harbour.", 0, 4), ("It rained.", 4.2, 5))


def test_a_pause_or_twenty_seconds_end_a_sentence() -> None:
    assert len(join_sentences(said(("I went", 0, 2), ("to the harbour", 3, 4)))) == 2
    assert len(join_sentences(said(("on", 0, 15), ("and on", 15, 21)))) == 2


utterances = st.lists(
    st.tuples(
        st.sampled_from(["so", "then.", "why?", "no…", "and on"]),
        st.integers(0, 20),
        st.integers(1, 90),
    ),
    max_size=12,
)


@given(utterances)
def test_joining_keeps_all_words_in_order_and_times_apart(
    drawn: list[tuple[str, int, int]],
) -> None:
    heard, at = [], 0.0
    for text, pause, length in drawn:
        at += pause / 10
        heard.append(Utterance(text, Span(at, at + length / 10)))
        at += length / 10

    joined = join_sentences(heard)

    assert " ".join(one.text for one in joined) == " ".join(one.text for one in heard)
    for one in joined:
        parts = [part for part in heard if part.span.overlap_s(one.span) > 0]
        assert one.span.start_s == parts[0].span.start_s
        assert one.span.end_s == parts[-1].span.end_s
        assert len(parts) == 1 or one.span.end_s - one.span.start_s <= MAX_UTTERANCE_S
    for one, following in pairwise(joined):
        assert one.span.end_s <= following.span.start_s
        ends = one.text.endswith((".", "?", "…"))
        pause_s = following.span.start_s - one.span.end_s
        assert (
            ends
            or pause_s > MAX_PAUSE_S
            or any(part.span.end_s - one.span.start_s > MAX_UTTERANCE_S for part in heard)
        )
    assert join_sentences(joined) == joined or len(join_sentences(joined)) <= len(joined)
