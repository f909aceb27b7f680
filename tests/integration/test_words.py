"""Exact words in texts, speech, names, titles and tags, on real tables with fake encoders."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch import text
from mmsearch.errors import QueryError
from mmsearch.index.index_config import DEFAULT_INDEX_CONFIG
from mmsearch.library.library import Library
from mmsearch.query.algebra import parse
from mmsearch.query.ranking import Ranking
from mmsearch.search import lexical, retrieval
from mmsearch.snapshot import maintenance
from mmsearch.store import fulltext
from mmsearch.store.reader import Reader
from mmsearch.store.schema import SEGMENTS, TEXT_INDEX
from mmsearch.store.writer import Lock
from mmsearch.types import Hit
from tests.fakes import fake_library, write_picture, write_sound, write_text
from tests.patience import HANG_S, wait_until

WORDS_ONLY = Ranking(vectors=False)
FILLER = "and then something else was written about the weather of that day"


def made(folder: Path, written: Mapping[str, str]) -> Library:
    """A library of texts by the names of their files, which say nothing."""
    for name, content in written.items():
        write_text(folder / "media" / f"{name}.txt", content)
    library = fake_library(folder / "library")
    assert library.index(folder / "media").failed == 0
    return library


def names(hits: list[Hit]) -> list[str]:
    return [Path(hit.path).stem for hit in hits]


def scores(library: Library, query: str, **filters: Any) -> dict[str, float]:
    """The score of every file that the words of a query find, best first."""
    hits = library.search(query, ranking=WORDS_ONLY, min_score=0.001, limit=100, **filters)
    return {Path(hit.path).stem: hit.score for hit in hits}


def test_rows_are_known_by_their_addresses(tmp_path: Path) -> None:
    """Where rows went and others came later, too."""
    library = made(tmp_path, {f"a{number}": f"keeper {number} {FILLER}" for number in range(9)})
    (tmp_path / "media" / "a3.txt").unlink()
    write_text(tmp_path / "media" / "b.txt", "a keeper of another fragment")
    library.index(tmp_path / "media")
    library.prune()
    snapshot = library.snapshot()
    rows = snapshot.segments
    addresses = rows.addresses()
    found, owners = rows.find_at(addresses)
    there = found >= 0
    assert sorted(found[there].tolist()) == list(range(int(there.sum())))
    assert (owners[there] == rows.owners()[there]).all()
    assert (snapshot.asset_rows(owners[there]) >= 0).all()
    beyond, nobody = rows.find_at(addresses | np.uint64(77 << 32))
    assert (beyond == -1).all()
    assert (nobody == 0).all()
    assert len(rows.find_at(addresses[:0])[0]) == 0
    assert scores(library, "keeper").keys() == {"b", *(f"a{n}" for n in range(9) if n != 3)}


def dataset(library: Library) -> Any:
    return Reader.open(library.location).open_newest(SEGMENTS)


def indexed_names(library: Library) -> list[str]:
    return [one.name for one in dataset(library).describe_indices()]


def unindexed_rows(library: Library) -> int:
    return int(dataset(library).stats.index_stats(TEXT_INDEX)["num_unindexed_rows"])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return made(
        tmp_path_factory.mktemp("words"),
        {
            "f0": "The lighthouse keeper wrote to New York in the winter.",
            "f1": "York was a new place to the keeper of the bees.",
            "f2": "Invoice INV-2041 of the 3rd, part ABC-123_x9, version 27.46.31, at 10:30.",
            "f3": "Invoice INV-2042 of the 4th, and a marmalade sandwich.",
            "f4": "Das Café in Zürich hat eine Straße, smørrebrød und Łódź.",
            "f5": "Русский язык и ёлка, Ἀθῆναι και σοφία.",
            "f6": "हिन्दी भाषा 한국어 검색 がっこう 東京タワー",
            "f7": f"The checksum is {'9f86d081884c7d65' * 4} of this.",
            "f8": "A winter of snow, a keeper, a keeper, and a keeper of the keeper.",
            "f9": "Nothing of this kind.",
        },
    )


def test_an_exact_word_finds_the_texts_that_have_it_and_no_others(library: Library) -> None:
    assert set(scores(library, "marmalade")) == {"f3"}
    assert set(scores(library, "keeper")) == {"f0", "f1", "f8"}
    assert scores(library, "zeppelin") == {}

    (hit,) = library.search("marmalade", ranking=WORDS_ONLY)
    assert set(hit.spaces) == {"words"}
    assert hit.spaces["words"].rank == 1
    assert hit.spaces["words"].similarity == 1.0
    assert hit.spaces["words"].provenance is None
    assert hit.why.startswith("text: ")
    assert "marmalade" in hit.why


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("cafe", "f4"),
        ("CAFÉ ZURICH", "f4"),
        ("strasse", "f4"),
        ("Straße", "f4"),
        ("smorrebrod lodz", "f4"),
        ("русский", "f5"),
        ("ёлка ЯЗЫК", "f5"),
        ("σοφία", "f5"),
        ("Ἀθῆναι", "f5"),
        ("हिन्दी", "f6"),
        ("한국어", "f6"),
        ("がっこう", "f6"),
        ("東京タワー", "f6"),
    ],
)
def test_words_of_any_script_are_found_and_latin_accents_do_not_count(
    library: Library, query: str, name: str
) -> None:
    found = scores(library, query)

    assert next(iter(found)) == name
    assert found[name] > 0.9


@pytest.mark.parametrize("query", ["inv-2041", "INV 2041", "ABC-123_x9", "27.46.31", "10:30", "x9"])
def test_codes_and_numbers_are_words(library: Library, query: str) -> None:
    found = scores(library, query)

    assert next(iter(found)) == "f2"
    assert found["f2"] > 0.9
    assert all(score < 0.5 for name, score in found.items() if name != "f2")


def test_a_number_is_not_taken_for_another(library: Library) -> None:
    assert set(scores(library, "2041")) == {"f2"}
    assert scores(library, "2043") == {}


def test_a_hash_is_a_word(library: Library) -> None:
    assert set(scores(library, "9f86d081884c7d65" * 4)) == {"f7"}


def test_a_rare_word_counts_more_than_a_common_one(library: Library) -> None:
    found = scores(library, "keeper lighthouse marmalade")

    assert list(found)[:2] == ["f0", "f3"]
    assert found["f3"] > max(found["f1"], found["f8"])


def test_half_of_the_words_is_far_less_than_half_of_a_match(library: Library) -> None:
    whole, half = scores(library, "marmalade"), scores(library, "marmalade lighthouse")

    assert half["f3"] < 0.5 * whole["f3"]


def test_a_misspelt_word_finds_less_than_the_right_one(library: Library) -> None:
    right, misspelt = scores(library, "marmalade"), scores(library, "marmelade")

    assert set(misspelt) == {"f3"}
    assert 0.3 < misspelt["f3"] < 0.6 * right["f3"]
    assert scores(library, "lighthous keepr")["f0"] > 0.3
    assert scores(library, "ёлкаа")["f5"] < 0.6 * scores(library, "ёлка")["f5"]
    assert scores(library, "keepersss") == scores(library, "snw") == {}


def test_a_word_that_is_there_is_no_misspelling(tmp_path: Path) -> None:
    library = made(tmp_path, {"one": "a casting net", "two": "a coasting ship", "three": FILLER})

    assert set(scores(library, "coasting")) == {"two"}
    assert set(scores(library, "casting")) == {"one"}


# Phrases


def test_a_phrase_finds_its_words_only_where_they_stand_together(library: Library) -> None:
    assert {"f0", "f1"} <= set(scores(library, "new york"))
    assert set(scores(library, '"new york"')) == {"f0"}
    assert scores(library, '"new york"')["f0"] > 0.9
    assert scores(library, '"york new"') == {}


def test_a_phrase_that_is_not_there_does_not_count_but_other_words_do(library: Library) -> None:
    found = scores(library, '"york keeper" lighthouse')
    alone = scores(library, "york keeper lighthouse")

    assert 0 < found["f0"] < 0.8 * alone["f0"]
    assert "f1" not in found


def test_a_phrase_of_words_that_tell_nothing_is_looked_for_too(library: Library) -> None:
    assert set(scores(library, '"in the"')) == {"f0"}
    assert set(scores(library, '"of this kind"')) == {"f9"}


def test_two_phrases_are_two_phrases(library: Library) -> None:
    found = scores(library, '"new york" "lighthouse keeper"')

    assert found["f0"] > 0.9
    assert set(found) == {"f0"}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """400 texts that have both words of a phrase, and two long ones that have the phrase."""
    written = {f"a{number}": f"harbour old {number}" for number in range(400)}
    written |= {f"z/long{at}": f"{FILLER} the old harbour {at} {FILLER}" for at in range(2)}
    written["z/other"] = f"{FILLER} harbour"
    return made(tmp_path_factory.mktemp("many"), written)


def test_a_phrase_is_found_behind_all_texts_that_have_only_its_words(many: Library) -> None:
    plain = many.search("old harbour", ranking=WORDS_ONLY, limit=50)
    quoted = many.search('"old harbour"', ranking=WORDS_ONLY)

    assert not {"long0", "long1"} & set(names(plain))
    assert set(names(quoted)) == {"long0", "long1"}


def test_a_filter_lets_all_through_that_pass_however_far_down(
    many: Library, tmp_path: Path
) -> None:
    folder = Path(many.search('"old harbour"', ranking=WORDS_ONLY)[0].path).parent

    found = many.search("harbour", ranking=WORDS_ONLY, under=[folder], min_score=0.01, limit=50)
    nothing = many.search("harbour", ranking=WORDS_ONLY, under=[tmp_path], min_score=0.0)

    assert set(names(found)) == {"long0", "long1", "other"}
    assert nothing == []


def test_as_many_as_are_asked_for_are_found(many: Library) -> None:
    for limit in (1, 300, 403):
        found = many.search("harbour", ranking=WORDS_ONLY, min_score=0.0, limit=limit)
        assert len(found) == len({hit.path for hit in found}) == limit
    snapshot = many.snapshot()
    assert len(lexical.find_words(snapshot, "harbour", 1000, None).segments) == 403
    assert lexical.find_words(snapshot, "harbour", 1000, None).is_complete
    assert not lexical.find_words(snapshot, "harbour", 100, None).is_complete


# The index


def test_the_index_is_made_at_the_end_of_indexing(library: Library) -> None:
    assert indexed_names(library) == [TEXT_INDEX]
    assert unindexed_rows(library) == 0
    assert library.snapshot().reader.has_text_index
    assert not fulltext.is_update_due(dataset(library))


def test_what_was_added_is_found_at_once_and_taken_in_when_it_is_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = made(tmp_path, {"a": "a walrus", "b": "a penguin"})
    write_text(tmp_path / "media" / "c.txt", "another walrus, and an albatross")
    library.index(tmp_path / "media")

    assert unindexed_rows(library) == 1
    assert set(scores(library, "walrus")) == {"a", "c"}
    assert set(scores(library, "albatross")) == {"c"}
    assert set(scores(library, '"an albatross"')) == {"c"}

    monkeypatch.setattr(fulltext, "UNINDEXED_ROWS", 1)
    write_text(tmp_path / "media" / "d.txt", "a third walrus")
    library.index(tmp_path / "media")

    assert unindexed_rows(library) == 0
    assert set(scores(library, "walrus")) == {"a", "c", "d"}
    assert set(scores(library, '"third walrus"')) == {"d"}
    assert set(scores(library, "albatros")) == {"c"}


def test_words_stay_right_whatever_becomes_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fulltext, "UNINDEXED_ROWS", 4)
    vocabulary = ("walrus", "penguin", "albatross", "seal", "gannet")
    folder = tmp_path / "media"
    there: dict[str, str] = {}
    library = fake_library(tmp_path / "library")

    def write(number: int, step: int) -> None:
        first, second = vocabulary[(number + step) % 5], vocabulary[(2 * number + step) % 5]
        there[f"f{number}"] = f"the {first} and a {second} of {step} {number}"
        write_text(folder / f"f{number}.txt", there[f"f{number}"])

    for step in range(12):  # more parts than are left apart: they are merged
        write(2 * step, step)
        write(2 * step + 1, step)
        if step % 3 == 1:
            write(step, step)  # changed
        if step % 4 == 2:
            gone = f"f{step}"
            (folder / f"{gone}.txt").unlink()
            there.pop(gone)
        library.index(folder)
        library.prune()
        if step in (0, 5, 9, 11):
            for word in vocabulary:
                expected = {name for name, content in there.items() if word in content}
                assert set(scores(library, word)) == expected
                assert set(scores(library, f'"a {word}"')) == {
                    name for name, content in there.items() if f"a {word} of" in content
                }
    assert library.remove(folder / "f1.txt")
    merged = dataset(library)
    merged.optimize.compact_files(target_rows_per_fragment=1 << 20)
    assert len(merged.get_fragments()) <= 2  # what the index has, and what it has not yet
    del there["f1"]
    for word in vocabulary:
        expected = {name for name, content in there.items() if word in content}
        assert set(scores(library, word)) == expected
        assert set(scores(fake_library(tmp_path / "library"), word)) == expected


def test_a_library_that_has_no_index_yet_searches_without_words_until_it_is_indexed_again(
    tmp_path: Path,
) -> None:
    made(tmp_path, {"a": "a walrus", "b": "a penguin"}).close()
    dataset(fake_library(tmp_path / "library")).drop_index(TEXT_INDEX)
    library = fake_library(tmp_path / "library")

    assert scores(library, "walrus") == {}
    (hit,) = library.search("walrus", min_score=0.3)
    assert (Path(hit.path).stem, set(hit.spaces)) == ("a", {"text"})
    assert lexical.find_words(library.snapshot(), "walrus", 10, None).is_complete

    assert library.index(tmp_path / "media").indexed == 0

    assert indexed_names(library) == [TEXT_INDEX]
    assert set(scores(library, "walrus")) == {"a"}
    assert set(library.search("walrus")[0].spaces) == {"text", "words"}


def test_an_open_library_makes_the_index_in_the_background(tmp_path: Path) -> None:
    made(tmp_path, {"a": "a walrus", "b": "a penguin"}).close()
    dataset(fake_library(tmp_path / "library")).drop_index(TEXT_INDEX)

    with fake_library(tmp_path / "library") as library:
        wait_until(lambda: scores(library, "walrus"))
        assert set(scores(library, "walrus")) == {"a"}


def test_an_index_that_another_writer_stands_in_the_way_of_waits(tmp_path: Path) -> None:
    library = made(tmp_path, {"a": "a walrus"})
    dataset(library).drop_index(TEXT_INDEX)
    snapshot = fake_library(tmp_path / "library").snapshot()

    with Lock(library.location):
        maintenance.build_due_indexes(snapshot, DEFAULT_INDEX_CONFIG)
    assert indexed_names(library) == []
    maintenance.build_due_indexes(snapshot, DEFAULT_INDEX_CONFIG)
    assert indexed_names(library) == [TEXT_INDEX]


def test_a_library_of_pictures_alone_and_one_of_nothing(tmp_path: Path) -> None:
    library = fake_library(tmp_path / "library")
    (tmp_path / "media").mkdir()
    library.index(tmp_path / "media")
    assert indexed_names(library) == []
    assert scores(library, "walrus") == {}

    write_picture(tmp_path / "media" / "walrus.png")
    write_picture(tmp_path / "media" / "gull.png", "blue")
    library.index(tmp_path / "media")
    assert set(scores(library, "walrus")) == {"walrus"}


# Names, folders, titles and tags


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    write_picture(folder / "media" / "Norway 2019" / "p1.png", "red")
    write_picture(folder / "media" / "Norway 2019" / "p2.png", "green")
    write_picture(folder / "media" / "p3.png", "red", shade=120)
    write_text(folder / "media" / "page.html", "<title>Marmalade</title><p>On oranges.</p>")
    write_text(folder / "media" / "Zürich_notes-final.txt", "On banks.")
    fake_library(folder / "library").index(folder / "media")
    return folder


def test_folders_names_and_titles_are_words(named: Path) -> None:
    library = fake_library(named / "library")

    assert set(scores(library, "norway")) == {"p1", "p2"}
    assert set(scores(library, "norway 2019")) == {"p1", "p2"}
    assert set(scores(library, "zurich notes")) == {"Zürich_notes-final"}
    assert set(scores(library, "marmalade")) == {"page"}
    (hit,) = library.search("marmalade", ranking=WORDS_ONLY)
    assert set(hit.spaces) <= {"name", "words"}


def test_tags_are_words_as_sure_as_they_are(named: Path) -> None:
    library = fake_library(named / "library")
    found = scores(library, "red")

    assert set(found) == {"p1", "p3"}
    assert all(0.5 < score < 0.9 for score in found.values())
    assert next(iter(scores(library, "red norway"))) == "p1"
    assert scores(library, "red", kinds=["text"]) == {}


def test_tags_of_what_was_removed_find_nothing(named: Path, tmp_path: Path) -> None:
    shutil.copytree(named, tmp_path / "copy")
    library = fake_library(tmp_path / "copy" / "library")

    removed = library.remove(named / "media" / "Norway 2019" / "p1.png")

    assert len(removed) == 1
    assert set(scores(library, "red")) == {"p3"}
    assert set(scores(library, "norway")) == {"p2"}
    assert set(scores(library, "green")) == {"p2"}


def test_what_is_said_is_found_by_its_words(tmp_path: Path) -> None:
    write_sound(tmp_path / "media" / "s.wav")
    write_text(tmp_path / "media" / "t.txt", "no song")
    library = fake_library(tmp_path / "library")
    library.index(tmp_path / "media")

    (hit,) = library.search('"humming voices"', ranking=WORDS_ONLY)

    assert hit.segment.kind == "speech"
    assert hit.segment.span is not None
    assert hit.why.startswith("speech: ")


# Hostile


HOSTILE = [
    '"', '""', '"""', '" "', '"unbalanced', 'unbalanced"', '"a" "', "\0", "a\0b",
    "🎉", "👩‍👩‍👧 keeper",
    "a AND (b", "keeper OR", "NOT keeper", "(keeper", "keeper)", "keeper*", "*", "?", "keeper~2",
    "text:keeper", "+keeper -keeper", "[a TO z]", "^4", "\\", "keeper\\",
    "'; DROP TABLE segments; --",
    "' OR '1'='1", "%", "_", "--", "/* keeper */", "{}", "$where", "keeper:", '{"match": {"x": 1}}',
    "\ud800", "keeper \udcff", "a" * 100_000, "é" * 10_000, "\u202e", "\ufeffkeeper", "\n\t keeper",
    "ﷺ", "\u0301", "1e999", "0" * 400, "NaN", "None",
]  # fmt: skip


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_are_words(library: Library, query: str) -> None:
    words = parse([f" {query}"])
    for ranking in (WORDS_ONLY, Ranking()):
        for asked in (text(query), words, text("keeper") - text(query)):
            try:
                hits = library.search(asked, ranking=ranking, min_score=0.001, kinds=["text"])
            except QueryError:
                assert not query.strip() or not words.terms
                continue
            assert all(0.0 < hit.score <= 1.0 for hit in hits)
    plain = {"keeper"} == {one for one in lexical.tokenize(query) if one != "2"}
    if plain and '"' not in query:
        assert set(scores(library, query)) >= {"f0", "f1", "f8"}


@pytest.mark.parametrize(
    "query",
    [
        " ".join(f"word{number}" for number in range(10_000)),
        " ".join(["keeper"] * 10_000),
        " ".join('"a b"' for _ in range(10_000)),
        '"' + " ".join(["keeper"] * 10_000) + '"',
        '"' + " ".join(f"w{number}" for number in range(10_000)) + '"',
        '"' * 10_001,
        " ".join(f'"keeper of" x{number}' for number in range(5_000)),
    ],
    ids=["words", "one word", "phrases", "phrase", "long phrase", "quotes", "both"],
)
def test_very_long_queries_are_answered_soon(library: Library, query: str) -> None:
    started = time.monotonic()

    scores(library, query)
    library.search(text("keeper") - text(query), ranking=WORDS_ONLY)

    assert time.monotonic() - started < HANG_S


def test_a_search_with_words_off_knows_no_words(library: Library) -> None:
    hits = library.search("marmalade", ranking=Ranking(words=False), min_score=0.0, limit=50)

    assert {name for hit in hits for name in hit.spaces} == {"text"}


def test_depth_is_more_than_what_is_asked_of_the_index_at_first() -> None:
    """The tests above go past the first depth."""
    assert retrieval.MIN_DEPTH < 400
