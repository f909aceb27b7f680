"""Chunks are true slices, cover the text, and fit the encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.media.base import Passage
from mmsearch.media.texts.chunking import Chunk, split_chunks, split_sentences


def by_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def by_pieces(texts: Sequence[str]) -> list[int]:
    """Like a word-piece tokenizer: two special tokens, and one for every four characters."""
    return [
        2 + sum(-(-len(word) // 4) for word in re.findall(r"\w+|[^\w\s]", text)) for text in texts
    ]


def by_characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def cut(text: str, *, limit: int = 10, overlap: int = 3, start: int = 0) -> list[Chunk]:
    passage = Passage(text, None, start)
    return list(split_chunks([passage], by_words, max_tokens=limit, overlap_tokens=overlap))


TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(
        st.sampled_from(
            ["Hello", "world.", "\n", "\n\n", "e.g.", "あ。", "x" * 50, "?!", "  ", "12."]
        ),
        max_size=80,
    ).map(" ".join),
)


@settings(max_examples=300, deadline=None)
@given(
    TEXTS,
    st.integers(3, 40),
    st.integers(0, 20),
    st.sampled_from([by_words, by_pieces, by_characters]),
    st.integers(0, 1000),
)
def test_chunks_are_true_slices_that_cover_the_text(text, limit, overlap, count, start) -> None:  # type: ignore[no-untyped-def]
    passage = Passage(text, 7, start)
    found = list(split_chunks([passage], count, max_tokens=limit, overlap_tokens=overlap))
    covered: set[int] = set()
    last = (-1, -1)
    for chunk in found:
        assert chunk.place.page == 7
        assert chunk.place.chars is not None
        first, end = (at - start for at in chunk.place.chars)
        assert chunk.text == text[first:end] == chunk.text.strip() != ""
        assert (first, end) > last
        assert end > last[1]
        last = (first, end)
        covered.update(range(first, end))
        assert count([chunk.text])[0] <= limit or len(chunk.text) == 1
    assert all(at in covered for at, char in enumerate(text) if not char.isspace())


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_sentences_follow_each_other_without_overlap(text: str) -> None:
    end = 0
    for first, last in split_sentences(text):
        assert end <= first < last
        assert text[end:first].isspace() or first == end
        end = last
    assert not text[end:].strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Who met J. Smith, e.g. at 3.15 pm. Then he left.", 2),
        ("これは文です。次の文です！終わり", 3),
        ('He said "Stop." Then he went.', ['He said "Stop."', "Then he went."]),
        ("a line that\ngoes on here", 1),
        ("def f():\n    return 1\n\ndef g():\n    pass", 4),
        ("- milk\n- bread\n- eggs", 3),
        ("1. First thing\n2. Second thing", ["1. First thing", "2. Second thing"]),
        ("क्या हाल है। ठीक है।", 2),
    ],
)
def test_sentences_are_found(text: str, expected: list[str] | int) -> None:
    found = [text[first:last] for first, last in split_sentences(text)]
    assert found == expected if isinstance(expected, list) else len(found) == expected


def test_neighbours_share_their_border_sentence() -> None:
    text = "A b c d. E f g. H i. J k l m. N o p."
    found = cut(text, limit=9, overlap=3)
    assert [chunk.text for chunk in found] == ["A b c d. E f g. H i.", "H i. J k l m. N o p."]


def test_without_overlap_nothing_is_said_twice() -> None:
    text = "A b c d. E f g. H i. J k l m. N o p."
    found = cut(text, limit=9, overlap=0)
    assert [chunk.text for chunk in found] == ["A b c d. E f g. H i.", "J k l m. N o p."]


def test_a_tiny_end_is_joined_to_what_came_before() -> None:
    text = " ".join(f"W{at} x y z." for at in range(10)) + " End."
    found = cut(text, limit=20, overlap=0)
    assert len(found[-1].text.split()) >= 5
    assert found[-1].text.endswith("End.")


def test_a_sentence_without_end_is_cut_at_words() -> None:
    found = cut("word " * 1000, limit=10)
    assert all(len(chunk.text.split()) <= 10 for chunk in found)
    assert all(set(chunk.text.split()) == {"word"} for chunk in found)


def test_a_word_without_end_is_cut_at_characters() -> None:
    passage = Passage("x" * 1000, None, 0)
    found = list(split_chunks([passage], by_characters, max_tokens=100, overlap_tokens=0))
    assert "".join(chunk.text for chunk in found) == "x" * 1000


@pytest.mark.parametrize("text", ["", " ", "\n \t\n"])
def test_blank_text_gives_no_chunk(text: str) -> None:
    assert cut(text) == []


def test_offsets_count_from_the_passage() -> None:
    (chunk,) = cut("  Hello there. ", start=100)
    assert chunk.place.chars == (102, 114)


def test_limits_without_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        cut("a", limit=0)


def test_counting_is_asked_for_in_bulk() -> None:
    calls = []

    def count(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return by_words(texts)

    text = "A sentence of five words. " * 1000
    list(split_chunks([Passage(text, None, 0)], count, max_tokens=128, overlap_tokens=32))
    assert len(calls) <= 3
