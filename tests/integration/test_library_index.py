"""What a library does with indexes by itself: after ingest, while it is open, under filters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmsearch_indexers.events import Finished, IndexProgress, IndexReady

from mmsearch.errors import ConfigError
from mmsearch.index import index_files, lance_index, live_index, planner
from mmsearch.index.index_config import EXACT, IndexConfig
from mmsearch.index.lance_index import LanceIndex
from mmsearch.library.library import Library
from mmsearch.snapshot import maintenance
from mmsearch.store import manifest as manifests
from mmsearch.store.location import INDEX
from tests.fakes import FakeEncoders, fake_library, write_text
from tests.patience import wait_until

FILES = 120
WORDS = ("lantern", "harbour", "meadow", "engine", "violin", "glacier", "orchard", "comet")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    for number in range(FILES):
        first, second = WORDS[number % 8], WORDS[number // 8 % 8]
        part = "odd" if number % 2 else "even"
        write_text(folder / part / f"{number}.txt", f"the {first} and the {second} number {number}")
    return folder


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "EXACT_ROWS", 50)
    monkeypatch.setattr(live_index, "FEW_ROWS", 10)
    monkeypatch.setattr(live_index, "SOME_ROWS", 10)


def opened(path: Path, wish: IndexConfig) -> Library:
    fake_library(path).close()
    return Library(path, manifests.read(path), FakeEncoders(), wish)


def answers(library: Library, **filters: object) -> list[tuple[str, float]]:
    return [
        (hit.path, round(hit.score, 5))
        for word in WORDS
        for hit in library.search(f"{word} number", min_score=0.0, limit=20, **filters)  # type: ignore[arg-type]
    ]


def assert_alike(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    """Lance divides by the length of a stored vector, which is 1 up to what float16 holds."""
    assert sorted(path for path, _ in found) == sorted(path for path, _ in expected)
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-3)


def test_an_index_is_built_at_the_end_of_ingest_and_told_of(tmp_path: Path, media: Path) -> None:
    events: list[object] = []
    library = fake_library(tmp_path / "library")

    library.index(media, on_event=events.append)

    kinds = [type(event) for event in events]
    assert kinds.count(Finished) == 1
    assert isinstance(events[-1], Finished)
    assert kinds.index(IndexProgress) < kinds.index(IndexReady)
    (ready,) = [event for event in events if isinstance(event, IndexReady)]
    assert (ready.space, ready.vectors) == ("text", FILES)
    assert ready.measured.recall >= planner_wants()
    (text,) = [one for one in library.status().indexes if one.space == "text"]
    assert (text.kind, text.vectors, text.tail) == (ready.kind, FILES, 0)
    assert text.recall_at_10 == ready.measured.recall
    assert text.latency_ms is not None


def planner_wants() -> float:
    return IndexConfig().recall


def test_a_library_with_an_index_answers_as_one_without(tmp_path: Path, media: Path) -> None:
    fake_library(tmp_path / "library").index(media)
    with_index = fake_library(tmp_path / "library")
    exact = opened(tmp_path / "library", IndexConfig(EXACT))
    assert with_index.snapshot().spaces["text"].built is not None
    assert exact.snapshot().spaces["text"].built is None

    assert_alike(answers(with_index), answers(exact))
    odd = {"under": [media / "odd"]}
    assert_alike(answers(with_index, **odd), answers(exact, **odd))
    assert answers(with_index, kinds=["image"]) == []


def test_a_filter_that_leaves_few_is_still_answered_in_full(tmp_path: Path, media: Path) -> None:
    library = fake_library(tmp_path / "library")
    library.index(media)
    few = media / "odd" / "7.txt"

    hits = library.search("number", min_score=0.0, limit=5, under=[few])

    assert [hit.path for hit in hits] == [str(few)]


def test_few_vectors_get_no_index(tmp_path: Path) -> None:
    write_text(tmp_path / "media" / "a.txt", "one story")
    library = fake_library(tmp_path / "library")

    library.index(tmp_path / "media")

    assert index_files.list_names(tmp_path / "library" / INDEX) == []
    assert {index.kind for index in library.status().indexes} == {EXACT}


def test_an_open_library_builds_in_the_background_what_it_lacks(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "EXACT_ROWS", 10**6)
    fake_library(tmp_path / "library").index(media)
    monkeypatch.setattr(planner, "EXACT_ROWS", 50)
    library = fake_library(tmp_path / "library")

    before = answers(library)  # the second of its searches begins it
    wait_until(lambda: index_files.list_names(tmp_path / "library" / INDEX))

    assert answers(library) == before
    assert library.snapshot().spaces["text"].built is not None
    library.close()


def test_a_single_search_does_not_begin_to_build(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "EXACT_ROWS", 10**6)
    fake_library(tmp_path / "library").index(media)
    monkeypatch.setattr(planner, "EXACT_ROWS", 50)
    library = fake_library(tmp_path / "library")

    library.search("lantern")
    library.close()

    assert index_files.list_names(tmp_path / "library" / INDEX) == []


def test_a_wish_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="annoy"):
        IndexConfig("annoy").validate()
    with pytest.raises(ConfigError, match=r"1\.5"):
        IndexConfig(recall=1.5).validate()


def test_lance_keeps_an_index_with_its_table_where_that_is_asked_for(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "UNINDEXED_ROWS", 50)
    monkeypatch.setattr(lance_index, "UNINDEXED_ROWS", 50)
    monkeypatch.setattr(planner, "EXACT_ROWS", 10**6)
    fake_library(tmp_path / "library").index(media)
    exact = answers(fake_library(tmp_path / "library"))
    events: list[object] = []
    library = opened(tmp_path / "library", IndexConfig("lance"))

    library.index(media, on_event=events.append)

    (ready,) = [event for event in events if isinstance(event, IndexReady)]
    assert ready.kind == "lance"
    assert ready.measured.recall >= planner_wants()
    (text,) = [one for one in library.status().indexes if one.space == "text"]
    assert (text.kind, text.vectors) == ("lance", FILES)
    assert_alike(answers(library), exact)
    # Who opens it next takes the index that is there.
    again = fake_library(tmp_path / "library")
    assert isinstance(again.snapshot().spaces["text"].index, LanceIndex)
    assert_alike(
        answers(again, under=[media / "odd"]),
        answers(opened(tmp_path / "library", IndexConfig(EXACT)), under=[media / "odd"]),
    )
    write_text(media / "new.txt", "zanzibar quarry")
    library.index(media)
    assert library.search("zanzibar quarry", limit=1)[0].path == str(media / "new.txt")
    library.remove(media / "new.txt")
    assert library.search("zanzibar quarry", min_score=0.6) == []


def test_what_is_left_of_an_index_does_not_make_every_search_open_the_library_anew(
    tmp_path: Path, media: Path
) -> None:
    library = fake_library(tmp_path / "library")
    library.index(media)
    (tmp_path / "library" / INDEX / "ann-text-torn").mkdir()

    first = library.snapshot()

    assert library.snapshot() is first
    library.close()
