"""A library stays whole: under locks, kills, torn files, other versions and other weights."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from mmsearch_indexers.events import Event, Failed, Indexed

from mmsearch.errors import (
    ConfigError,
    FormatVersionError,
    LibraryLocked,
    LibraryNotFound,
    StoreError,
    WeightsMismatch,
)
from mmsearch.library.doctor import examine_library
from mmsearch.library.library import Library
from mmsearch.snapshot.array_cache import LOCK
from mmsearch.snapshot.snapshot import open_snapshot
from mmsearch.store.location import INDEX as FOLDER
from mmsearch.store.reader import Reader
from mmsearch.store.rows import EncodedAsset, EncodedSegment, FileRow
from mmsearch.store.schema import FORMAT_VERSION
from mmsearch.store.writer import DIRTY, Lock, Writer
from mmsearch.types import (
    Asset,
    Metadata,
    Modality,
    Place,
    Segment,
    SegmentKind,
    Vectors,
    segment_id,
)
from tests.fakes import FakeText, direction, fake_library, write_picture, write_text
from tests.patience import HANG_S, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    for number in range(6):
        write_text(folder / f"{number}.txt", f"Story number {number}: a lantern in the window.")
    write_picture(folder / "red.png", "red")
    return folder


@pytest.fixture
def library(tmp_path: Path, media: Path) -> Library:
    made = fake_library(tmp_path / "library")
    made.index(media)
    return made


def encoded_asset(name: str, *, title: str | None = None) -> EncodedAsset:
    """An asset of one text segment, as the pipeline would hand it over."""
    asset = Asset(name * 4, Modality.TEXT, 10, Metadata(format="text", title=title))
    segment = Segment(
        segment_id(asset.id, SegmentKind.TEXT, Place()), asset.id, SegmentKind.TEXT, Place(), name
    )
    vectors = Vectors(FakeText.space.name, direction(name)[None])
    return EncodedAsset(asset, (EncodedSegment(segment, (vectors,)),))


def ids(library: Path, table: str, column: str) -> list[str]:
    return Reader.open(library).read_columns(table, column).column(0).to_pylist()


def test_a_second_writer_is_told_that_the_library_is_locked(library: Library, media: Path) -> None:
    with Lock(library.path):
        with pytest.raises(LibraryLocked, match="another process"):
            library.index(media)
        with pytest.raises(LibraryLocked):
            library.remove(media)
        assert library.search("lantern")  # readers do not mind
    assert library.index(media).skipped == 7


def test_the_lock_of_a_dead_process_does_not_bind(library: Library, media: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import sys, time; from pathlib import Path; from mmsearch.store.writer import Lock\n"
         "with Lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)",
         str(library.path)],
        stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(LibraryLocked):
        library.index(media)
    holder.kill()
    holder.wait()
    holder.stdout.close()

    assert library.index(media).skipped == 7


def test_a_library_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LibraryNotFound, match="mmsearch index"):
        Library.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_a_folder_that_holds_something_else_is_never_made_a_library(tmp_path: Path) -> None:
    for name in ("tables/notes.txt", "photo.jpg", "tables/files.lance.txt"):
        folder = tmp_path / name.replace("/", "-")
        write_text(folder / name, "mine")

        with pytest.raises(StoreError, match="no library"):
            Library.open(folder)

        assert (folder / name).read_text() == "mine"
    file = write_text(tmp_path / "file", "mine")
    with pytest.raises(StoreError):
        Library.open(file)


def test_a_library_whose_making_was_cut_short_is_made_again(tmp_path: Path) -> None:
    library = tmp_path / "library"
    Library.open(library).close()
    (library / "library.toml").unlink()
    shutil.rmtree(library / "tables" / "assets.lance")

    Library.open(library).close()

    assert Library.open(library, create=False).status().files == 0


def test_a_library_of_a_newer_version_is_not_touched(library: Library) -> None:
    manifest = library.path / "library.toml"
    ours = f"format_version = {FORMAT_VERSION}"
    manifest.write_text(manifest.read_text().replace(ours, "format_version = 99"))

    with pytest.raises(FormatVersionError, match="99"):
        Library.open(library.path)
    with pytest.raises(FormatVersionError):
        Reader.open(library.path)


@pytest.mark.parametrize(
    "text", ["", "format_version = 'one'", "not toml at all [", "format_version = 1", "\x00"]
)
def test_a_manifest_that_cannot_be_understood_is_a_store_error(library: Library, text: str) -> None:
    (library.path / "library.toml").write_text(text)

    with pytest.raises(StoreError):
        Library.open(library.path)


def test_another_preset_or_speech_model_than_its_own_is_refused(tmp_path: Path) -> None:
    Library.open(tmp_path / "library").close()

    Library.open(tmp_path / "library", preset="mini", models={"speech": "tiny.en"}).close()
    with pytest.raises(ConfigError, match="there is no preset"):
        Library.open(tmp_path / "new", preset="gigantic")
    with pytest.raises(ConfigError, match="speech model"):
        Library.open(tmp_path / "library", models={"speech": "large-v3"})
    assert not (tmp_path / "new").exists()


def test_a_library_made_with_other_weights_is_refused_by_name(tmp_path: Path) -> None:
    Library.open(tmp_path / "library").close()
    manifest = tmp_path / "library" / "library.toml"
    sha = Library.open(tmp_path / "library").manifest.spaces[1].weights_sha256
    manifest.write_text(manifest.read_text().replace(sha, "0" * 64))

    with pytest.raises(WeightsMismatch, match="'image'") as caught:
        Library.open(tmp_path / "library")
    assert "000000000000" in str(caught.value)


def test_a_space_that_no_encoder_makes_is_refused(tmp_path: Path) -> None:
    Library.open(tmp_path / "library").close()
    manifest = tmp_path / "library" / "library.toml"
    manifest.write_text(manifest.read_text().replace('name = "sound"', 'name = "smell"'))

    with pytest.raises(WeightsMismatch, match="smell"):
        Library.open(tmp_path / "library")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garble(path: Path) -> None:
    path.write_bytes(b"garbage" * (path.stat().st_size // 7 + 1))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _garble, _empty])
def test_a_torn_index_is_rebuilt_and_answers_as_before(
    library: Library, damage: Callable[[Path], None]
) -> None:
    before = [(hit.path, hit.score) for hit in library.search("story number 3", min_score=0.0)]
    library.close()
    index = library.path / FOLDER

    def arrays() -> list[Path]:
        listed = (path for path in index.rglob("*") if path.is_file())
        return sorted(path.relative_to(index) for path in listed if path.name != LOCK)

    files = arrays()
    assert {"vectors_text", "segments", "assets"} <= {file.parts[0].split("-")[0] for file in files}
    for file in files:
        damage(index / file)

        after = fake_library(library.path).search("story number 3", min_score=0.0)

        assert [(hit.path, hit.score) for hit in after] == before, file
        assert arrays() == files


def test_an_index_folder_that_is_gone_is_made_again(library: Library) -> None:
    shutil.rmtree(library.path / FOLDER)

    assert len(fake_library(library.path).search("lantern", min_score=0.0)) == 7


def test_only_the_index_of_the_newest_version_is_kept(library: Library, media: Path) -> None:
    before = {path.name for path in (library.path / FOLDER).iterdir()}
    write_text(media / "new.txt", "A new story.")
    library.index(media)
    after = {path.name for path in (library.path / FOLDER).iterdir()}

    kept, new = before & after, after - before
    assert {name.split("-")[0] for name in before - after} == {"assets"}
    assert {name.split("-")[0] for name in new} == {
        "assets", "looks", "segments", "vectors_text", "words",
    }  # fmt: skip
    assert {name.split("-")[0] for name in kept - {LOCK}} == {
        "looks", "segments", "vectors_image", "vectors_text", "words",
    }  # fmt: skip


def test_a_kill_between_assets_and_files_leaves_no_duplicates(
    library: Library, media: Path
) -> None:
    assets = [encoded_asset("aa"), encoded_asset("bb")]
    with Lock(library.path):
        Writer.open(library.path).add_assets(assets)  # and then killed: no close, no file rows

    assert (library.path / DIRTY).exists()
    paths = {hit.path for hit in library.search("aa", min_score=0.0, limit=50)}
    assert len(paths) == 7  # what was not finished is not found

    with Lock(library.path):
        writer = Writer.open(library.path)
        writer.add_assets(assets)
        writer.add_files([FileRow("/a", assets[0].asset.id, 1, 1)])
        writer.add_files([FileRow("/b", assets[1].asset.id, 1, 1)])
        writer.close()

    assert max(Counter(ids(library.path, "assets", "asset_id")).values()) == 1
    assert max(Counter(ids(library.path, "segments", "segment_id")).values()) == 1
    assert max(Counter(ids(library.path, "vectors_text", "segment_id")).values()) == 1
    assert not (library.path / DIRTY).exists()


def test_what_was_never_finished_is_not_found_by_its_title(library: Library) -> None:
    with Lock(library.path):
        Writer.open(library.path).add_assets([encoded_asset("cc", title="zanzibar")])

    assert library.search("zanzibar", min_score=0.1) == []


def test_the_next_run_clears_away_what_a_killed_one_left_though_nothing_is_new(
    library: Library, media: Path
) -> None:
    with Lock(library.path):
        Writer.open(library.path).add_assets([encoded_asset("dd")])

    report = library.index(media)

    assert report.skipped == 7
    assert "dddddddd" not in ids(library.path, "assets", "asset_id")
    assert "dddddddd" not in ids(library.path, "vectors_text", "asset_id")
    assert not (library.path / DIRTY).exists()


def test_a_file_row_whose_asset_is_gone_is_indexed_again(library: Library, media: Path) -> None:
    path = str(media / "new.txt")
    write_text(media / "new.txt", "A new story.")
    info = (media / "new.txt").stat()
    with Lock(library.path):
        writer = Writer.open(library.path)
        writer.add_files([FileRow(path, "f" * 32, info.st_size, info.st_mtime_ns)])

    library.index(media)  # sweeps
    library.index(media)

    assert path in {hit.path for hit in library.search("a new story", min_score=0.0)}


def test_readers_answer_while_a_writer_writes(library: Library, media: Path) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []
    searches = Counter[str]()

    def read(name: str) -> None:
        reader = fake_library(library.path)
        try:
            while not stop.is_set():
                paths = [hit.path for hit in reader.search("a lantern", min_score=0.0, limit=100)]
                assert len(paths) == len(set(paths))
                assert len(paths) >= 7
                reader.status()
                searches[name] += 1
        except BaseException as exc:
            errors.append(exc)

    readers = [threading.Thread(target=read, args=(name,)) for name in ("one", "two")]
    for thread in readers:
        thread.start()
    try:
        writer = fake_library(library.path)
        for round_ in range(5):
            write_text(media / f"more {round_}.txt", f"Another lantern, number {round_}.")
            write_text(media / "0.txt", f"Story number 0 as told the {round_}th time.")
            writer.index(media)
    finally:
        stop.set()
        for thread in readers:
            thread.join(HANG_S)

    assert errors == []
    assert min(searches["one"], searches["two"]) > 0
    assert len(library.search("a lantern", min_score=0.0, limit=100)) == 12


def test_a_library_of_many_small_additions_holds_few_files_open(
    library: Library, media: Path
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(6):
        write_text(media / f"more {number}.txt", f"Another lantern, number {number}.")
        library.index(media)
    library.search("a lantern")

    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20


def test_files_are_decoded_where_a_thousand_others_are_open(library: Library, media: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this system allows few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    with contextlib.ExitStack() as held:
        for _ in range(1100):
            held.enter_context(Path(os.devnull).open("rb"))
        write_text(media / "late.txt", "A late lantern.")
        found = library.index(media)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (found.indexed, found.failed) == (1, 0)


def test_an_open_library_sees_what_another_process_wrote(library: Library, media: Path) -> None:
    assert library.search("zanzibar quarry", min_score=0.6) == []
    write_text(media / "new.txt", "zanzibar quarry")

    fake_library(library.path).index(media)

    assert [Path(hit.path).name for hit in library.search("zanzibar quarry", min_score=0.6)] == [
        "new.txt"
    ]


def test_a_library_that_cannot_be_written_to_can_be_searched_and_leaves_no_litter(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(library.path / FOLDER)
    (library.path / FOLDER).touch()  # stands in the way, also of root
    litter = tmp_path / "litter"
    litter.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(litter))

    reader = fake_library(library.path)

    assert len(reader.search("lantern", min_score=0.0)) == 7
    assert len(reader.search("lantern", min_score=0.0)) == 7
    assert list(litter.iterdir()) == []


def test_an_index_that_another_process_drops_while_it_is_made_is_still_answered_from(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of another version tidies up at the worst moment."""
    rename = Path.rename

    def renamed_and_dropped(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        shutil.rmtree(target)
        return moved

    shutil.rmtree(library.path / FOLDER)
    monkeypatch.setattr(Path, "rename", renamed_and_dropped)

    snapshot = open_snapshot(Reader.open(library.path))

    assert snapshot.spaces["text"].index.count == 6


@pytest.mark.parametrize("table", ["files", "segments", "vectors_text"])
def test_a_damaged_table_is_a_finding_of_the_doctor_and_a_store_error(
    library: Library, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Library, "open", classmethod(lambda cls, path, **_: fake_library(Path(str(path))))
    )
    monkeypatch.setattr("mmsearch.library.doctor._check_packages", list)
    monkeypatch.setattr("mmsearch.library.doctor._check_weights", list)
    assert all(finding.is_well for finding in examine_library(library.path))
    shutil.rmtree(library.path / FOLDER)
    for path in (library.path / "tables" / f"{table}.lance" / "data").iterdir():
        path.unlink()

    findings = examine_library(library.path)

    assert any(not finding.is_well and finding.advice for finding in findings)
    with pytest.raises(StoreError):
        fake_library(library.path).search("lantern")


# The command itself, killed and interrupted.


@pytest.fixture
def many_files(tmp_path: Path) -> Path:
    """Photos and documents, enough of them that a run takes a few seconds."""
    folder = tmp_path / "many"
    shutil.copytree(ROOT / "sample_data/photos", folder / "photos")
    shutil.copytree(ROOT / "sample_data/documents", folder / "documents")
    return folder


START = """
import signal
# A shell that starts the tests in the background makes its children deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from mmsearch.cli.app import main
main()
"""


def start_index(library: Path, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", START, "index", "--json", "--library", library, folder],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_is_made_good_by_the_next(
    many_files: Path, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    chance = random.Random(7)
    for _ in range(5):
        process = start_index(library, many_files)
        time.sleep(chance.uniform(0.3, 4.0))
        process.kill()
        process.communicate()

    with Library.open(library) as opened:
        report = opened.index(many_files)
        again = opened.index(many_files)

    count = sum(1 for path in many_files.rglob("*") if path.is_file())
    assert report.failed == 0
    assert report.indexed + report.skipped == count
    assert again.skipped == count
    assert [finding for finding in examine_library(library) if not finding.is_well] == []
    assert max(Counter(ids(library, "segments", "segment_id")).values()) == 1
    assert max(Counter(ids(library, "files", "path")).values()) == 1


@pytest.mark.slow
def test_an_interrupt_ends_the_run_soon_and_keeps_what_was_finished(
    many_files: Path, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    process = start_index(library, many_files)
    assert process.stdout is not None
    told = b""
    while b'"event": "indexed"' not in told:  # each line comes when its file is finished
        line = process.stdout.readline()
        assert line
        told += line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_S)

    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err
    finished = (told + out).count(b'"event": "indexed"')
    assert finished > 0
    with Library.open(library, create=False) as opened:
        assert opened.status().files >= finished - 1
        report = opened.index(many_files)
    assert report.skipped >= finished - 1
    assert report.indexed > 0
    assert [finding for finding in examine_library(library) if not finding.is_well] == []


def test_the_decoders_of_a_killed_run_end_with_it(many_files: Path, tmp_path: Path) -> None:
    process = start_index(tmp_path / "library", many_files)
    workers: list[int] = []
    wait_until(lambda: workers.extend(_children(process.pid)) or workers or process.poll())
    assert workers
    process.kill()
    process.communicate()

    wait_until(lambda: not any(_is_running(pid) for pid in workers))


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    found = []
    for task in listed.parent.parent.iterdir() if listed.parent.parent.is_dir() else ():
        try:
            found += [int(one) for one in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def test_a_run_that_is_stopped_after_a_new_file_failed_leaves_nothing_to_clear(
    library: Library, media: Path
) -> None:
    (media / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40)

    def stop(event: Event) -> None:
        if isinstance(event, Failed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.index(media, on_event=stop)

    assert not (library.path / DIRTY).exists()


def test_an_error_of_the_listener_keeps_what_was_finished_at_once(
    library: Library, media: Path
) -> None:
    for number in range(5):
        write_text(media / f"later {number}.txt", f"A lantern, number {number}.")
    done: list[str] = []

    def stop(event: Event) -> None:
        if isinstance(event, Indexed):
            done.append(event.path)
        if len(done) == 2:
            raise RuntimeError("the listener gave up")

    try:
        library.index(media, on_event=stop)
    except RuntimeError:
        # Still handling: what the run held must be written by now, not when it is collected.
        rows = {row.path for row in Reader.open(library.path).read_files()}
        assert set(done) <= rows
    else:
        pytest.fail("the error of the listener was lost")
