"""Terms to avoid: what matches them is not among the hits."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch import Query, file, image, text
from mmsearch.library.library import Library
from mmsearch.query.algebra import parse
from mmsearch.query.ranking import DEFAULT_CUTOFF, Ranking
from mmsearch.types import Hit
from tests.fakes import fake_library, write_film, write_picture, write_sound, write_text

WORDS_ONLY = Ranking(vectors=False)
VECTORS_ONLY = Ranking(words=False)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for shade in (120, 160, 200):
        write_picture(folder / "p" / f"r{shade}.png", "red", shade=shade)
        write_picture(folder / "p" / f"b{shade}.png", "blue", shade=shade)
    write_picture(folder / "Norway" / "n.png", "red", shade=90)
    write_film(folder / "f" / "both.mp4", ["red", "blue", "red"])
    write_film(folder / "f" / "warm.mp4", ["red", "green"])
    write_film(folder / "f" / "cold.mp4", ["blue", "blue"])
    write_text(folder / "t" / "boats.txt", "fishing boats harbour")
    write_text(folder / "t" / "storm.txt", "fishing boats storm")
    write_text(folder / "t" / "long.txt", f"fishing boats {'calm water ' * 30} storm")
    write_sound(folder / "s" / "low.wav", hertz=220, seconds=12)
    write_sound(folder / "s" / "low too.wav", hertz=220, seconds=4)
    write_sound(folder / "s" / "high.wav", hertz=3000, seconds=5)
    return folder


@pytest.fixture(scope="module")
def library(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    made = fake_library(tmp_path_factory.mktemp("libraries") / "library")
    assert made.index(media).failed == 0
    return made


def found(library: Library, query: Query, **options: object) -> dict[str, Hit]:
    options = {"limit": 50, "ranking": Ranking(dedupe=False), **options}
    hits = library.search(query, **options)  # type: ignore[arg-type]
    return {Path(hit.path).stem: hit for hit in hits}


REDS, BLUES = {"r120", "r160", "r200", "n"}, {"b120", "b160", "b200"}


# Pictures


def test_pictures_that_match_what_is_to_be_avoided_are_not_hits(library: Library) -> None:
    plain = found(library, text("red"), kinds=["image"], min_score=0.0)
    without = found(library, text("red") - text("blue"), kinds=["image"], min_score=0.0)

    assert set(plain) == REDS | BLUES
    assert set(without) == REDS


@pytest.mark.parametrize("ranking", [VECTORS_ONLY, WORDS_ONLY], ids=["vectors", "words"])
def test_meaning_and_tags_each_exclude_alone(library: Library, ranking: Ranking) -> None:
    asked = text("red") + text("blue") - text("blue")

    without = found(library, asked, kinds=["image"], min_score=0.0, ranking=ranking)

    assert set(without) == REDS


def test_what_is_to_be_avoided_changes_nothing_of_what_is_unlike_it(library: Library) -> None:
    plain = found(library, text("red"), kinds=["image"])
    without = found(library, text("red") - text("zebra"), kinds=["image"])

    assert set(without) == set(plain)
    for name, hit in without.items():
        assert 0.8 * plain[name].score < hit.score <= plain[name].score


def test_a_picture_to_avoid_takes_its_like_along(library: Library, media: Path) -> None:
    example = media / "p" / "b160.png"
    for avoided in (file(example), image(example)):
        without = found(
            library, text("red") + text("blue") - avoided, kinds=["image"], min_score=0.0
        )
        assert set(without) == REDS


def test_an_example_that_is_not_indexed_can_be_avoided(library: Library, tmp_path: Path) -> None:
    example = write_picture(tmp_path / "new.png", "blue", shade=140)

    asked = text("red") + text("blue") - file(example)

    assert set(found(library, asked, kinds=["image"], min_score=0.0)) == REDS


def test_an_example_without_its_like(library: Library, media: Path) -> None:
    red, blue = media / "p" / "r160.png", media / "p" / "b160.png"

    without = found(library, file(red) - file(blue), kinds=["image"], min_score=0.0)

    assert next(iter(without)) == "r160"
    assert set(without) == REDS


def test_words_to_avoid_leave_an_example_its_own_cut_off(library: Library, tmp_path: Path) -> None:
    """How sure a hit must be depends on what is looked for, not on what is not."""
    example = file(write_text(tmp_path / "new.txt", "harbour of the northern islands"))
    plain = found(library, example)
    without = found(library, example - text("zebra"))

    assert next(iter(plain.values())).score < DEFAULT_CUTOFF.first
    assert next(iter(without)) == next(iter(plain)) == "boats"


# Weights


@pytest.mark.parametrize(("weight", "is_out"), [(0.05, False), (1.0, True), (10.0, True)])
def test_a_weight_says_how_near_is_too_near(library: Library, weight: float, is_out: bool) -> None:
    asked = text("red") + text("blue") - weight * text("blue")

    without = found(library, asked, kinds=["image"], min_score=0.0, ranking=VECTORS_ONLY)

    assert BLUES.isdisjoint(without) == is_out
    assert set(without) >= REDS


def test_a_weak_term_to_avoid_lowers_what_is_like_it(library: Library) -> None:
    asked = text("red") + text("blue")
    options = {"kinds": ["image"], "min_score": 0.0, "ranking": VECTORS_ONLY}
    plain = found(library, asked, **options)
    without = found(library, asked - 0.2 * text("blue"), **options)

    assert all(without[name].score < 0.9 * plain[name].score for name in BLUES)
    assert all(without[name].score > 0.9 * plain[name].score for name in REDS)


def test_the_command_line_writes_the_same(library: Library) -> None:
    by_operator = found(library, text("red boats") - text("blue"), min_score=0.0)

    assert found(library, parse(["red", "boats"], without=["blue"]), min_score=0.0) == by_operator
    assert found(library, parse(["red boats", "-blue"]), min_score=0.0) == by_operator


# Names and texts


def test_a_folder_name_to_avoid(library: Library) -> None:
    without = found(library, text("red") - text("norway"), kinds=["image"])

    assert set(without) & REDS == REDS - {"n"}


def test_words_in_a_text_exclude_it_whatever_it_means(library: Library) -> None:
    plain = found(library, text("fishing boats"), kinds=["text"], min_score=0.05)
    without = found(library, text("fishing boats") - text("storm"), kinds=["text"], min_score=0.0)

    assert set(plain) == {"boats", "storm", "long"}
    assert set(without) == {"boats"}


def test_a_phrase_to_avoid_must_stand_there(library: Library) -> None:
    options = {"kinds": ["text"], "min_score": 0.0, "ranking": WORDS_ONLY}

    assert set(found(library, text("fishing") - text('"boats storm"'), **options)) == {
        "boats",
        "long",
    }
    assert set(found(library, text("fishing") - text('"storm boats"'), **options)) == {
        "boats",
        "storm",
        "long",
    }


# Films and recordings


def test_of_a_film_only_the_moments_go_that_match(library: Library) -> None:
    plain = found(library, text("red"), kinds=["video"])["both"]
    without = found(library, text("red") - text("blue"), kinds=["video"])["both"]

    assert {moment.segment.tags[0].name for moment in without.moments} == {"red"}
    assert without.segment == plain.segment
    assert without.score > 0.8 * plain.score


def test_a_film_goes_when_all_of_it_matches(library: Library) -> None:
    plain = found(library, text("blue"), kinds=["video"], min_score=0.0)
    without = found(library, text("green") - text("blue"), kinds=["video"], min_score=0.0)

    assert "cold" in plain
    assert set(without) == {"both", "warm"}


def test_a_film_is_no_hit_by_a_moment_that_is_to_be_avoided(library: Library) -> None:
    """What is left of it must match by itself."""
    asked = text("green") + text("red") - text("red")

    options = {"kinds": ["video"], "ranking": VECTORS_ONLY}
    plain = found(library, text("green") + text("red"), **options)
    without = found(library, asked, min_score=0.0, **options)

    assert {"both", "warm"} <= set(plain)
    assert without["warm"].segment.tags[0].name == "green"
    assert without["warm"].score < plain["warm"].score
    if "both" in without:
        assert without["both"].score < DEFAULT_CUTOFF.rest
        assert without["both"].segment.tags[0].name == "blue"
    assert set(found(library, asked, **options)) == {"warm"}


def test_a_recording_to_avoid(library: Library, media: Path) -> None:
    asked = text("humming voices") - file(media / "s" / "low too.wav")

    plain = found(library, text("humming voices"), kinds=["audio"])
    assert set(plain) == {"low", "low too", "high"}
    without = found(library, asked, kinds=["audio"], ranking=VECTORS_ONLY)
    assert not {"low", "low too"} & {name for name, hit in without.items() if "sound" in hit.spaces}


# How much is left


def test_where_everything_is_to_be_avoided_nothing_is_left(library: Library) -> None:
    for ranking in (Ranking(), WORDS_ONLY, VECTORS_ONLY):
        assert found(library, text("red") - text("red"), kinds=["image"], ranking=ranking) == {}
    assert found(library, text("boats") - text("boats"), kinds=["text"]) == {}


def test_what_is_excluded_by_a_filter_is_not_held_against_anything(library: Library) -> None:
    asked = text("red") - text("blue")

    assert found(library, asked, kinds=["text"], min_score=0.3) == {}
    assert set(found(library, asked, kinds=["image"])) == REDS


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """400 texts that match better than 30 others, all of which say what they are of."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(400):
        write_text(folder / "media" / f"a{number}.txt", f"harbour storm harbour storm {number}")
    for number in range(30):
        write_text(folder / "media" / f"b{number}.txt", f"harbour seen by day n{number} quietly")
    library = fake_library(folder / "library")
    library.index(folder / "media")
    return library


@pytest.mark.parametrize("ranking", ["", "vectors=off", "words=off"])
@pytest.mark.parametrize("limit", [10, 25])
def test_enough_others_are_found_behind_all_that_are_excluded(
    many: Library, ranking: str, limit: int
) -> None:
    asked = text("harbour") - 3 * text("storm")
    made = Ranking.parse(f"dedupe=off,{ranking}")

    plain = found(many, text("harbour"), limit=320, ranking=made, min_score=0.01)
    without = found(many, asked, limit=limit, ranking=made, min_score=0.01)

    assert sum(name.startswith("a") for name in plain) > 256
    assert len(without) == limit
    assert all(name.startswith("b") for name in without)
