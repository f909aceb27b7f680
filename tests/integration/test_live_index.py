"""An index beside a table that goes on: additions, removals, merges, crashes and rebuilds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mmsearch.index import index_files
from mmsearch.index.base import NO_ROW
from mmsearch.index.index_config import DEFAULT_INDEX_CONFIG, EXACT, IndexConfig
from mmsearch.snapshot import array_cache, maintenance
from mmsearch.snapshot.keys import compute_key
from mmsearch.snapshot.snapshot import Snapshot, open_snapshot
from mmsearch.store.location import INDEX as FOLDER
from mmsearch.store.manifest import Manifest
from mmsearch.store.reader import Reader
from mmsearch.store.rows import EncodedAsset, EncodedSegment, FileRow
from mmsearch.store.writer import Lock, Writer, create
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
from tests.fakes import DIM, fake_space

FLAT = IndexConfig("flat")
"""Compares everything within FAISS: what goes wrong here is not a matter of recall."""
SPACE = "text"


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    values = rng.standard_normal((rows, DIM)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def id_of(number: int) -> str:
    return f"{number:016x}{0:016x}"


def asset(number: int, vectors: np.ndarray) -> tuple[EncodedAsset, FileRow]:
    """A text of as many passages as there are vectors."""
    asset_id = id_of(number)
    segments = []
    for at, vector in enumerate(vectors):
        place = Place(chars=(at, at + 1))
        of_segment = segment_id(asset_id, SegmentKind.TEXT, place)
        segment = Segment(of_segment, asset_id, SegmentKind.TEXT, place, f"passage {at}", ())
        segments.append(EncodedSegment(segment, (Vectors(SPACE, vector[None]),)))
    known = Asset(asset_id, Modality.TEXT, 1, Metadata(format="text"))
    return EncodedAsset(known, tuple(segments)), FileRow(f"/{number}.txt", asset_id, 1, 0)


def new_library(path: Path) -> Path:
    create(path, Manifest("fake", "fake", (fake_space(SPACE),)))
    return path


def add(path: Path, numbers: range, vectors: dict[int, np.ndarray]) -> None:
    with Lock(path):
        writer = Writer.open(path)
        made = [asset(number, vectors[number]) for number in numbers]
        writer.add_assets([one for one, _ in made])
        writer.add_files([row for _, row in made])
        writer.close(tidy=False)


def remove(path: Path, numbers: list[int], *, tidy: bool = False) -> None:
    with Lock(path):
        writer = Writer.open(path)
        writer.remove_files([f"/{number}.txt" for number in numbers])
        writer.sweep()
        writer.close(tidy=tidy)


def merge(path: Path) -> None:
    """Write the parts of the tables anew, as one."""
    import lancedb

    db = lancedb.connect(str(path / "tables"))
    for name in ("files", "assets", "segments", f"vectors_{SPACE}"):
        db.open_table(name).optimize()


def answered(snapshot: Snapshot, query: np.ndarray, k: int) -> list[tuple[int, float]]:
    """(asset key, similarity) of the nearest."""
    arrays = snapshot.spaces[SPACE]
    found = arrays.index.nearest(query[None], k)
    rows = found.rows[0][found.rows[0] != NO_ROW]
    keys = arrays.assets.take(rows).tolist() if len(rows) else []
    return list(zip(keys, found.similarities[0].tolist(), strict=False))


def expected(vectors: dict[int, np.ndarray], query: np.ndarray, k: int) -> list[tuple[int, float]]:
    owners = np.repeat(list(vectors), [len(rows) for rows in vectors.values()])
    if not len(owners):
        return []
    stored = np.concatenate(list(vectors.values())).astype(np.float16).astype(np.float32)
    similarities = stored @ query
    best = np.argsort(-similarities, kind="stable")[:k]
    return [(compute_key(id_of(owners[at])), float(similarities[at])) for at in best]


def check(snapshot: Snapshot, vectors: dict[int, np.ndarray], query: np.ndarray, k: int) -> None:
    found, truth = answered(snapshot, query, k), expected(vectors, query, k)
    assert len(found) == len(truth)
    np.testing.assert_allclose([s for _, s in found], [s for _, s in truth], atol=2e-5)
    for (key, similarity), (true, other) in zip(found, truth, strict=True):
        assert key == true or abs(similarity - other) < 2e-5


class LiveLibrary(RuleBasedStateMachine):
    """Whatever happens to a library, it answers as sorting all its vectors does."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = new_library(self.folder / "library")
        self.vectors: dict[int, np.ndarray] = {}
        self.next = 0
        self.rng = np.random.default_rng(0)
        self.previous: Snapshot | None = None
        self.wish = DEFAULT_INDEX_CONFIG

    @rule(count=st.integers(1, 12), each=st.integers(1, 3))
    def add(self, count: int, each: int) -> None:
        numbers = range(self.next, self.next + count)
        for number in numbers:
            self.vectors[number] = unit(self.rng, each)
        self.next += count
        add(self.path, numbers, self.vectors)

    @rule(share=st.sampled_from([0.1, 0.5, 1.0]))
    def remove(self, share: float) -> None:
        gone = [number for number in self.vectors if self.rng.random() < share]
        for number in gone:
            del self.vectors[number]
        if gone:
            remove(self.path, gone)

    @rule()
    def merge(self) -> None:
        merge(self.path)

    @rule()
    def build(self) -> None:
        snapshot = open_snapshot(Reader.open(self.path), FLAT)
        maintenance.build_due_indexes(snapshot, FLAT)

    @rule()
    def forget(self) -> None:
        """Another process opens it."""
        self.previous = None

    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        files = sorted(one for one in (self.path / FOLDER).rglob("*") if one.is_file())
        if files:
            file = data.draw(st.sampled_from(files))
            content = file.read_bytes()
            cut = data.draw(st.integers(0, len(content)))
            # Renamed over it, as a crash would leave it: what is mapped is not changed.
            other = file.with_name("damaged")
            other.write_bytes(data.draw(st.sampled_from([content[:cut], b"", b"x" * cut])))
            other.replace(file)
        self.previous = None

    @rule()
    def crash_while_building(self) -> None:
        part = self.path / FOLDER / ".part-crashed"
        part.mkdir(exist_ok=True, parents=True)
        (part / index_files.HEADER).write_text("{")

    @rule()
    def drop_indexes(self) -> None:
        shutil.rmtree(self.path / FOLDER, ignore_errors=True)
        self.previous = None

    @invariant()
    def answers(self) -> None:
        if not hasattr(self, "path"):
            return
        snapshot = open_snapshot(Reader.open(self.path), FLAT, self.previous)
        self.previous = snapshot
        for k in (1, 7):
            check(snapshot, self.vectors, unit(self.rng, 1)[0], k)
        if self.vectors:
            some = next(iter(self.vectors.values()))[0]
            check(snapshot, self.vectors, some, 3)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)


TestLiveLibrary = LiveLibrary.TestCase
TestLiveLibrary.settings = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, dict[int, np.ndarray]]:
    """A library of 400 vectors with an index over them."""
    rng = np.random.default_rng(1)
    path = new_library(tmp_path / "library")
    vectors = {number: unit(rng, 2) for number in range(200)}
    add(path, range(200), vectors)
    assert maintenance.build_due_indexes(open_snapshot(Reader.open(path), FLAT), FLAT)
    return path, vectors


def test_an_index_that_is_built_is_used_and_measured(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    path, vectors = built
    snapshot = open_snapshot(Reader.open(path))

    kept, live = snapshot.spaces[SPACE].kept, snapshot.spaces[SPACE].built

    assert kept is not None
    assert live is not None
    assert kept.header.measured.recall == 1.0
    assert kept.header.measured.queries == 40
    # What was held out to measure it was added afterwards.
    assert (kept.header.count, live.index.count, len(live.tail)) == (400, 400, 0)
    check(snapshot, vectors, unit(np.random.default_rng(2), 1)[0], 10)


def test_what_is_added_is_found_at_once_and_what_is_removed_is_not(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    path, vectors = built
    before = open_snapshot(Reader.open(path))
    vectors[200] = unit(np.random.default_rng(3), 1)
    add(path, range(200, 201), vectors)
    gone = vectors.pop(7)
    remove(path, [7])

    after = open_snapshot(Reader.open(path), previous=before)

    check(after, vectors, vectors[200][0], 3)
    check(after, vectors, gone[0], 3)
    assert after.spaces[SPACE].built is not None
    first, then = before.spaces[SPACE].built, after.spaces[SPACE].built
    assert first is not None
    assert then is not None
    assert first.index is then.index  # it was not read again
    assert after.spaces[SPACE].changed == 3


def test_a_reader_of_the_old_index_is_not_disturbed_by_a_new_one(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    path, vectors = built
    old = open_snapshot(Reader.open(path))
    known = dict(vectors)
    for number in range(200, 400):
        vectors[number] = unit(np.random.default_rng(number), 1)
    add(path, range(200, 400), vectors)

    assert maintenance.list_due_spaces(open_snapshot(Reader.open(path)), FLAT) == [SPACE]
    assert maintenance.build_due_indexes(open_snapshot(Reader.open(path)), FLAT)

    query = vectors[300][0]
    check(old, known, query, 5)
    check(open_snapshot(Reader.open(path)), vectors, query, 5)
    assert len(index_files.list_names(path / FOLDER)) == 1


def test_an_index_is_not_due_before_much_has_changed(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    path, vectors = built
    for number in range(200, 230):
        vectors[number] = unit(np.random.default_rng(number), 1)
    add(path, range(200, 230), vectors)

    assert maintenance.list_due_spaces(open_snapshot(Reader.open(path)), FLAT) == []
    assert maintenance.list_due_spaces(open_snapshot(Reader.open(path)), DEFAULT_INDEX_CONFIG) == []
    assert maintenance.list_due_spaces(open_snapshot(Reader.open(path)), IndexConfig(EXACT)) == []
    assert maintenance.list_due_spaces(open_snapshot(Reader.open(path)), IndexConfig("hnsw")) == [
        SPACE
    ]


def test_exact_search_can_be_asked_for_where_there_is_an_index(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    path, vectors = built
    snapshot = open_snapshot(Reader.open(path), IndexConfig(EXACT))

    assert snapshot.spaces[SPACE].built is None
    check(snapshot, vectors, unit(np.random.default_rng(5), 1)[0], 10)


@pytest.mark.parametrize(
    "name", [index_files.HEADER, index_files.INDEX, index_files.KEYS, index_files.ROWS]
)
@pytest.mark.parametrize("how", ["gone", "cut", "other", "one byte"])
def test_a_damaged_index_is_not_trusted_and_is_built_again(
    built: tuple[Path, dict[int, np.ndarray]], name: str, how: str
) -> None:
    path, vectors = built
    (folder,) = index_files.list_names(path / FOLDER)
    file = path / FOLDER / folder / name
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif how == "other":
        file.write_bytes(bytes(len(content)))
    else:  # within a number: nothing but the checksum can tell
        file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])

    snapshot = open_snapshot(Reader.open(path))

    assert snapshot.spaces[SPACE].built is None
    check(snapshot, vectors, unit(np.random.default_rng(5), 1)[0], 10)
    assert maintenance.list_due_spaces(snapshot, FLAT) == [SPACE]
    maintenance.build_due_indexes(snapshot, FLAT)
    again = open_snapshot(Reader.open(path))
    assert again.spaces[SPACE].built is not None
    assert len(index_files.list_names(path / FOLDER)) == 1


def test_an_index_of_another_version_of_faiss_is_not_read(
    built: tuple[Path, dict[int, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = built
    monkeypatch.setattr(index_files, "faiss_version", lambda: "0.0.1")

    assert open_snapshot(Reader.open(path)).spaces[SPACE].built is None


def test_without_faiss_search_is_exact(
    built: tuple[Path, dict[int, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, vectors = built
    monkeypatch.setattr(index_files, "is_available", lambda: False)
    snapshot = open_snapshot(Reader.open(path))

    assert snapshot.spaces[SPACE].built is None
    check(snapshot, vectors, unit(np.random.default_rng(6), 1)[0], 4)


def test_one_process_builds_at_a_time(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    path, _ = built
    (folder,) = index_files.list_names(path / FOLDER)
    shutil.rmtree(path / FOLDER / folder)
    snapshot = open_snapshot(Reader.open(path))
    import filelock

    with filelock.FileLock(path / FOLDER / array_cache.LOCK):
        assert not maintenance.build_due_indexes(snapshot, FLAT)
    assert maintenance.build_due_indexes(snapshot, FLAT)


def test_building_that_is_stopped_leaves_nothing(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    path, _ = built
    (folder,) = index_files.list_names(path / FOLDER)
    shutil.rmtree(path / FOLDER / folder)
    snapshot = open_snapshot(Reader.open(path))

    maintenance.build_due_indexes(snapshot, FLAT, is_stopped=lambda: True)

    assert index_files.list_names(path / FOLDER) == []
    assert not list((path / FOLDER).glob(".part-*"))


BUILDER = """
import shutil, sys
from pathlib import Path
from mmsearch.index import index_files
from mmsearch.index.index_config import IndexConfig
from mmsearch.snapshot import maintenance
from mmsearch.snapshot.snapshot import open_snapshot
from mmsearch.store.reader import Reader
path = Path(sys.argv[1])
is_ready = False
while True:
    maintenance.build_due_indexes(open_snapshot(Reader.open(path)), IndexConfig("flat"))
    if not is_ready:
        is_ready = True
        print("ready", flush=True)
    for name in index_files.list_names(path / "index"):
        shutil.rmtree(path / "index" / name)
"""


DEATHS = 30


@pytest.mark.slow
def test_a_builder_that_is_killed_at_any_moment_leaves_a_library_that_answers(
    built: tuple[Path, dict[int, np.ndarray]],
) -> None:
    """Killed 30 times while it builds and swaps."""
    path, vectors = built
    rng = np.random.default_rng(9)
    seen = set()
    for _ in range(DEATHS):
        process = subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(float(rng.uniform(0.0, 0.3)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        seen.add(tuple(index_files.list_names(path / FOLDER)))
        snapshot = open_snapshot(Reader.open(path))
        check(snapshot, vectors, unit(rng, 1)[0], 10)
    assert len(seen) > 1  # it was killed at different moments
    maintenance.build_due_indexes(open_snapshot(Reader.open(path)), FLAT)
    check(open_snapshot(Reader.open(path)), vectors, unit(rng, 1)[0], 10)
