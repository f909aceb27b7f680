"""Queries: the operators, the words of a command line, and what they are written as."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import QueryError
from mmsearch.query.algebra import (
    Query,
    Term,
    TermKind,
    asset,
    audio,
    file,
    image,
    parse,
    split,
    text,
)

terms = st.builds(
    Term,
    kind=st.sampled_from(TermKind),
    value=st.text(min_size=1, max_size=5),
    weight=st.sampled_from([-2.0, -1.0, -0.5, 0.5, 1.0, 3.0]),
)
queries = st.lists(terms, max_size=4).map(lambda listed: Query(tuple(listed)))


def test_the_operators_make_a_weighted_sum() -> None:
    query = text("harbour") + 0.5 * image("boat.jpg") - text("people") + audio("horn.mp3") * 2

    assert query.terms == (
        Term(TermKind.TEXT, "harbour", 1.0),
        Term(TermKind.IMAGE, "boat.jpg", 0.5),
        Term(TermKind.TEXT, "people", -1.0),
        Term(TermKind.AUDIO, "horn.mp3", 2.0),
    )
    assert str(query) == "harbour +0.5:boat.jpg -people +2:horn.mp3"


@given(queries, queries)
def test_minus_is_plus_the_negative(one: Query, other: Query) -> None:
    assert one - other == one + -other
    negative = -one
    assert -negative == one


@given(queries, queries, queries)
def test_plus_is_associative(a: Query, b: Query, c: Query) -> None:
    assert (a + b) + c == a + (b + c)


@given(queries)
def test_a_factor_applies_from_either_side_to_every_term(query: Query) -> None:
    assert 2 * query == query * 2
    assert [term.weight for term in (2 * query).terms] == [2 * term.weight for term in query.terms]
    assert 1.0 * query == query


def test_queries_are_values() -> None:
    query = text("a")
    _ = query + text("b")

    assert query == text("a")
    assert hash(query) == hash(text("a"))


@pytest.mark.parametrize(
    "query", [Query(()), -text("people"), 0 * text("people"), text(""), text("a") + text("  ")]
)
def test_a_query_that_looks_for_nothing_is_an_error(query: Query) -> None:
    with pytest.raises(QueryError):
        query.checked()


def test_a_query_with_something_to_look_for_is_returned_as_it_is() -> None:
    query = text("beach") - text("people")

    assert query.checked() is query


def test_words_are_joined_to_one_text() -> None:
    assert parse(["dog", " on a", "beach "]) == text("dog on a beach")


def test_paths_with_a_slash_in_front_are_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "boat.jpg").touch()
    (tmp_path / "sub" / "it's.jpg").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert parse(["./boat.jpg", "at", "night"]) == file("boat.jpg") + text("at night")
    assert parse([str(tmp_path / "boat.jpg")]) == file(tmp_path / "boat.jpg")
    assert parse(["~/sub/it's.jpg"]) == file(tmp_path / "sub/it's.jpg")
    assert parse(["boat.jpg"]) == text("boat.jpg")  # without the slash it is a word
    monkeypatch.chdir(tmp_path / "sub")
    assert parse(["../boat.jpg"]) == file("../boat.jpg")


@pytest.mark.parametrize("word", ["./none.jpg", "/none.jpg", "../none", "./"])
def test_a_path_that_is_no_file_is_an_error_that_says_what_to_do(word: str) -> None:
    with pytest.raises(QueryError, match="no such file"):
        parse([word])


def test_a_space_in_front_makes_a_path_a_text() -> None:
    assert parse([" /etc/none"]) == text("/etc/none")


@pytest.mark.parametrize("words", [[], [""], ["  ", "\t"]])
def test_blank_words_are_an_empty_query(words: list[str]) -> None:
    assert parse(words) == Query(())


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["dog", "+", "black", "cat"], text("dog") + text("black cat")),
        (["dog", "-", "cat"], text("dog") - text("cat")),
        (["dog", "+wet cat", "2:stripes"], text("dog") + text("wet cat") + 2 * text("stripes")),
        (["dog", "-.5:cat"], text("dog") - 0.5 * text("cat")),
        (["the", "10:30", "train"], text("the 10:30 train")),
        (["3:1:2"], text("3:1:2")),
        (["1 +1"], text("1 +1")),
        (["dog", "+ ./none.jpg"], text("dog") + text("./none.jpg")),
        (['"exact words"'], text('"exact words"')),
    ],
)
def test_signs_and_weights_make_terms(words: list[str], query: Query) -> None:
    assert parse(words) == query


def test_signs_and_weights_stand_before_examples_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boat.jpg").touch()
    monkeypatch.chdir(tmp_path)

    found = parse(["sunset", "+0.5:./boat.jpg", "at sea", "-", "./boat.jpg"])

    boat = file("boat.jpg")
    assert found == text("sunset at sea") + 0.5 * boat - boat


def test_what_is_to_be_avoided_is_written_as_any_term() -> None:
    assert parse(["dog"], without=["people", "2:red"]) == (
        text("dog") - text("people") - 2 * text("red")
    )
    assert parse(["dog"], without=["-people"]) == text("dog") - text("people")


@pytest.mark.parametrize(
    "words", [["dog", "+"], ["dog", "-"], ["dog", "+", " "], ["2:"], ["dog", "-3: "]]
)
def test_a_sign_or_a_weight_with_nothing_behind_it_is_an_error(words: list[str]) -> None:
    with pytest.raises(QueryError, match="nothing behind"):
        parse(words)


@pytest.mark.parametrize("word", ["0:dog", "0.0:dog", "1001:dog", "9" * 400 + ":dog"])
def test_a_weight_that_says_nothing_is_an_error(word: str) -> None:
    with pytest.raises(QueryError, match="weight"):
        parse([word])


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_weights_are_numbers(weight: float) -> None:
    with pytest.raises(QueryError, match="not a number"):
        (text("dog") + weight * text("cat")).checked()


@pytest.mark.parametrize("word", ["./" + "a" * 5000, "./nul\0byte", "~nobody/x/../..", "./\udcff"])
def test_hostile_paths_are_errors_or_words(word: str) -> None:
    with contextlib.suppress(QueryError):
        assert parse([word]).terms[0].kind is TermKind.TEXT


@given(st.lists(st.text(st.characters(exclude_characters="/.~+-:"), max_size=8)))
def test_words_without_marks_are_one_text(words: list[str]) -> None:
    found = parse(words)

    assert all(term.kind is TermKind.TEXT for term in found.terms)
    assert len(found.terms) == (1 if any(word.strip() for word in words) else 0)


@given(st.lists(st.text(st.sampled_from('ab +-.:/~5"\n'), max_size=6), max_size=5))
def test_any_words_give_a_query_or_an_error_that_says_why(words: list[str]) -> None:
    with contextlib.suppress(QueryError):
        found = parse(words)
        assert all(term.value.strip() and term.weight for term in found.terms)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda value: value == value.strip() != ""
)
text_queries = st.lists(
    st.builds(
        Term,
        kind=st.just(TermKind.TEXT),
        value=texts
        | st.sampled_from(["./a", "+a", "-", "2:a", ".5:", "/", "~/b", "10:30", "-- a"]),
        weight=st.floats(0.001, 1000) | st.floats(-1000, -0.001) | st.sampled_from([1.0, -1.0]),
    ),
    max_size=4,
).map(lambda listed: Query(tuple(listed)))


@given(text_queries)
def test_a_query_is_what_its_own_words_say(query: Query) -> None:
    assert parse(query.arguments()) == query


def test_a_line_is_split_at_spaces_but_not_in_quotes() -> None:
    line = 'sunset  -"dark room" 0.5:boats +asset:' + "0f" * 16 + ' "open quote'

    assert split(line) == [
        "sunset",
        '-"dark room"',
        "0.5:boats",
        "+asset:" + "0f" * 16,
        '"open quote',
    ]


def test_something_of_the_library_is_a_term_by_its_id() -> None:
    known = "0f" * 16

    asked = text("boats asset:0f") - 2.0 * asset(known)
    parsed = parse(["boats", f"-2:asset:{known}", "asset:0f"])

    assert sorted(parsed.terms, key=str) == sorted(asked.terms, key=str)
    assert parsed.terms == (
        Term(TermKind.TEXT, "boats asset:0f", 1.0),
        Term(TermKind.ASSET, known, -2.0),
    )
    assert parse(parsed.arguments()) == parsed


@pytest.mark.parametrize("word", ["./a.jpg", "-/etc/passwd", "0.5:~/a.jpg", "../a.jpg"])
def test_no_path_is_looked_for_where_files_are_not_read(word: str) -> None:
    with pytest.raises(QueryError, match="no files are read here"):
        parse([word], reads_files=False)
    with pytest.raises(QueryError, match="no files are read here"):
        parse(["boats"], without=[word], reads_files=False)
