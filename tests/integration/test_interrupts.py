"""A run that is interrupted, or fails, at any step of its writing; and libraries that it marred."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
import pytest
from mmsearch_indexers import local
from mmsearch_indexers.events import Event, Failed, Indexed, Moved, Updated
from mmsearch_indexers.local import IndexOptions

from mmsearch.library.doctor import Finding, examine_library
from mmsearch.library.library import Library
from mmsearch.runtime.concurrency import run_uninterrupted
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS, FILES, SEGMENTS
from mmsearch.store.writer import Lock, Writer
from tests.fakes import fake_library, write_picture, write_sound, write_text
from tests.patience import HANG_S

VECTORS = ["vectors_text", "vectors_image", "vectors_sound"]
ADDING = [("_add", table) for table in (*VECTORS, SEGMENTS, ASSETS, FILES)]
CHANGING = [
    ("replace_files", ""),
    ("_delete", FILES),
    ("_delete", "vectors_text"),
    ("_delete", SEGMENTS),
    ("_delete", ASSETS),
    ("close", ""),
]

Interrupt = Callable[[], None]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    write_picture(folder / "one.png", "red")
    write_picture(folder / "two.png", "blue")
    write_sound(folder / "hum.wav")
    write_text(folder / "harbour.txt", "Boats lie in the harbour at noon.")
    write_text(folder / "bread.md", "Knead the dough and let it rest.")
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return fake_library(tmp_path / "library")


@pytest.fixture(autouse=True)
def _doctor_knows_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor opens the library by its preset: hand it the fake one."""
    monkeypatch.setattr(
        Library, "open", classmethod(lambda cls, path, **_: fake_library(Path(str(path))))
    )
    monkeypatch.setattr("mmsearch.library.doctor._check_packages", list)
    monkeypatch.setattr("mmsearch.library.doctor._check_weights", list)


@pytest.fixture
def press_ctrl_c() -> Iterator[Interrupt]:
    """Interrupts the main thread from any thread, and returns when it has been interrupted."""
    delivered = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        delivered.set()
        raise KeyboardInterrupt

    def press() -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        assert delivered.wait(HANG_S)
        delivered.clear()

    before = signal.signal(signal.SIGINT, handle)
    yield press
    signal.signal(signal.SIGINT, before)


def fail() -> None:
    raise KeyboardInterrupt


def inject(
    monkeypatch: pytest.MonkeyPatch, step: tuple[str, str], when: str, happen: Interrupt
) -> list[str]:
    """Lets something happen at the first call of a writer's method that has work to do.

    `step` is the method and the table that it is called for, where it is called for one. The list
    that is returned is filled when it has happened.
    """
    method, table = step
    real = getattr(Writer, method)
    happened: list[str] = []

    def stand_in(self: Writer, *arguments: Any, **options: Any) -> Any:
        has_work = all(arguments[1:]) if table else all(arguments)
        is_meant = has_work and (not table or arguments[0] == table)
        if not is_meant or happened:
            return real(self, *arguments, **options)
        if when == "before":
            happened.append(when)
            happen()
        result = real(self, *arguments, **options)
        if when == "after":
            happened.append(when)
            happen()
        return result

    monkeypatch.setattr(Writer, method, stand_in)
    return happened


def ills(path: Path) -> list[Finding]:
    return [finding for finding in examine_library(path) if not finding.is_well]


def run_interrupted(
    library: Library, media: Path, *, flush_files: int, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Indexes until a KeyboardInterrupt; returns the paths that were said to be finished."""
    monkeypatch.setattr(local, "FLUSH_FILES", flush_files)
    finished: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Indexed | Updated | Moved | Failed):
            finished.append(event.path)

    with pytest.raises(KeyboardInterrupt):
        library.index(media, on_event=note, wishes=IndexOptions(workers=1, prune=True))
    return finished


def stored_paths(path: Path) -> set[str]:
    return {row.path for row in Reader.open(path).read_files() if row.asset_id is not None}


@pytest.mark.parametrize(
    ("flush_files", "when"),
    [(1, "before"), (1, "after"), (100, "after")],
    ids=["each-before", "each-after", "last-after"],
)
@pytest.mark.parametrize("step", ADDING, ids=" ".join)
def test_an_interrupt_at_any_step_of_adding_splits_and_repeats_nothing(
    library: Library,
    media: Path,
    press_ctrl_c: Interrupt,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[str, str],
    flush_files: int,
    when: str,
) -> None:
    happened = inject(monkeypatch, step, when, press_ctrl_c)
    finished = run_interrupted(library, media, flush_files=flush_files, monkeypatch=monkeypatch)

    assert happened
    assert finished
    assert stored_paths(library.path) == set(finished)
    assert ills(library.path) == []
    report = library.index(media)
    assert report.skipped == len(finished)
    assert report.indexed + report.skipped == 5
    assert ills(library.path) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ADDING, ids=" ".join)
def test_what_an_error_in_the_writing_leaves_undone_is_written_at_the_end_and_nothing_twice(
    library: Library, media: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[str, str], when: str
) -> None:
    happened = inject(monkeypatch, step, when, fail)
    finished = run_interrupted(library, media, flush_files=1, monkeypatch=monkeypatch)

    assert happened
    assert stored_paths(library.path) == set(finished)
    assert ills(library.path) == []
    report = library.index(media)
    assert report.indexed + report.skipped == 5
    assert ills(library.path) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["signal", "error"])
@pytest.mark.parametrize("step", CHANGING, ids=" ".join)
def test_an_update_that_is_interrupted_at_any_step_is_made_good_by_the_next(
    library: Library,
    media: Path,
    press_ctrl_c: Interrupt,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[str, str],
    way: str,
    when: str,
) -> None:
    library.index(media)
    write_text(media / "harbour.txt", "Snow fell on the empty mountain railway all night.")
    write_text(media / "new.txt", "A lantern in the window.")
    (media / "one.png").rename(media / "moved.png")
    (media / "bread.md").unlink()

    happened = inject(monkeypatch, step, when, press_ctrl_c if way == "signal" else fail)
    finished = run_interrupted(library, media, flush_files=1, monkeypatch=monkeypatch)

    assert happened
    assert set(finished) <= stored_paths(library.path)
    unfinished = {"assets that no file leads to", "last writer"}  # the next run sweeps
    assert {finding.subject for finding in ills(library.path)} <= unfinished
    library.index(media, wishes=IndexOptions(prune=True))
    assert ills(library.path) == []
    assert stored_paths(library.path) == {str(path) for path in media.iterdir()}
    assert library.index(media).skipped == 5


def test_what_runs_uninterrupted_ends_before_the_interrupt_is_raised(
    press_ctrl_c: Interrupt,
) -> None:
    done: list[int] = []

    def work() -> None:
        for number in range(3):
            press_ctrl_c()
            done.append(number)

    with pytest.raises(KeyboardInterrupt):
        run_uninterrupted(work)

    assert done == [0, 1, 2]
    assert run_uninterrupted(lambda: 7) == 7
    with pytest.raises(ValueError, match="full"):
        run_uninterrupted(lambda: int("full"))


# Libraries in which rows are stored twice.


def store_twice(library: Path, *tables: str) -> None:
    """Adds all rows of tables once more, as an interrupt that repeated the writing did."""
    with Lock(library):
        writer = Writer.open(library)
        for table in tables:
            writer._add(table, Reader.open(library).open_dataset(table).to_table())
        writer.close(tidy=False)


@pytest.mark.parametrize(
    ("tables", "subjects"),
    [
        ([SEGMENTS], {"segments stored twice"}),
        ([ASSETS], {"assets stored twice"}),
        ([FILES], {"files stored twice"}),
        (["vectors_image"], {"vectors of image stored twice"}),
        (
            [*VECTORS, SEGMENTS, ASSETS, FILES],
            {
                "segments stored twice", "assets stored twice", "files stored twice",
                "vectors of text stored twice", "vectors of image stored twice",
                "vectors of sound stored twice",
            },
        ),
    ],
    ids=["segments", "assets", "files", "vectors", "all"],
)  # fmt: skip
def test_repair_removes_rows_that_are_stored_twice(
    library: Library, media: Path, tables: list[str], subjects: set[str]
) -> None:
    library.index(media)
    shutil.copy(media / "one.png", media / "copy.png")
    library.index(media)
    wanted = [(hit.path, hit.score) for hit in library.search("red harbour", min_score=0.0)]
    reader = Reader.open(library.path)
    counts = {table: reader.count_rows(table) for table in reader.tables}
    store_twice(library.path, *tables)

    sick = ills(library.path)
    assert {finding.subject for finding in sick} == subjects
    assert all("--repair" in finding.advice for finding in sick)
    assert all(finding.is_well for finding in examine_library(library.path, repair=True))

    assert ills(library.path) == []
    reader = Reader.open(library.path)
    assert {table: reader.count_rows(table) for table in reader.tables} == counts
    mended = fake_library(library.path)
    hits = [(hit.path, hit.score) for hit in mended.search("red harbour", min_score=0.0)]
    assert hits == wanted
    assert mended.index(media).skipped == 6


def test_vectors_of_other_parts_of_a_picture_are_not_taken_for_repetitions(
    library: Library, media: Path
) -> None:
    library.index(media)
    table = Reader.open(library.path).open_dataset("vectors_image").to_table()
    field = table.schema.field("box")
    boxes = pa.array([[0.0, 0.0, 0.5, 0.5]] * len(table), field.type)
    with Lock(library.path):
        writer = Writer.open(library.path)
        writer._add("vectors_image", table.set_column(2, field, boxes))
        writer.close()

    assert ills(library.path) == []
