"""A library is brought up to date with folders: real files, real tables, fake encoders."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from mmsearch_indexers.discovery import FileSelection
from mmsearch_indexers.events import (
    Event,
    Failed,
    Indexed,
    Moved,
    Progress,
    Removed,
    Skipped,
    Updated,
)
from mmsearch_indexers.local import IndexOptions

from mmsearch.library.doctor import examine_library
from mmsearch.library.library import Library
from mmsearch.media.base import Limits, LoadOptions
from mmsearch.media.files import hash_content
from mmsearch.store.reader import Reader
from mmsearch.types import Modality
from tests.fakes import FakeEncoders, fake_library, write_picture, write_sound, write_text


class Run:
    """One run of the indexer and what it told."""

    def __init__(self, library: Library, *paths: Path, **wishes: object) -> None:
        self.events: list[Event] = []
        self.report = library.index(
            *paths,
            on_event=self.events.append,
            wishes=IndexOptions(workers=2, **wishes),  # type: ignore[arg-type]
        )

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def encoders() -> FakeEncoders:
    return FakeEncoders()


@pytest.fixture
def library(tmp_path: Path, encoders: FakeEncoders) -> Library:
    return fake_library(tmp_path / "library", encoders)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Two pictures, a sound and two texts."""
    folder = tmp_path / "media"
    write_picture(folder / "one.png", "red")
    write_picture(folder / "two.png", "blue")
    write_sound(folder / "hum.wav")
    write_text(folder / "notes" / "harbour.txt", "Boats lie in the harbour at noon.")
    write_text(folder / "notes" / "bread.md", "Knead the dough and let it rest.")
    return folder


def paths_for(library: Library, query: str) -> list[str]:
    """The names of the hits, best first."""
    return [Path(hit.path).name for hit in library.search(query, limit=20)]


def stored_paths(library: Library) -> list[str]:
    return sorted(row.path for row in Reader.open(library.path).read_files())


def library_ills(path: Path) -> list[str]:
    """What is wrong between the tables, as the doctor sees it."""
    subjects = {
        "files whose asset is missing",
        "assets that no file leads to",
        "segments without an asset",
        "segments stored twice",
        "last writer",
    }
    reader = Reader.open(path)
    rows = [row.path for row in reader.read_files()]
    ills = [path for path, count in Counter(rows).items() if count > 1]
    ills += [
        f"{finding.subject}: {finding.detail}"
        for finding in examine_library(path)
        if not finding.is_well
        and (finding.subject in subjects or finding.subject.startswith("vectors of"))
    ]
    return ills


@pytest.fixture(autouse=True)
def _doctor_knows_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor opens the library by its preset: hand it the fake one."""
    monkeypatch.setattr(
        Library, "open", classmethod(lambda cls, path, **_: fake_library(Path(str(path))))
    )
    monkeypatch.setattr("mmsearch.library.doctor._check_packages", list)
    monkeypatch.setattr("mmsearch.library.doctor._check_weights", list)


def test_every_kind_of_file_is_indexed_and_found(library: Library, media: Path) -> None:
    run = Run(library, media)

    assert run.report.indexed == 5
    assert run.report.failed == 0
    assert paths_for(library, "boats in the harbour")[0] == "harbour.txt"
    assert paths_for(library, "red")[0] == "one.png"
    assert paths_for(library, "humming voices")[0] == "hum.wav"
    assert library_ills(library.path) == []


def test_progress_counts_up_to_the_number_of_jobs(library: Library, media: Path) -> None:
    progress = Run(library, media).of(Progress)

    assert [event.done for event in progress] == [1, 2, 3, 4, 5]  # type: ignore[union-attr]
    assert {event.total for event in progress} == {5}  # type: ignore[union-attr]


def test_a_second_run_encodes_nothing_and_counts_all_as_skipped(
    library: Library, media: Path, encoders: FakeEncoders
) -> None:
    Run(library, media)
    versions = Reader.open(library.path).versions
    encoders.asked.clear()

    run = Run(library, media)

    assert encoders.asked.total() == 0
    assert run.report.skipped == 5
    assert run.report.indexed == run.report.updated == 0
    assert len(run.of(Skipped)) == 5
    assert Reader.open(library.path).versions == versions


def test_a_touched_file_is_not_encoded_again_nor_looked_into_twice(
    library: Library, media: Path, encoders: FakeEncoders
) -> None:
    Run(library, media)
    encoders.asked.clear()
    os.utime(media / "one.png", (1_600_000_000, 1_600_000_000))

    touched = Run(library, media)
    again = Run(library, media)

    assert encoders.asked.total() == 0
    assert touched.report.skipped == 5
    assert touched.of(Progress)  # it was hashed
    assert not again.of(Progress)  # its new time was noted
    assert library_ills(library.path) == []


@pytest.mark.parametrize("target", ["renamed.png", "notes/one.png", "new/deep/folder/one.png"])
def test_a_moved_file_costs_no_encoding_and_leaves_its_old_path(
    library: Library, media: Path, encoders: FakeEncoders, target: str
) -> None:
    Run(library, media)
    encoders.asked.clear()
    (media / target).parent.mkdir(parents=True, exist_ok=True)
    (media / "one.png").rename(media / target)

    run = Run(library, media)

    assert encoders.asked.total() == 0
    assert run.of(Moved) == [Moved(str(media / target), str(media / "one.png"))]
    assert run.report.moved == 1
    assert run.report.indexed == run.report.removed == 0
    assert str(media / "one.png") not in stored_paths(library)
    best = library.search("red")[0]
    assert (best.path, best.also_at) == (str(media / target), ())
    assert library_ills(library.path) == []


def test_a_file_moved_between_roots_is_moved_though_its_old_root_is_not_asked_for(
    library: Library, media: Path, tmp_path: Path
) -> None:
    Run(library, media)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (media / "one.png").rename(elsewhere / "one.png")

    run = Run(library, elsewhere)

    assert run.of(Moved) == [Moved(str(elsewhere / "one.png"), str(media / "one.png"))]


def test_two_copies_of_a_lost_file_are_one_move_and_one_copy(library: Library, media: Path) -> None:
    Run(library, media)
    shutil.copy(media / "one.png", media / "b.png")
    (media / "one.png").rename(media / "a.png")

    run = Run(library, media)

    assert (run.report.moved, run.report.indexed) == (1, 1)
    hit = library.search("red")[0]
    assert (hit.path, hit.also_at) == (str(media / "a.png"), (str(media / "b.png"),))


def test_swapped_names_leave_each_asset_at_its_new_path(library: Library, media: Path) -> None:
    write_text(media / "long.txt", "A lantern, a lantern, a lantern in the window.")
    Run(library, media)
    (media / "long.txt").rename(media / "spare")
    (media / "notes/harbour.txt").rename(media / "long.txt")
    (media / "spare").rename(media / "notes/harbour.txt")

    run = Run(library, media)

    assert run.report.updated == 2
    assert library.search("boats in the harbour")[0].path == str(media / "long.txt")
    assert library.search("a lantern in the window")[0].path == str(media / "notes/harbour.txt")
    assert library_ills(library.path) == []


def test_a_copy_shares_the_asset_and_is_listed_with_it(
    library: Library, media: Path, encoders: FakeEncoders
) -> None:
    Run(library, media)
    encoders.asked.clear()
    shutil.copy(media / "one.png", media / "notes" / "copy.png")

    run = Run(library, media)

    assert encoders.asked.total() == 0
    assert run.report.indexed == 1
    hits = [hit for hit in library.search("red") if "one.png" in hit.path or "copy" in hit.path]
    assert len(hits) == 1
    assert {hits[0].path, *hits[0].also_at} == {
        str(media / "one.png"),
        str(media / "notes/copy.png"),
    }


def test_copies_that_come_in_one_run_are_encoded_once(
    library: Library, tmp_path: Path, encoders: FakeEncoders
) -> None:
    media = tmp_path / "copies"
    write_picture(media / "0.png")
    for number in range(1, 12):
        shutil.copy(media / "0.png", media / f"{number}.png")

    run = Run(library, media)

    assert run.report.indexed == 12
    assert encoders.asked["image"] == 1
    assert len(library.search("red")[0].also_at) == 11
    assert library_ills(library.path) == []


def test_a_changed_file_loses_its_old_segments(library: Library, media: Path) -> None:
    Run(library, media)
    write_text(media / "notes/harbour.txt", "Snow fell on the empty mountain railway all night.")

    run = Run(library, media)

    assert run.of(Updated) == [Updated(str(media / "notes/harbour.txt"), "text", 1)]
    assert run.report.updated == 1
    assert paths_for(library, "snow on the mountain railway")[0] == "harbour.txt"
    texts = Reader.open(library.path).read_columns("segments", "text").column(0).to_pylist()
    assert not any("Boats" in (text or "") for text in texts)
    assert library_ills(library.path) == []


def test_a_changed_copy_leaves_the_other_copy_as_it_is(library: Library, media: Path) -> None:
    shutil.copy(media / "notes/harbour.txt", media / "copy.txt")
    Run(library, media)
    write_text(media / "copy.txt", "Snow fell on the empty mountain railway all night.")

    Run(library, media)

    assert paths_for(library, "boats in the harbour")[0] == "harbour.txt"
    assert paths_for(library, "snow on the mountain railway")[0] == "copy.txt"
    assert library_ills(library.path) == []


def test_a_file_that_breaks_later_is_no_longer_found(library: Library, media: Path) -> None:
    Run(library, media)
    (media / "one.png").write_bytes((media / "one.png").read_bytes()[:40])

    run = Run(library, media)

    assert [event.path for event in run.of(Failed)] == [str(media / "one.png")]  # type: ignore[union-attr]
    assert "one.png" not in paths_for(library, "red")
    assert library_ills(library.path) == []


def test_a_deleted_file_stays_until_it_is_pruned(library: Library, media: Path) -> None:
    Run(library, media)
    (media / "one.png").unlink()

    kept = Run(library, media)
    pruned = Run(library, media, prune=True)

    assert kept.report.removed == 0
    assert pruned.of(Removed) == [Removed(str(media / "one.png"))]
    assert pruned.report.removed == 1
    assert "one.png" not in paths_for(library, "red")
    assert library_ills(library.path) == []


def test_pruning_one_folder_leaves_the_others_alone(
    library: Library, media: Path, tmp_path: Path
) -> None:
    other = tmp_path / "media2"  # a name that begins like the other folder's
    write_picture(other / "lost.png", "green")
    Run(library, media, other)
    shutil.rmtree(other)
    (media / "one.png").unlink()

    run = Run(library, media, prune=True)

    assert [event.path for event in run.of(Removed)] == [str(media / "one.png")]  # type: ignore[union-attr]
    assert str(other / "lost.png") in stored_paths(library)


def test_prune_takes_out_what_is_gone_and_nothing_else(library: Library, media: Path) -> None:
    Run(library, media)
    (media / "hum.wav").unlink()

    assert library.prune() == [str(media / "hum.wav")]
    assert library.prune() == []
    assert len(stored_paths(library)) == 4
    assert library_ills(library.path) == []


def test_excluding_files_does_not_prune_them(library: Library, media: Path) -> None:
    Run(library, media)

    run = Run(library, media, prune=True, selection=FileSelection(exclude=("*.png",)))

    assert run.report.removed == 0
    assert len(stored_paths(library)) == 5


def test_remove_takes_out_folders_and_files_but_not_their_neighbours(
    library: Library, media: Path
) -> None:
    write_text(media / "notes.txt", "A file whose name begins like the folder's.")
    Run(library, media)

    gone = library.remove(media / "notes", media / "one.png")

    assert sorted(gone) == sorted(
        str(media / name) for name in ("notes/bread.md", "notes/harbour.txt", "one.png")
    )
    assert stored_paths(library) == sorted(
        str(media / name) for name in ("hum.wav", "notes.txt", "two.png")
    )
    assert (media / "one.png").exists()
    assert "harbour.txt" not in paths_for(library, "boats in the harbour")
    assert library_ills(library.path) == []


def test_a_removed_file_comes_back_with_the_next_run(library: Library, media: Path) -> None:
    Run(library, media)
    library.remove(media / "one.png")

    assert Run(library, media).of(Indexed) == [Indexed(str(media / "one.png"), "image", 1)]


def test_a_failed_file_is_listed_with_its_reason_and_not_tried_again(
    library: Library, media: Path
) -> None:
    (media / "broken.png").write_bytes((media / "one.png").read_bytes()[:40])
    (media / "odd.bin").write_bytes(bytes(range(256)) * 4)

    first = Run(library, media)
    second = Run(library, media)

    rows = {Path(row.path).name: row for row in library.failed()}
    assert set(rows) == {"broken.png", "odd.bin"}
    assert rows["broken.png"].error == "DecodeError"
    assert rows["odd.bin"].error == "UnsupportedMedia"
    assert all(row.message for row in rows.values())
    assert first.report.failed == second.report.failed == 2
    assert not second.of(Progress)
    assert library.status().failed == 2


def test_retry_failed_tries_again_and_forgets_the_reason(library: Library, media: Path) -> None:
    good = (media / "two.png").read_bytes()
    target = media / "late.png"
    target.write_bytes(good[:40].ljust(len(good), b"\0"))
    os.utime(target, (1_600_000_000, 1_600_000_000))
    Run(library, media)
    target.write_bytes(good)
    os.utime(target, (1_600_000_000, 1_600_000_000))  # neither size nor time tell of the change

    still_failed = Run(library, media)
    retried = Run(library, media, retry_failed=True)

    assert still_failed.report.failed == 1
    assert retried.report.failed == 0
    assert library.failed() == []


def test_include_and_exclude_choose_the_files(library: Library, media: Path) -> None:
    Run(library, media, selection=FileSelection(include=("*.png", "*.txt"), exclude=("two*",)))

    assert [Path(path).name for path in stored_paths(library)] == ["harbour.txt", "one.png"]


def test_exclude_is_held_against_the_path_below_the_root(library: Library, media: Path) -> None:
    Run(library, media, selection=FileSelection(exclude=("notes/*",)))

    names = [Path(path).name for path in stored_paths(library)]
    assert "harbour.txt" not in names
    assert "one.png" in names


def test_files_of_other_kinds_are_not_even_read_for_their_hash(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def note(path: Path, **options: Callable[[], bool]) -> str:
        hashed.append(path.name)
        return hash_content(path, **options)

    monkeypatch.setattr("mmsearch_indexers.pipeline.compute_asset_id", note)

    Run(library, media, kinds=frozenset({Modality.IMAGE}))

    assert sorted(hashed) == ["one.png", "two.png"]


def test_the_event_of_a_copy_tells_its_kind(library: Library, media: Path) -> None:
    shutil.copy(media / "one.png", media / "again.png")

    run = Run(library, media)

    told = {Path(event.path).name: event.kind for event in run.of(Indexed)}  # type: ignore[union-attr]
    assert (told["one.png"], told["again.png"]) == ("image", "image")


def test_a_file_over_the_size_limit_is_refused_before_it_is_read(
    library: Library, media: Path
) -> None:
    run = Run(library, media, options=LoadOptions(limits=Limits(file_bytes=10)))

    errors = {event.error for event in run.of(Failed)}  # type: ignore[union-attr]
    assert errors == {"MediaTooLarge"}
    assert "--max-file-gb" in (library.failed()[0].message or "")


def test_kinds_choose_by_content_and_the_others_come_with_a_later_run(
    library: Library, media: Path
) -> None:
    (media / "one.png").rename(media / "one.txt")  # the name lies

    run = Run(library, media, kinds=frozenset({Modality.IMAGE}))

    assert [Path(path).name for path in stored_paths(library)] == ["one.txt", "two.png"]
    assert run.report.indexed == 2
    assert Run(library, media).report.indexed == 3


@pytest.mark.parametrize(
    "name",
    ["new\nline.png", "it's 'quoted'.png", 'double "quote".png', "rainy ☔ day.png",
     "tab\there.png", "-n.png", "100%_*?[x].png", "日本.png", " .png", "back\\slash.png",
     "e\u0301.png"],
)  # fmt: skip
def test_a_file_of_any_name_is_indexed_moved_and_removed(
    library: Library, tmp_path: Path, name: str
) -> None:
    path = write_picture(tmp_path / "odd names" / name)

    assert Run(library, path.parent).report.indexed == 1
    assert Run(library, path.parent).report.skipped == 1
    assert library.search("red")[0].path == str(path)
    renamed = path.with_name("plain.png")
    path.rename(renamed)
    assert Run(library, path.parent).of(Moved) == [Moved(str(renamed), str(path))]
    renamed.rename(path)
    Run(library, path.parent)
    assert library.remove(path) == [str(path)]
    assert stored_paths(library) == []


def test_a_name_that_is_no_utf8_is_a_failed_file_with_a_reason(
    library: Library, tmp_path: Path
) -> None:
    folder = tmp_path / "latin"
    folder.mkdir()
    bad = os.fsencode(folder) + b"/caf\xe9.txt"
    try:
        with open(bad, "wb") as file:  # noqa: PTH123 - the path is bytes
            file.write(b"coffee")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    write_text(folder / "good.txt", "coffee")

    first = Run(library, folder)
    second = Run(library, folder)

    (row,) = library.failed()
    assert row.path == f"{folder}/caf\\xe9.txt"
    assert row.error == "UnsupportedMedia"
    assert "UTF-8" in (row.message or "")
    assert (first.report.indexed, first.report.failed) == (1, 1)
    assert (second.report.skipped, second.report.failed) == (1, 1)
    assert library.remove(Path(os.fsdecode(bad))) == [row.path]


def test_overlapping_roots_give_every_file_once(library: Library, media: Path) -> None:
    first = Run(library, media / "notes", media, media / "one.png", media)
    second = Run(library, media, media / "notes")

    assert first.report.indexed == 5
    assert second.report.skipped == 5
    assert len(stored_paths(library)) == 5
    assert library_ills(library.path) == []


def test_a_relative_root_and_an_absolute_one_are_the_same_files(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(media.parent)

    Run(library, Path("media"))

    assert Run(library, media, Path("media/../media/notes")).report.skipped == 5


def test_the_library_inside_an_indexed_folder_is_never_entered(
    media: Path, encoders: FakeEncoders
) -> None:
    library = fake_library(media / "search" / "own", encoders)
    (media / "way in").symlink_to(library.path, target_is_directory=True)

    run = Run(library, media)
    again = Run(library, media)

    assert (run.report.indexed, run.report.failed) == (5, 0)
    assert again.report.skipped == 5
    assert not any("/own/" in path or "way in" in path for path in stored_paths(library))


def test_links_to_files_are_copies_and_loops_end(library: Library, media: Path) -> None:
    (media / "link.png").symlink_to(media / "one.png")
    (media / "notes" / "up").symlink_to(media, target_is_directory=True)
    (media / "dangling").symlink_to(media / "nowhere")

    run = Run(library, media)

    assert (run.report.indexed, run.report.failed) == (6, 0)
    assert library.search("red")[0].also_at == (str(media / "one.png"),)


def test_an_empty_file_fails_and_a_silent_recording_does_not(
    library: Library, tmp_path: Path
) -> None:
    folder = tmp_path / "quiet"
    write_sound(folder / "silence.wav", level=0.0)
    (folder / "empty.txt").touch()

    run = Run(library, folder)

    assert run.report.indexed == 1
    assert [row.error for row in library.failed()] == ["UnsupportedMedia"]
    assert library.status().segments["speech"] == 0


def test_two_empty_or_equally_broken_files_both_fail(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(bytes(range(256)))

    run = Run(library, folder)

    assert run.report.failed == 2
    assert {Path(row.path).name for row in library.failed()} == {"a.bin", "b.bin"}


def test_a_file_that_is_gone_before_it_is_read_does_not_stop_the_run(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsearch_indexers import local

    found = list(local.discover_files([media], FileSelection()))
    (media / "one.png").unlink()
    monkeypatch.setattr(local, "discover_files", lambda *_args, **_named: iter(found))

    run = Run(library, media)

    assert run.report.indexed == 4
    assert run.report.failed == 1


def test_an_error_of_the_caller_keeps_what_was_finished_and_frees_the_library(
    library: Library, media: Path
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        library.index(media, on_event=stop, wishes=IndexOptions(workers=1))

    assert caught.tb is not None  # the traceback is still held, as a caller may
    assert len(stored_paths(library)) >= 2
    finished = Run(library, media)
    assert finished.report.indexed + finished.report.skipped == 5
    assert finished.report.skipped >= 2
    assert library_ills(library.path) == []


def test_an_error_of_an_encoder_stops_the_run_with_what_was_written_intact(
    library: Library, media: Path, encoders: FakeEncoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsearch.errors import ModelError

    def fail(_batch: object) -> None:
        raise ModelError("no weights today")

    monkeypatch.setattr(encoders.sound, "encode", fail)
    with pytest.raises(ModelError, match="no weights today"):
        Run(library, media)
    monkeypatch.undo()

    fresh = fake_library(library.path)
    assert len(Reader.open(fresh.path).read_failed_files()) == 0
    run = Run(fresh, media)
    assert run.report.indexed + run.report.skipped == 5


def test_an_interrupted_update_leaves_nothing_behind_after_the_next_run(
    library: Library, media: Path
) -> None:
    Run(library, media)
    write_text(media / "notes/harbour.txt", "Snow fell on the empty mountain railway all night.")

    def stop(event: Event) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.index(media, on_event=stop)
    Run(library, media)

    assert library_ills(library.path) == []


def test_status_counts_what_is_there(library: Library, media: Path) -> None:
    (media / "odd.bin").write_bytes(bytes(range(256)))
    Run(library, media)

    status = library.status()

    assert status.assets == {"image": 2, "audio": 1, "video": 0, "text": 2}
    assert status.files == 5
    assert status.failed == 1
    assert status.segments == {
        "image": 2, "frame": 0, "sound": 1, "speech": 1, "text": 2, "ocr": 0,
    }  # fmt: skip
    assert [space.name for space in status.spaces] == ["text", "image", "sound"]
    assert status.size_bytes > 0


def test_search_filters_by_kind_and_folder(library: Library, media: Path) -> None:
    Run(library, media)

    everything = {Path(hit.path).name for hit in library.search("red", min_score=0.0)}
    images = {hit.kind for hit in library.search("red", kinds=["image"], min_score=0.0)}
    below = {hit.path for hit in library.search("red", under=[media / "notes"], min_score=0.0)}

    assert {"one.png", "two.png", "harbour.txt", "bread.md"} <= everything
    assert images == {Modality.IMAGE}
    assert below == {str(media / "notes/harbour.txt"), str(media / "notes/bread.md")}


def test_similar_leaves_the_file_itself_and_its_copies_out(library: Library, media: Path) -> None:
    write_picture(media / "other red.png", "red", shade=120)
    shutil.copy(media / "one.png", media / "copy.png")
    Run(library, media)

    paths = [Path(hit.path).name for hit in library.similar(media / "one.png", kinds=["image"])]

    assert paths[0] == "other red.png"
    assert not {"one.png", "copy.png"} & set(paths)
