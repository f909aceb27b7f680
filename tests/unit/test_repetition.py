"""Loops that a speech model falls into are taken out; what people repeat stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.encoders.speech.repetition import (
    select_without_echoes,
    select_without_loops,
    split_into_pieces,
)


def looped_out(text: str) -> str:
    said = split_into_pieces(text)
    return "".join(said[index] for index in select_without_loops(said))


@pytest.mark.parametrize(
    ("heard", "left"),
    [
        ("you you you", "you"),
        ("you you you.", "you"),
        ("Thank you. Thank you. Thank you.", "Thank you."),
        ("thank you Thank you, thank you. And then", "thank you And then"),
        ("I went home and I went home and I went home and slept", "I went home and slept"),
        ("no, no, no, no, no, no, no", "no,"),
        ("a a a b a a a b a a a b", "a b"),
        ("ご視聴ありがとうございましたご視聴ありがとうございましたご視聴ありがとうございました",
         "ご視聴ありがとうございました"),
        ("ああああああああ", "あ"),
        ("- - - - - -", "-"),
    ],
)  # fmt: skip
def test_a_loop_is_said_once(heard: str, left: str) -> None:
    assert looped_out(heard) == left


@pytest.mark.parametrize(
    "honest",
    [
        "no, no, no",
        "No! No! No! No!",
        "he had had enough",
        "that that is, is",
        "Row, row, row your boat, gently down the stream.",
        "We will, we will rock you. We will, we will rock you.",
        "I love you, yeah. I love you, yeah.",
        "はい、はい、はい。",
        "哈哈哈哈哈",
        "the cat and the dog and the bird and the fish",
        "a b a b",
        "",
        "   ",
    ],
)
def test_what_people_repeat_stays(honest: str) -> None:
    assert looped_out(honest) == honest.rstrip()


echoes = [
    (["Thanks for coming.", "thanks for coming", "Thanks for coming!"], [0]),
    (["So.", "I am here.", "I am here.", "I am here.", "I am here.", "Bye."], [0, 1, 5]),
    (["On the left.", "On the right."] * 3, [0, 1]),
    (["No."] * 6, [0]),
    (["you"] * 3, [0]),
]


@pytest.mark.parametrize(("texts", "kept"), echoes)
def test_a_sentence_that_comes_again_and_again_stays_once(
    texts: list[str], kept: list[int]
) -> None:
    assert select_without_echoes(texts) == kept


@pytest.mark.parametrize(
    "texts",
    [
        ["No.", "No.", "No."],
        ["We shall overcome.", "We shall overcome."],
        ["Chorus one.", "Chorus two.", "Chorus one.", "Chorus two."],
        ["I am here.", "I am here.", "Where?", "I am here."],
        [],
    ],
)
def test_a_sentence_said_twice_stays(texts: list[str]) -> None:
    assert select_without_echoes(texts) == list(range(len(texts)))


words = st.lists(
    st.sampled_from(["you", "You.", "no,", "la", "thank", "あ", "-", "9"]), max_size=40
)
joined = st.tuples(words, st.sampled_from(["", " "])).map(lambda drawn: drawn[1].join(drawn[0]))


@given(st.one_of(joined, st.text(max_size=60)))
def test_no_word_is_made_up_and_a_second_time_changes_nothing(text: str) -> None:
    said = split_into_pieces(text)
    kept = select_without_loops(said)

    assert "".join(said) == text[: len("".join(said))]
    assert not text[len("".join(said)) :].strip()
    assert kept == sorted(set(kept))
    assert set(kept) <= set(range(len(said)))
    assert bool(kept) == bool(said)
    once = looped_out(text)
    assert looped_out(once) == once


@given(st.lists(st.sampled_from(["No.", "no", "I am here.", "Where?", ""]), max_size=30))
def test_echoes_are_found_the_first_time(texts: list[str]) -> None:
    kept = select_without_echoes(texts)

    left = [texts[index] for index in kept]
    assert select_without_echoes(left) == list(range(len(left)))
    assert {text.casefold().strip(".") for text in left} == {
        text.casefold().strip(".") for text in texts
    }
