"""Where the words of a query stand in a text."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.search.highlight import clip_ranges, find_highlights

ODD = st.sampled_from(
    ["é", "e\u0301", "\u0301", "ß", "İ", "½", "ﬁ", "㎏", "\u00ad", "\u200d", "\ud800", "\udfff",
     "😀", "東京", "が", "हिन्दी", "한국", " ", '"', "-", "_", "kitten", "Kittens", "7", "the"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(ODD, max_size=20).map("".join))
"""`st.text` leaves surrogates out; the other has some alone, as broken names do."""


def shown(text: str, query: str, *, is_stemmed: bool = True) -> list[str]:
    return [text[start:end] for start, end in find_highlights(text, query, is_stemmed=is_stemmed)]


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("The kitten sat", "kitten", ["kitten"]),
        ("KITTEN kitten Kitten", "kItTeN", ["KITTEN", "kitten", "Kitten"]),
        ("Zürich, Zu\u0308rich, Zurich", "zurich", ["Zürich", "Zu\u0308rich", "Zurich"]),
        ("a cafe by the Café", "café", ["cafe", "Café"]),
        ("straße STRASSE İstanbul", "strasse istanbul", ["straße", "STRASSE", "İstanbul"]),
        ("exam\u00adples", "example", ["exam\u00adples"]),
        ("IMG_0031", "31 0031 img", ["IMG", "0031"]),
        ("vitamin B12, b 12", "b12", ["B12"]),
        ("Ærø, Łódź und ΟΔΟΣ", "aero lodz οδος", ["Ærø", "Łódź", "ΟΔΟΣ"]),
        ("kittens, boxes, ponies, houses", "kitten box pony house",
         ["kittens", "boxes", "ponies", "houses"]),
        ("a kitten and a bus", "kittens buses", ["kitten", "bus"]),
        ("glass and canes", "glas cans", []),
        ("the cat of the house", "the house of", ["house"]),
        ("catalogue concatenate", "cat", []),
        ("東京都に行く", "東京", ["東京"]),
        ("हिन्दी भाषा", "हिन्दी", ["हिन्दी"]),
        ("well-known boats", "well-known", ["well", "known"]),
        ("", "kitten", []),
        ("kitten", "", []),
        ("kitten", "\ud800", []),
    ],
)  # fmt: skip
def test_words_are_found_whole_whatever_their_case_and_accents(
    text: str, query: str, expected: list[str]
) -> None:
    assert shown(text, query) == expected


def test_a_phrase_is_found_where_its_words_follow_each_other() -> None:
    text = "To be, or not to be: that is what it is to be."

    assert shown(text, '"to be or"') == ["To be, or"]
    assert shown(text, '"to be"') == ["To be", "to be", "to be"]
    assert shown(text, '"be to"') == []
    assert shown(text, '"to be that') == ["To", "be", "to", "be", "that", "to", "be"]  # no phrase


def test_function_words_count_in_phrases_alone_unless_nothing_else_is_asked() -> None:
    assert shown("the end of the road", "the end") == ["end"]
    assert shown("the end of the road", 'the "of the"') == ["of the"]
    assert shown("the end of the road", "the") == ["the", "the"]


def test_without_stems_only_the_word_itself_matches() -> None:
    assert shown("kitten kittens", "kittens", is_stemmed=False) == ["kittens"]


@given(TEXTS, TEXTS)
def test_ranges_rise_are_disjoint_and_lie_inside_the_text(text: str, query: str) -> None:
    ranges = find_highlights(text, query)

    assert all(0 <= start < end <= len(text) for start, end in ranges)
    assert all(one[1] <= other[0] for one, other in pairwise(ranges))
    for _, end in ranges:  # an accent is not torn from its letter
        assert end == len(text) or unicodedata.category(text[end])[0] != "M"


@given(
    st.lists(st.sampled_from(["lake", "Öland", "x", "東京", "\udfff", "42"]), max_size=12),
    st.sampled_from(["lake", "oland", "東京", "42"]),
)
def test_each_time_that_a_word_is_there_it_is_found(written: list[str], wanted: str) -> None:
    found = shown(" ".join(written), wanted)

    plain = {"Öland": "oland"}
    assert len(found) == sum(plain.get(word, word) == wanted for word in written)


@given(TEXTS, TEXTS)
def test_accents_and_case_of_the_query_make_no_difference(text: str, query: str) -> None:
    decomposed = unicodedata.normalize("NFD", query)
    if unicodedata.normalize("NFC", decomposed) == query:
        assert find_highlights(text, query) == find_highlights(text, decomposed)


@given(TEXTS, TEXTS, st.integers(0, 30), st.integers(0, 30))
def test_bounded_ranges_cover_the_same_characters(
    text: str, query: str, start: int, length: int
) -> None:
    end = min(len(text), start + length)
    ranges = find_highlights(text, query)
    covered = {at for first, last in ranges for at in range(first, last) if start <= at < end}

    cut = clip_ranges(ranges, start, end)

    assert {at + start for first, last in cut for at in range(first, last)} == covered
