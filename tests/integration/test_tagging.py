"""Labels in a library: written, found in hits, replaced, resumed, taken away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mmsearch.cli import labels as command
from mmsearch.errors import ConfigError, LibraryLocked, QueryError
from mmsearch.labels import tagging
from mmsearch.library import doctor
from mmsearch.library.library import Library
from mmsearch.store import manifest as manifests
from mmsearch.store.label_tags import SegmentTags
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.schema import SEGMENTS
from mmsearch.store.writer import DIRTY, Lock, Writer, create
from mmsearch.types import Segment
from tests.conftest import Cli
from tests.fakes import FakeEncoders, fake_library, write_picture, write_sound, write_text
from tests.s3_server import BUCKET, s3_server
from tests.unit.test_labels import hearing

COLOURS = ["red", "green", "blue"]
WORDS = ["crimson red", "grass green", "deep blue"]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, a sound and a text in `files`, and a library over them."""
    folder = tmp_path_factory.mktemp("indexed")
    for colour in COLOURS:
        write_picture(folder / "files" / f"{colour}.png", colour)
    write_sound(folder / "files/tone.wav")
    write_text(folder / "files/note.txt", "a note on colours")
    fake_library(folder / "library").index(folder / "files")
    return folder


@pytest.fixture
def folder(indexed: Path) -> Path:
    """Only to be read."""
    return indexed / "files"


@pytest.fixture
def library(indexed: Path, tmp_path: Path) -> Library:
    shutil.copytree(indexed / "library", tmp_path / "library")
    return fake_library(tmp_path / "library")


def segments(library: Library) -> dict[str, dict[str, Segment]]:
    """The segments of each file by their ids, as a new reader finds them."""
    snapshot = library.snapshot()
    found = {}
    for row in snapshot.reader.read_files():
        asset = snapshot.asset_row(row.asset_id or "")
        assert asset is not None
        listed = snapshot.reader.read_segments(snapshot.segments_of(asset).tolist())
        found[Path(row.path).name] = {one.id: one for one in listed}
    return found


def names(library: Library) -> dict[str, list[str]]:
    """The tags of each file."""
    return {
        name: [tag.name for segment in listed.values() for tag in segment.tags]
        for name, listed in segments(library).items()
    }


def test_tags_are_in_the_segments_beside_those_of_the_encoder(library: Library) -> None:
    report = library.tag(WORDS)
    assert (report.segments, report.tagged, report.changed) == (3, 3, 3)
    assert report.labels == dict.fromkeys(WORDS, 1)
    assert names(library) == {
        "red.png": ["red", "crimson red"],
        "green.png": ["green", "grass green"],
        "blue.png": ["blue", "deep blue"],
        "tone.wav": [],
        "note.txt": [],
    }
    for listed in segments(library).values():
        for segment in listed.values():
            assert all(0.3 <= tag.probability <= 1.0 for tag in segment.tags)


def test_hits_show_them(library: Library) -> None:
    library.tag(WORDS)
    (best, *_) = library.search("red", kinds=["image"])
    assert Path(best.path).name == "red.png"
    assert "crimson red" in [tag.name for tag in best.segment.tags]
    assert "crimson red" in [tag.name for tag in best.moments[0].segment.tags]


def test_sounds_are_left_out_where_their_model_takes_no_words(library: Library) -> None:
    (reason,) = library.tag(WORDS).left_out
    assert "fake/sound takes no words" in reason


def test_sounds_are_tagged_where_it_does(library: Library) -> None:
    library = fake_library(library.path, hearing())
    report = library.tag(["44", "88"])
    assert report.left_out == ()
    assert names(library)["tone.wav"] == ["44"]


def test_only_what_is_sure_is_kept_and_only_a_few(library: Library) -> None:
    assert library.tag(WORDS, min_probability=1.0).tagged == 0
    library.tag(WORDS, min_probability=1e-9, at_most=2)
    assert {len(found) for name, found in names(library).items() if "png" in name} == {3}


def test_again_changes_nothing_and_doubles_nothing(library: Library) -> None:
    library.tag(WORDS)
    before = (segments(library), Reader.open(library.location).versions)
    assert library.tag(WORDS).changed == 0
    assert (segments(library), Reader.open(library.location).versions) == before


def test_new_results_take_the_place_of_the_old_ones(library: Library) -> None:
    library.tag(WORDS)
    library.tag(["CRIMSON RED", "something else", "deep blue"], min_probability=0.999)
    assert names(library)["red.png"] == ["red"]
    assert names(library)["green.png"] == ["green", "grass green"]  # a label not asked again


def test_a_name_that_the_encoder_gave_stays_as_the_encoder_gave_it(library: Library) -> None:
    before = segments(library)
    library.tag(COLOURS)
    assert segments(library) == before
    library.tag(["red", "nothing at all"], min_probability=1.0)
    assert segments(library) == before


def test_what_comes_later_is_tagged_by_the_next_run(library: Library, tmp_path: Path) -> None:
    library.tag(WORDS)
    write_picture(tmp_path / "later/more.png", "blue", shade=150)
    library.index(tmp_path / "later")
    assert names(library)["more.png"] == ["blue"]
    report = library.tag(WORDS)
    assert (report.segments, report.changed) == (4, 1)
    assert names(library)["more.png"] == ["blue", "deep blue"]


def test_labels_can_be_taken_away(library: Library) -> None:
    before = segments(library)
    assert library.untag() == 0
    library.tag(WORDS)
    assert library.untag() == 3
    assert segments(library) == before
    assert library.untag() == 0


def test_vectors_and_their_arrays_are_left_alone(library: Library) -> None:
    def arrays() -> dict[str, tuple[int, int]]:
        found = library.location.cache_folder.glob("vectors_*/*")
        return {str(one): (one.stat().st_ino, one.stat().st_mtime_ns) for one in found}

    library.search("red")
    before, versions = arrays(), Reader.open(library.location).versions
    assert before
    library.tag(WORDS)
    library.search("red")
    assert arrays() == before
    now = Reader.open(library.location).versions
    assert {table for table in now if now[table] != versions[table]} == {SEGMENTS}


def test_a_run_that_was_stopped_is_gone_on_with(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagging, "WRITE_BATCH", 1)
    write = Writer.replace_tags
    calls: list[Sequence[SegmentTags]] = []

    def stopped(self: Writer, batch: Sequence[SegmentTags]) -> None:
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(self, batch)

    monkeypatch.setattr(Writer, "replace_tags", stopped)
    with pytest.raises(KeyboardInterrupt):
        library.tag(WORDS)
    monkeypatch.setattr(Writer, "replace_tags", write)
    given = {name for found in names(library).values() for name in found} & set(WORDS)
    assert len(given) == 2
    assert library.location.exists(DIRTY)
    report = library.tag(WORDS)
    assert report.changed == 1
    assert sorted(map(len, names(library).values())) == [0, 0, 2, 2, 2]
    assert not library.location.exists(DIRTY)


def test_many_runs_keep_every_segment(library: Library) -> None:
    count = Reader.open(library.location).count_rows(SEGMENTS)
    for turn in range(12):
        library.tag([f"label {turn} red", f"label {turn} blue"], min_probability=0.01)
    assert Reader.open(library.location).count_rows(SEGMENTS) == count
    assert len(names(library)["red.png"]) == 1 + 2 * 12
    assert [hit.path for hit in library.search("red", kinds=["image"], limit=1)]


def test_status_and_doctor_stay_right(library: Library) -> None:
    before = library.status()
    library.tag(WORDS)
    after = library.status()
    assert (after.segments, after.assets, after.files) == (
        before.segments, before.assets, before.files
    )  # fmt: skip
    subjects = ("segments stored twice", "segments without an asset", "last writer", "index")
    reader = Reader.open(library.location)
    ids = reader.read_columns(SEGMENTS, "segment_id").column(0).to_pylist()
    assert len(set(ids)) == len(ids)
    findings = [one for one in doctor._check_tables(library.location) if one.subject in subjects]
    assert all(one.is_well for one in findings)


def test_two_writers_do_not_meet(library: Library) -> None:
    with Lock(library.location), pytest.raises(LibraryLocked):
        library.tag(WORDS)


def test_a_library_without_pictures_has_nothing_to_tag(tmp_path: Path) -> None:
    write_text(tmp_path / "files/note.txt", "words")
    library = fake_library(tmp_path / "library")
    library.index(tmp_path / "files")
    assert library.tag(WORDS).segments == 0
    write_sound(tmp_path / "files/tone.wav")
    library.index(tmp_path / "files")
    with pytest.raises(ConfigError, match="sounds get no labels"):
        library.tag(WORDS)


def test_a_picture_with_several_vectors_is_tagged_by_their_mean(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagging, "READ_BATCH", 2)
    arrays: Any = library.snapshot().spaces["image"]
    found = list(tagging._read_segments(arrays))
    assert [len(keys) for keys, _ in found] == [2, 1]
    for _, rows in found:
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-5)
    keys = np.concatenate([keys for keys, _ in found])
    assert sorted(keys.tolist()) == sorted(set(arrays.segments.to_array().tolist()))


def test_a_file_is_classified_whether_it_is_known_or_not(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    known = library.classify(folder / "red.png", WORDS)
    new = library.classify(write_picture(tmp_path / "new.png", "green", shade=99), WORDS)
    assert known.spaces["image"][0].name == "crimson red"
    assert new.spaces["image"][0].name == "grass green"
    assert sum(tag.probability for tag in known.spaces["image"]) == pytest.approx(1.0, rel=1e-5)


def test_what_cannot_be_classified_says_why(library: Library, folder: Path) -> None:
    with pytest.raises(QueryError, match="sounds get no labels"):
        library.classify(folder / "tone.wav", WORDS)
    with pytest.raises(QueryError, match="nothing to see or hear"):
        library.classify(folder / "note.txt", WORDS)
    with pytest.raises(QueryError, match="there is no file"):
        library.classify(folder / "gone.png", WORDS)
    with pytest.raises(ConfigError, match="too few"):
        library.classify(folder / "red.png", ["one"])


@pytest.mark.slow
def test_a_library_on_a_storage_is_tagged(
    indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        for name, value in server.environment(MMSEARCH_CACHE=str(tmp_path)).items():
            monkeypatch.setenv(name, value)
        place = Location.parse(f"s3://{BUCKET}/tagged")
        encoders = FakeEncoders()
        create(place, Manifest("fake", "fake", encoders.spaces))
        library = Library(place, manifests.read(place), cast(Any, encoders))
        library.index(indexed / "files")
        assert library.tag(WORDS).changed == 3
        assert names(library)["red.png"] == ["red", "crimson red"]
        assert library.tag(WORDS).changed == 0
        assert library.untag() == 3


# The command, with real models


def test_the_command_keeps_what_the_library_keeps() -> None:
    assert (command.KEPT_PROBABILITY, command.KEPT_TAGS) == (
        tagging.MIN_PROBABILITY, tagging.AT_MOST
    )  # fmt: skip


@pytest.fixture(scope="module")
def copied(small_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagged") / "library"
    shutil.copytree(small_library, folder)
    return folder


def test_the_command_tags_and_search_shows_it(copied: Path, cli: Cli, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("# places\nbeach\nbreakfast\ncar\nsomething else\n")
    ran = cli("tag", "--labels", labels, "--library", copied, "--json")
    assert ran.returncode == 0, ran.stderr.decode()
    told = json.loads(ran.stdout)
    assert 0 < told["tagged"] <= told["segments"]
    assert sum(told["labels"].values()) >= told["tagged"]
    assert "takes no words" in told["left_out"][0]
    with Library.open(copied, create=False) as library:
        hits = library.search("beach", kinds=["image"], limit=10)
    beach = next(hit for hit in hits if hit.path.endswith("beach.jpg"))
    assert "beach" in [tag.name for tag in beach.segment.tags]
    again = cli("tag", "--labels", labels, "--library", copied)
    assert b"0 changed" in again.stderr
    cleared = cli("tag", "--clear", "--library", copied, "--json")
    assert json.loads(cleared.stdout)["cleared"] == told["changed"]


def test_the_command_classifies(copied: Path, samples: Path, cli: Cli) -> None:
    picture = samples / "photos/beach.jpg"
    ran = cli("classify", picture, "--labels", "beach,kitchen,cat", "--library", copied, "--json")
    assert ran.returncode == 0, ran.stderr.decode()
    (first, *rest) = json.loads(ran.stdout)["spaces"]["image"]
    assert first["label"] == "beach"
    assert first["probability"] > 0.5
    assert sum(one["probability"] for one in (first, *rest)) == pytest.approx(1, abs=1e-3)
    table = cli("classify", picture, "--labels", "beach,kitchen,cat", "--library", copied)
    assert table.stdout.decode().split()[1] == "beach"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["tag"], 2, "--labels is missing"),
        (["tag", "--labels", "no-such-file"], 1, "there is no file no-such-file with labels"),
        (["tag", "--labels", "cat,"], 1, "too few"),
        (["tag", "--labels", "a,b", "--template", "x"], 1, "must have one {}"),
        (["tag", "--labels", "a,b", "--clear"], 2, "exclude each other"),
        (["classify", "gone.jpg", "--labels", "a,b"], 1, "there is no file gone.jpg"),
    ],
)
def test_wrong_use_is_told(
    arguments: list[str], code: int, said: str, copied: Path, cli: Cli
) -> None:
    ran = cli(*arguments, "--library", copied, env={"COLUMNS": "200", **os.environ})
    assert ran.returncode == code
    assert said in ran.stderr.decode()
