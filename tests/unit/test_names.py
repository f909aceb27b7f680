"""The words of names, titles and tags, over all parts of all tables."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.index.base import RowArray
from mmsearch.index.word_index import FUNCTION_WORDS, MAX_WORD, WordIndex, fold_text, split_words
from mmsearch.snapshot.names import MIN_SHARE, NameIndexPart, NameMatches, Names
from tests.patience import HANG_S


def part(
    named: Sequence[tuple[int, str, float]], owners: Sequence[int] | None = None
) -> NameIndexPart:
    """A part of a table: its documents are assets themselves, or have `owners`."""

    def owned(documents: RowArray) -> RowArray:
        return documents if owners is None else np.asarray(owners, dtype=np.int64)[documents]

    return NameIndexPart(WordIndex.build(named), owned)


def called(*names: str) -> Names:
    """Assets of these names, in one part."""
    return Names([part([(at, name, 1.0) for at, name in enumerate(names)])], len(names))


def shares(found: NameMatches) -> dict[int, float]:
    return dict(zip(found.assets.tolist(), found.shares.tolist(), strict=True))


def surely(names: Names, word: str) -> dict[int, float]:
    assets, sure = names.find_word(word)
    return dict(zip(assets.tolist(), sure.tolist(), strict=True))


# Words


def test_words_are_lower_case_without_accents_and_apart_from_numbers() -> None:
    assert split_words("IMG_0041 Zürich-Café.jpg") == ["img", "0041", "zurich", "cafe", "jpg"]
    assert split_words("ﬁle２") == ["file", "2"]
    assert split_words("東京 タワー") == ["東京", "タワー"]
    assert split_words("_-. \n") == []


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Straße SMØRREBRØD Łódź", "strasse smorrebrod lodz"),
        ("Ærø œuvre þing İstanbul ığdır", "aero oeuvre thing istanbul igdir"),
        ("Ёлка Ἀθῆναι", "елка αθηναι"),
        ("GROẞ", "gross"),
    ],
)
def test_letters_are_folded_to_those_that_a_keyboard_has(written: str, folded: str) -> None:
    assert fold_text(written) == folded


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)


@given(st.text())
def test_words_are_found_again_in_themselves(text: str) -> None:
    found = split_words(text)

    assert all(0 < len(word) <= MAX_WORD for word in found)
    assert split_words(" ".join(found)) == found


# The index


vocabulary = st.sampled_from(["sea", "boat", "dog", "night", "x" * 50, "7"])
documents = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.lists(vocabulary, max_size=4).map(" ".join),
        st.sampled_from([0.01, 0.4, 1.0]),
    ),
    max_size=12,
)


@given(documents, st.sampled_from(["sea", "boat", "owl", "7", "x" * 32, ""]))
def test_documents_that_have_a_word_are_told_with_the_surest_of_them(
    named: list[tuple[int, str, float]], word: str
) -> None:
    expected: dict[int, float] = {}
    for document, text, sure in named:
        if word in split_words(text):
            expected[document] = max(sure, expected.get(document, 0.0))

    index = WordIndex.build(named)
    for one in (index, WordIndex.from_arrays(index.to_arrays())):
        found, sure = one.find_documents(word)
        assert found.tolist() == sorted(expected)
        np.testing.assert_allclose(sure, [expected[at] for at in sorted(expected)], atol=1 / 255)


def test_an_index_keeps_each_document_of_a_word_once_and_rising() -> None:
    index = WordIndex.build([(1, "boat", 1.0), (0, "boat boat", 1.0), (1, "boat", 0.5)])

    assert index.postings.tolist() == [0, 1]
    assert index.weights.tolist() == [255, 255]


def test_an_empty_index_has_no_word() -> None:
    documents, sure = WordIndex.build([]).find_documents("boat")

    assert (len(documents), len(sure)) == (0, 0)


# Matching


@given(
    st.lists(st.lists(vocabulary, max_size=4).map(" ".join), max_size=6),
    st.lists(st.sampled_from(["sea", "boat", "owl", "7", "x" * 32]), max_size=3),
)
def test_a_share_is_what_the_words_of_an_asset_weigh_of_the_query(
    named: list[str], query: list[str]
) -> None:
    count = len(named)
    having = {
        word: {at for at, name in enumerate(named) if word in split_words(name)} for word in query
    }
    weights = {word: math.log((count + 1) / (len(rows) + 1)) for word, rows in having.items()}
    total = sum(weights.values())
    expected = {
        at: sum(weights[word] for word, rows in having.items() if at in rows) / total
        for at in range(count)
        if total > 0
    }

    found = called(*named).match(query)

    assert found.assets.tolist() == sorted(shares(found))
    clear = {at: share for at, share in expected.items() if abs(share - MIN_SHARE) > 1e-4}
    kept = {at: share for at, share in shares(found).items() if at in clear}
    assert set(kept) == {at for at, share in clear.items() if share > MIN_SHARE}
    assert all(math.isclose(share, expected[at], abs_tol=1e-5) for at, share in kept.items())


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    found = shares(called("boat", "boat", "boat", "boat owl", "owl").match(["boat", "owl"]))

    assert found[3] > found[4] > found[0]
    assert math.isclose(found[3], 1.0, abs_tol=1e-6)


def test_a_word_that_every_asset_has_and_one_that_none_has() -> None:
    names = called("boat a", "boat b", "boat c")

    assert shares(names.match(["boat"])) == {}
    assert shares(names.match(["nothing"])) == {}
    assert 0.2 < shares(names.match(["c", "nothing"]))[2] < 0.5


def test_words_that_tell_nothing_are_passed_over() -> None:
    names = called("the way of the dog", "cat", "owl")

    assert shares(names.match(sorted(FUNCTION_WORDS))) == {}
    assert math.isclose(shares(names.match(["the", "dog", "of"]))[0], 1.0, abs_tol=1e-6)


def test_an_asset_is_found_by_any_of_its_names_through_any_part() -> None:
    files = part([(0, "boat", 1.0), (1, "harbour", 1.0), (2, "dog", 1.0)], owners=[1, 1, 2])
    titles = part([(0, "evening", 1.0)])
    tags = part([(0, "gull", 0.5)], owners=[2])
    names = Names([files, titles, tags], 3)

    assert shares(names.match(["harbour"])) == {1: 1.0}
    assert shares(names.match(["evening"])) == {0: 1.0}
    assert math.isclose(shares(names.match(["boat", "harbour"]))[1], 1.0, abs_tol=1e-6)
    assert math.isclose(shares(names.match(["gull"]))[2], 0.5, abs_tol=1 / 255)


def test_a_row_that_is_gone_is_nobodys_name() -> None:
    names = Names([part([(0, "boat", 1.0), (1, "boat", 1.0)], owners=[-1, 0])], 3)

    assert surely(names, "boat") == {0: 1.0}


def test_tags_belong_to_segments_and_weigh_as_they_do_for_assets() -> None:
    def offset(by: int) -> NameIndexPart:
        tags = part([(0, "sea", 1.0), (1, "sea boat", 0.5), (2, "boat", 1.0)], owners=[0, 1, -1])
        return NameIndexPart(tags.index, tags.owners, lambda documents: documents + by)

    names = Names([part([(2, "sea", 1.0)]), offset(0), offset(10)], 4)

    found = names.match_tags(["sea", "boat"])
    assert found.segments.tolist() == [0, 1, 10, 11]
    assert found.assets.tolist() == [0, 1, 0, 1]
    sea, boat = math.log(5 / 4), math.log(5 / 2)
    np.testing.assert_allclose(found.shares[1::2], [0.5, 0.5], atol=1 / 255)
    np.testing.assert_allclose(found.shares[::2], sea / (sea + boat), atol=1 / 255)
    assert shares(names.match(["sea"], with_tags=False)) == {2: 1.0}
    assert set(shares(names.match(["sea"]))) == {0, 1, 2}
    assert len(names.match_tags(["owl"]).segments) == len(names.match_tags([]).segments) == 0


def test_an_asset_counts_with_the_surest_of_its_tags() -> None:
    frames = part([(0, "cat", 0.3), (1, "cat", 0.9), (2, "cat", 0.2)], owners=[1, 1, 0])

    found = surely(Names([frames], 3), "cat")
    assert list(found) == [0, 1]
    np.testing.assert_allclose(list(found.values()), [0.2, 0.9], atol=1 / 255)


def test_no_parts_no_assets_and_no_words_find_nothing() -> None:
    assert shares(Names([], 0).match(["boat"])) == {}
    assert shares(Names([], 5).match(["boat"])) == {}
    assert shares(called("boat", "dog").match([])) == {}


def test_a_query_of_very_many_words_is_answered_soon() -> None:
    names = Names([part([(at, f"name{at % 97}", 1.0) for at in range(1000)])], 200_000)
    started = time.monotonic()

    names.match([f"word{number}" for number in range(10_000)])

    assert time.monotonic() - started < HANG_S
