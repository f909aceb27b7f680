"""What a search gives, on a library with fake encoders in which it is known what is near what."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmsearch import Query, audio, file, image, text
from mmsearch.errors import QueryError
from mmsearch.library.library import Library
from mmsearch.query.ranking import DEFAULT_CUTOFF, Ranking
from mmsearch.search import retrieval
from mmsearch.types import Modality, SegmentKind
from tests.fakes import fake_library, write_picture, write_sound, write_text


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for shade in (120, 160, 200):
        write_picture(folder / "pictures" / f"r{shade}.png", "red", shade=shade)
    write_picture(folder / "pictures" / "b.png", "blue")
    write_sound(folder / "sounds" / "low.wav", hertz=220, seconds=25)
    write_sound(folder / "sounds" / "low too.wav", hertz=220, seconds=3)
    write_sound(folder / "sounds" / "high.wav", hertz=3000)
    write_text(folder / "texts" / "boats.txt", "fishing boats harbour")
    write_text(folder / "texts" / "boats and storm.txt", "fishing boats storm")
    write_text(folder / "texts" / "zanzibar.txt", "spices and dhows")
    paragraphs = [f"{'word ' * 150}. Chapter {number} about otters{number}." for number in range(4)]
    write_text(folder / "texts" / "long.txt", "\n\n".join(paragraphs))
    return folder


@pytest.fixture(scope="module")
def library(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    made = fake_library(tmp_path_factory.mktemp("libraries") / "library")
    report = made.index(media)
    assert (report.indexed, report.failed) == (11, 0)
    return made


def names(hits: list) -> list[str]:
    return [Path(hit.path).name for hit in hits]


def test_hits_are_ranked_by_score_and_each_asset_comes_once(library: Library) -> None:
    hits = library.search("fishing boats", limit=100, min_score=0.0)

    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert len({hit.asset.id for hit in hits}) == len(hits)
    assert set(names(hits)[:2]) == {"boats.txt", "boats and storm.txt"}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_smaller_limit_gives_the_beginning_of_the_same_ranking(
    library: Library, limit: int
) -> None:
    everything = library.search("red boats", limit=50, min_score=0.0)

    assert library.search("red boats", limit=limit, min_score=0.0) == everything[:limit]


def test_beside_others_a_search_gives_the_same(library: Library) -> None:
    alone = library.search("red boats otters1", limit=50, min_score=0.0)

    with retrieval._DENSE_SEARCHES:
        assert library.search("red boats otters1", limit=50, min_score=0.0) == alone
    with ThreadPoolExecutor(4) as threads:
        asked = [
            threads.submit(library.search, "red boats otters1", limit=50, min_score=0.0)
            for _ in range(24)
        ]
        assert all(one.result() == alone for one in asked)
    with retrieval._DENSE_SEARCHES as count:
        assert count == 1


def test_the_cut_off_takes_the_tail_and_nothing_else(library: Library) -> None:
    everything = library.search("fishing boats", limit=50, min_score=0.0)

    for cut in (0.2, 0.6, 1.0):
        kept = library.search("fishing boats", limit=50, min_score=cut)
        assert kept == [hit for hit in everything if hit.score >= cut]


def test_words_find_pictures_by_what_is_in_them(library: Library) -> None:
    hits = library.search("red", kinds=["image"])

    assert set(names(hits)[:3]) == {"r120.png", "r160.png", "r200.png"}
    assert hits[0].segment.kind is SegmentKind.IMAGE
    assert hits[0].segment.tags[0].name == "red"
    assert "red" in hits[0].why


def test_a_word_in_a_name_finds_a_file_that_says_something_else(library: Library) -> None:
    (hit, *_) = library.search("zanzibar")

    assert Path(hit.path).name == "zanzibar.txt"
    assert next(iter(hit.spaces)) == "name"
    assert hit.why.startswith("name:")


def test_a_hit_names_its_best_moment_first(library: Library) -> None:
    hit = next(
        hit
        for hit in library.search("chapter about otters2", min_score=0.0)
        if hit.path.endswith("long.txt")
    )

    assert "otters2" in (hit.segment.text or "")
    assert hit.segment == hit.moments[0].segment
    moment_scores = [moment.score for moment in hit.moments]
    assert len(moment_scores) > 1
    assert moment_scores == sorted(moment_scores, reverse=True)
    start, end = hit.segment.place.chars or (0, 0)
    assert Path(hit.path).read_text()[start:end] == hit.segment.text


def test_a_recording_is_found_by_what_is_said_with_its_span(library: Library) -> None:
    (hit, *_) = library.search("humming voices", kinds=["audio"])

    assert hit.kind is Modality.AUDIO
    assert hit.segment.kind is SegmentKind.SPEECH
    assert hit.segment.span is not None
    assert hit.segment.span.end_s > hit.segment.span.start_s >= 0


def test_a_term_to_avoid_takes_what_has_it_and_nothing_else(library: Library) -> None:
    plain = library.search("fishing boats", kinds=["text"], min_score=0.0)
    without = library.search(text("fishing boats") - text("storm"), kinds=["text"], min_score=0.0)

    assert names(without)[0] == "boats.txt"
    assert set(names(plain)) - set(names(without)) == {"boats and storm.txt"}


def test_an_example_finds_itself_then_its_like(library: Library, media: Path) -> None:
    hits = library.search(image(media / "pictures/r160.png"), kinds=["image"], min_score=0.0)

    assert names(hits)[0] == "r160.png"
    assert set(names(hits)[1:3]) == {"r120.png", "r200.png"}


def test_similar_sounds_are_near_and_others_are_not(library: Library, media: Path) -> None:
    hits = library.similar(media / "sounds/low too.wav", kinds=["audio"])

    assert names(hits)[0] == "low.wav"
    assert hits[0].spaces["sound"].similarity > 0.99
    assert all(hit.spaces["sound"].similarity < 0.7 for hit in hits[1:] if "sound" in hit.spaces)


def test_a_file_that_is_not_indexed_can_be_an_example(library: Library, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "new.png", "blue", shade=130)

    assert names(library.similar(path, kinds=["image"]))[0] == "b.png"
    assert names(library.search(file(path), kinds=["image"]))[0] == "b.png"
    document = write_text(tmp_path / "new.txt", "boats in a harbour, fishing")
    assert names(library.similar(document))[0] == "boats.txt"


def test_an_example_of_another_kind_than_said_is_an_error(library: Library, media: Path) -> None:
    with pytest.raises(QueryError, match="not image"):
        library.search(image(media / "sounds/low.wav"))
    with pytest.raises(QueryError, match="not audio"):
        library.search(audio(media / "pictures/b.png"))


def test_an_example_that_cannot_be_read_is_a_query_error(library: Library, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))

    for path in (broken, tmp_path / "none.png", tmp_path):
        with pytest.raises(QueryError):
            library.similar(path)
        with pytest.raises(QueryError):
            library.search(image(path))


@pytest.mark.parametrize("query", ["", "   ", -text("x")])
def test_an_empty_query_is_an_error(library: Library, query: object) -> None:
    with pytest.raises(QueryError):
        library.search(query)  # type: ignore[arg-type]


def test_an_unknown_kind_and_a_limit_of_nothing_are_errors(library: Library) -> None:
    with pytest.raises(QueryError, match="image, audio, video, text"):
        library.search("x", kinds=["smell"])
    with pytest.raises(QueryError, match="limit"):
        library.search("x", limit=0)


def test_a_folder_filter_takes_whole_names_of_folders(library: Library, media: Path) -> None:
    below = library.search("red", under=[media / "pict"], min_score=0.0)
    inside = library.search(
        "red", under=[media / "pictures", media / "sounds"], min_score=0.0, limit=50
    )

    assert below == []
    assert {Path(hit.path).parent.name for hit in inside} == {"pictures", "sounds"}


def test_a_copy_inside_the_folder_counts_though_the_first_path_is_outside(
    media: Path, tmp_path: Path
) -> None:
    shutil.copytree(media / "texts", tmp_path / "a")
    shutil.copytree(media / "texts", tmp_path / "b")
    library = fake_library(tmp_path / "library")
    library.index(tmp_path / "a", tmp_path / "b")

    hits = library.search("fishing boats", under=[tmp_path / "b"])

    assert hits
    assert str(tmp_path / "b/boats.txt") in (hits[0].path, *hits[0].also_at, *hits[1].also_at)


def test_an_empty_library_answers_with_nothing(tmp_path: Path) -> None:
    library = fake_library(tmp_path / "library")

    assert library.search("anything", min_score=0.0) == []
    assert library.status().files == 0
    assert library.prune() == []


def test_a_text_with_a_lone_surrogate_is_indexed_and_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "media" / "odd.json"
    write_text(path, '{"about": "\\ud800 harbour boats"}')
    library = fake_library(tmp_path / "library")

    assert library.index(path.parent).indexed == 1
    assert names(library.search("harbour boats \ud800", min_score=0.0)) == ["odd.json"]


def test_the_same_search_gives_the_same_hits_each_time(library: Library) -> None:
    first = library.search("red fishing boats", min_score=0.0, limit=50)

    assert library.search("red fishing boats", min_score=0.0, limit=50) == first


@pytest.mark.parametrize(
    "asked",
    [text("fishing boats"), text("red") + text("boats"), text("red") + 0.3 * text("otters2 storm")],
    ids=str,
)
@pytest.mark.parametrize("cut", [0.0, 0.05, 0.3])
def test_a_search_goes_as_deep_as_it_must(
    library: Library, monkeypatch: pytest.MonkeyPatch, asked: Query, cut: float
) -> None:
    options = {"min_score": cut, "limit": 12, "ranking": Ranking(dedupe=False)}
    deep = library.search(asked, **options)  # type: ignore[arg-type]
    monkeypatch.setattr(retrieval, "MIN_DEPTH", 1)
    monkeypatch.setattr(retrieval, "DEPTH", 0)
    monkeypatch.setattr(retrieval, "DEEPER", 2)

    assert library.search(asked, **options) == deep  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", [0.1, 0.4])
def test_without_groups_every_moment_is_a_hit_that_passes_by_itself(
    library: Library, cut: float
) -> None:
    asked = "chapter about otters2 otters1"
    whole = library.search(asked, min_score=cut, limit=50)
    each = library.search(asked, min_score=cut, limit=50, ranking=Ranking(group=False))

    assert all(len(hit.moments) == 1 and hit.segment == hit.moments[0].segment for hit in each)
    assert len({hit.segment.id for hit in each}) == len(each)
    assert {hit.asset.id for hit in each} == {hit.asset.id for hit in whole}
    assert [hit.rank for hit in each] == list(range(1, len(each) + 1))
    assert [hit.score for hit in each] == sorted((hit.score for hit in each), reverse=True)
    assert all(hit.score >= cut for hit in each)
    if cut < 0.2:
        assert len(each) > len(whole)
    assert library.search(asked, min_score=cut, limit=2, ranking=Ranking(group=False)) == each[:2]


def test_words_answer_only_where_something_is_sure_and_then_with_what_is_less_so(
    library: Library,
) -> None:
    everything = library.search("harbour spices dhows", min_score=0.0, limit=50)
    usual = library.search("harbour spices dhows", limit=50)

    assert everything[0].score > DEFAULT_CUTOFF.first
    assert usual == [hit for hit in everything if hit.score >= DEFAULT_CUTOFF.rest]
    assert DEFAULT_CUTOFF.rest < usual[-1].score < DEFAULT_CUTOFF.first
    assert library.search("harbour storm spices") == []
    assert library.search("harbour storm spices", min_score=0.15)[0].score < DEFAULT_CUTOFF.first
    assert library.search("zeppelin quartet") == []
    assert library.search("zeppelin quartet", min_score=0.01) != []


def test_ranks_know_no_cut_off(library: Library) -> None:
    by_rank = library.search("zeppelin quartet", limit=50, ranking=Ranking(fusion="rrf"))

    assert len(by_rank) == 11
    assert [hit.score for hit in by_rank] == sorted((h.score for h in by_rank), reverse=True)


def test_a_setting_that_there_is_not_is_an_error(library: Library) -> None:
    with pytest.raises(QueryError, match="fusion"):
        library.search("boats", ranking=Ranking(fusion="mean"))
