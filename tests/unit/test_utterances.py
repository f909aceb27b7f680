"""What Whisper invents is dropped, and what was said stays."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.encoders.base import Utterance, Word
from mmsearch.encoders.speech.repetition import normalize_speech
from mmsearch.encoders.speech.utterances import (
    MAX_ECHO_PAUSE_S,
    MAX_NO_SPEECH_OF_A_SIGN_OFF,
    MAX_PAUSE_IN_AN_UTTERANCE_S,
    MIN_LEVEL_OF_A_SIGN_OFF_DB,
    TranscribedSegment,
    assemble_utterances,
    is_hallucinated_sign_off,
    is_trusted,
    join_sentences,
    remove_echoes,
    remove_loops,
    shift_utterance,
    split_at_pauses,
)
from mmsearch.types import Span

SURE = TranscribedSegment(
    Utterance("It rained.", Span(0.0, 2.0)),
    no_speech_probability=0.02,
    log_probability=-0.3,
    compression_ratio=1.2,
    level_db=-25.0,
)


def heard(
    text: str, start_s: float = 0.0, end_s: float = 2.0, **changes: float
) -> TranscribedSegment:
    return replace(SURE, utterance=Utterance(text, Span(start_s, end_s)), **changes)


def said(*texts: str, pause_s: float = 0.5) -> list[Utterance]:
    return [
        Utterance(text, Span(number * (2 + pause_s), number * (2 + pause_s) + 2))
        for number, text in enumerate(texts)
    ]


def with_words(text: str) -> Utterance:
    words = tuple(Word(one, Span(i, i + 1), 0.9) for i, one in enumerate(text.split()))
    return Utterance(text, Span(0, len(words)), "en", words)


# Gates


def test_what_was_heard_well_is_trusted() -> None:
    assert is_trusted(SURE)


@pytest.mark.parametrize(
    "doubt",
    [
        {"no_speech_probability": 0.6},
        {"log_probability": -1.0},
        {"compression_ratio": 2.4},
    ],
)
def test_each_gate_alone_holds_back(doubt: dict[str, float]) -> None:
    assert not is_trusted(replace(SURE, **doubt))


@pytest.mark.parametrize("text", ["", "  ", "...", "♪ ♪", "-"])
def test_what_has_no_words_is_nothing_said(text: str) -> None:
    assert not is_trusted(heard(text))


def test_what_takes_no_time_was_not_said() -> None:
    assert not is_trusted(heard("It rained.", 2.0, 2.0))


# Sign-offs


SIGN_OFFS = [
    "Thanks for watching!",
    "Thank you. Bye.",
    "you",
    "Subtitles by the Amara.org community",
    "ご視聴ありがとうございました",
    "Untertitel im Auftrag des ZDF für funk, 2017",
    "Thank you very much. Thank you very much.",
]


@pytest.mark.parametrize("text", SIGN_OFFS)
def test_a_sign_off_on_silence_is_invented(text: str) -> None:
    assert is_hallucinated_sign_off(heard(text, no_speech_probability=MAX_NO_SPEECH_OF_A_SIGN_OFF))
    assert is_hallucinated_sign_off(heard(text, level_db=MIN_LEVEL_OF_A_SIGN_OFF_DB - 1))


@pytest.mark.parametrize("text", SIGN_OFFS)
def test_a_sign_off_that_was_said_stays(text: str) -> None:
    assert not is_hallucinated_sign_off(heard(text))


@pytest.mark.parametrize(
    "text", ["Thank you for the coffee.", "You left.", "And so, thanks for watching my dog."]
)
def test_other_words_on_silence_are_left_to_the_gates(text: str) -> None:
    assert not is_hallucinated_sign_off(heard(text, no_speech_probability=0.59, level_db=-90.0))


# Loops and echoes


def test_a_loop_loses_its_copies_and_their_words() -> None:
    left = remove_loops(with_words("and you you you you went"))

    assert left.text == "and you went"
    assert [word.text for word in left.words] == ["and", "you", "went"]
    assert left.words[1].span == Span(1, 2)
    assert left.language == "en"


def test_a_loop_without_spaces_is_put_together_without_them() -> None:
    words = tuple(Word(one, Span(i, i + 1), 0.9) for i, one in enumerate("天気です" * 3))
    left = remove_loops(Utterance("天気です" * 3, Span(0, 12), "ja", words))

    assert left.text == "天気です"
    assert len(left.words) == 4


def test_what_is_no_loop_is_left_as_it_is() -> None:
    honest = with_words("No, no, no. We will, we will rock you.")
    assert remove_loops(honest) is honest


def test_a_sentence_said_again_and_again_is_kept_once() -> None:
    echo = said("It rained.", *["I am here."] * 4, "Then it stopped.")

    assert remove_echoes(echo) == [echo[0], echo[1], echo[5]]


def test_announcements_with_long_pauses_are_no_echo() -> None:
    often = said(*["Mind the gap, please."] * 5, pause_s=MAX_ECHO_PAUSE_S + 1)
    assert remove_echoes(often) == often


texts = st.sampled_from(
    ["you", "you you you", "No, no.", "I am here.", "Thank you.", "It rained.", "la la la la", ""]
)
segments = st.lists(st.tuples(texts, st.integers(0, 120), st.integers(0, 50)), max_size=15)


@given(segments, st.sampled_from([-90.0, -20.0]), st.sampled_from([0.1, 0.5, 0.7]))
def test_no_word_is_made_up_and_order_stays(
    drawn: list[tuple[str, int, int]], level_db: float, no_speech: float
) -> None:
    at, all_heard = 0.0, []
    for text, pause, length in drawn:
        at += pause / 10
        all_heard.append(
            heard(text, at, at + length / 10, level_db=level_db, no_speech_probability=no_speech)
        )
        at += length / 10

    left = assemble_utterances(all_heard)

    before = iter(" ".join(one.utterance.text for one in all_heard).split())
    assert all(word in before for word in " ".join(one.text for one in left).split())
    assert all(one.span.start_s <= other.span.start_s for one, other in pairwise(left))
    assert all(normalize_speech(one.text) for one in left)


@given(segments)
def test_guards_change_nothing_the_second_time(drawn: list[tuple[str, int, int]]) -> None:
    once = remove_echoes([remove_loops(one) for one in said(*(text for text, _, _ in drawn))])
    assert remove_echoes([remove_loops(one) for one in once]) == once


# Pauses


def spoken(text: str, *starts_s: float, language: str = "en", step: str = " ") -> Utterance:
    """Words that last 0.3 s each."""
    texts = text.split(step) if step else list(text)
    words = tuple(
        Word(one, Span(start_s, start_s + 0.3), 0.9)
        for one, start_s in zip(texts, starts_s, strict=True)
    )
    return Utterance(text, Span(starts_s[0], starts_s[-1] + 0.3), language, words)


def test_an_utterance_ends_where_its_words_pause() -> None:
    first, second = split_at_pauses(spoken("It rained, then it snowed.", 0, 1, 9, 9.3, 9.6))

    assert (first.text, first.span) == ("It rained,", Span(0, 1.3))
    assert (second.text, second.span) == ("then it snowed.", Span(9, 9.9))
    assert [word.text for word in second.words] == ["then", "it", "snowed."]


def test_an_utterance_without_spaces_or_pauses_keeps_its_text() -> None:
    one, other = split_at_pauses(spoken("天気は", 0, 0.3, 8, language="ja", step=""))
    assert (one.text, other.text) == ("天気", "は")

    whole = spoken("It rained.", 0, 1.8)
    assert split_at_pauses(whole) == [whole]
    assert split_at_pauses(Utterance("It rained.", Span(0, 9))) == [
        Utterance("It rained.", Span(0, 9))
    ]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=12))
def test_no_utterance_has_a_pause_in_it_and_no_word_is_lost(pauses: list[float]) -> None:
    starts = list(accumulate(pause + 0.3 for pause in pauses))
    texts = [f"word{index}" for index in range(len(starts))]
    pieces = split_at_pauses(spoken(" ".join(texts), *starts))

    assert [word.text for piece in pieces for word in piece.words] == texts
    assert " ".join(piece.text for piece in pieces) == " ".join(texts)
    for piece in pieces:
        assert piece.text == " ".join(word.text for word in piece.words)
        for one, following in pairwise(piece.words):
            assert following.span.start_s - one.span.end_s <= MAX_PAUSE_IN_AN_UTTERANCE_S


# Joining


def test_words_and_language_are_joined_with_the_sentence() -> None:
    first, second = with_words("I went"), shift_utterance(with_words("home."), 2.0)

    (joined,) = join_sentences([first, second])

    assert joined.text == "I went home."
    assert joined.words == first.words + second.words
    assert joined.language == "en"


def test_a_script_without_spaces_is_joined_without_them() -> None:
    parts = [Utterance("天気は", Span(0, 1), "ja"), Utterance("いいです。", Span(1, 2), "ja")]
    assert join_sentences(parts)[0].text == "天気はいいです。"


def test_moving_moves_the_words_too() -> None:
    later = shift_utterance(with_words("It rained."), 10.0)

    assert later.span == Span(10, 12)
    assert [word.span for word in later.words] == [Span(10, 11), Span(11, 12)]
