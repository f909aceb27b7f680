"""A library on S3-compatible storage: written, read and searched through a real server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import lance
import numpy as np
import pytest

from mmsearch.errors import LibraryLocked, LibraryNotFound, StoreError
from mmsearch.index.exact_index import ExactIndex
from mmsearch.index.lance_index import build, count_unindexed_rows, search_rows
from mmsearch.index.vector_matrix import Matrix
from mmsearch.library.library import Library
from mmsearch.store import lease
from mmsearch.store import manifest as manifests
from mmsearch.store.lease import Lease, LeaseClaim
from mmsearch.store.location import Location
from mmsearch.store.manifest import Manifest
from mmsearch.store.object_storage import Objects
from mmsearch.store.reader import Reader
from mmsearch.store.rows import EncodedAsset, EncodedSegment, FileRow
from mmsearch.store.schema import ASSETS, FILES, SEGMENTS, name_vectors_table
from mmsearch.store.writer import DIRTY, Lock, Writer, create
from mmsearch.types import (
    Asset,
    Metadata,
    Modality,
    Place,
    Segment,
    SegmentKind,
    Space,
    Vectors,
)
from tests.conftest import Cli
from tests.patience import HANG_S, wait_until
from tests.s3_server import BUCKET, S3Server, s3_server

ROOT = Path(__file__).parents[2]
DIM = 16
SPACE = Space("text", DIM, "cosine", "a model", "1", "0" * 64)
MANIFEST = Manifest("mini", "tiny.en", (SPACE,))
TABLE = name_vectors_table(SPACE.name)
CLEAR_S = HANG_S
"""An error of the storage must be told within so many seconds."""

_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _environment(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment(MMSEARCH_CACHE=str(tmp_path)).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place() -> Location:
    """Where nothing is yet."""
    return Location.parse(f"s3://{BUCKET}/libraries/{next(_numbers)}")


@pytest.fixture
def library(place: Location) -> Location:
    """An empty library."""
    create(place, MANIFEST)
    return place


def encoded(name: str, seed: int, vectors: int = 2) -> EncodedAsset:
    values = np.random.default_rng(seed).standard_normal((vectors, DIM)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    segment = Segment(f"{name}-0", name, SegmentKind.TEXT, Place(), f"the text of {name}")
    asset = Asset(name, Modality.TEXT, 7, Metadata(format="txt"))
    return EncodedAsset(asset, (EncodedSegment(segment, (Vectors(SPACE.name, values),)),))


def add(location: Location, *names: str) -> None:
    with Lock(location):
        writer = Writer.open(location)
        writer.add_assets([encoded(name, int(name, 36)) for name in names])
        writer.add_files([FileRow(f"/{name}.txt", name, 7, 1) for name in names])
        writer.close()


def asset_ids(location: Location, table: str = ASSETS) -> list[str]:
    return sorted(Reader.open(location).read_columns(table, "asset_id").column(0).to_pylist())


def run(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process, which has this module as `remote`."""
    begin = "import sys; import tests.integration.test_remote_library as remote\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


# What the storage must be able to do, and the server of the tests can.


def test_of_many_who_create_an_object_one_does(place: Location) -> None:
    together = threading.Barrier(8)

    def try_it(number: int) -> bool:
        together.wait()
        return place.objects.put_new("one", str(number).encode()) is not None

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(try_it, range(8)))

    found = place.objects.get("one")
    assert sum(made) == 1
    assert found is not None
    assert found.content == str(made.index(True)).encode()


def test_no_change_is_lost_among_those_who_replace_what_they_read(place: Location) -> None:
    place.objects.put("number", b"0")

    def count_up(_turn: int) -> None:
        while True:
            found = place.objects.get("number")
            assert found is not None
            more = str(int(found.content) + 1).encode()
            if place.objects.replace("number", more, found.tag) is not None:
                return

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count_up, range(30)))

    assert place.read("number") == b"30"
    assert place.objects.replace("nothing", b"", "0" * 32) is None


def test_two_who_append_to_a_table_lose_nothing(library: Location) -> None:
    files = Reader.open(library).open_dataset(FILES)

    def append(number: int) -> None:
        from mmsearch.store.rows import make_files_table

        lance.write_dataset(
            make_files_table([FileRow(f"/{number}", None, 1, 1)]),
            files.uri,
            mode="append",
            storage_options=library.storage_options,
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(12)))

    assert {row.path for row in Reader.open(library).read_files()} == {f"/{n}" for n in range(12)}


# A library from its making to its search.


def test_a_library_is_made_written_read_searched_and_emptied(library: Location) -> None:
    names = [f"a{number}" for number in range(30)]
    add(library, *names[:20])
    add(library, *names[20:])

    reader = Reader.open(library)
    assert reader.manifest == MANIFEST
    assert sorted(row.path for row in reader.read_files()) == sorted(
        f"/{name}.txt" for name in names
    )
    assert reader.read_assets([0])[0].metadata.format == "txt"
    assert reader.read_segments([3])[0].text.startswith("the text of")
    assert len(reader.list_fragments(TABLE)) == 2
    asked = np.concatenate([encoded(name, int(name, 36)).segments[0].vectors[0].values[:1]
                            for name in names[::7]])  # fmt: skip
    found = search_rows(reader.open_dataset(TABLE), asked, 1)
    assert found.column("asset_id").to_pylist() == names[::7]
    assert found.column("similarity").to_numpy() == pytest.approx(1.0, abs=1e-2)
    within = search_rows(reader.open_dataset(TABLE), asked, 5, asset_ids=["a3", "a4"])
    assert set(within.column("asset_id").to_pylist()) == {"a3", "a4"}

    with Lock(library):
        writer = Writer.open(library)
        writer.remove_files([f"/{name}.txt" for name in names[1:]])
        assert writer.sweep() == 29
        writer.close()

    assert asset_ids(library) == ["a0"]
    assert set(asset_ids(library, TABLE)) == {"a0"}
    assert set(asset_ids(library, SEGMENTS)) == {"a0"}
    assert not library.exists(DIRTY)


def test_a_searcher_reads_an_index_that_a_writer_made(library: Location) -> None:
    names = [f"b{number}" for number in range(3)]
    with Lock(library):
        writer = Writer.open(library)
        writer.add_assets([encoded(name, int(name, 36), vectors=1000) for name in names])
        writer.add_files([FileRow(f"/{name}", name, 7, 1) for name in names])
        writer.close()
        build(Reader.open(library).open_dataset(TABLE))
    add(library, "late")

    dataset = Reader.open(library).open_dataset(TABLE)
    column = dataset.to_table(columns=["vector"]).column("vector").combine_chunks()
    stored = np.asarray(column.flatten()).reshape(-1, DIM)
    queries = stored[::100].astype(np.float32)
    true = ExactIndex(Matrix.from_array(stored)).nearest(queries, 10)
    found = search_rows(dataset, queries, 10)

    assert count_unindexed_rows(dataset) == 2
    addresses = dataset.scanner(columns=[], with_row_address=True).to_table().column(0).to_numpy()
    rows = np.searchsorted(addresses, found.column("address").to_numpy()).reshape(-1, 10)
    hits = sum(len(np.intersect1d(*pair)) for pair in zip(rows, true.rows, strict=True))
    assert hits >= 0.95 * true.rows.size
    late = search_rows(dataset, encoded("late", int("late", 36)).segments[0].vectors[0].values, 1)
    assert late.column("asset_id").to_pylist() == ["late", "late"]


def test_a_reader_keeps_its_snapshot_while_a_writer_goes_on(library: Location) -> None:
    add(library, "c1", "c2")
    reader = Reader.open(library)
    versions = reader.versions

    add(library, "c3")
    with Lock(library):
        writer = Writer.open(library)
        writer.remove_files(["/c1.txt"])
        writer.sweep()
        writer.close()

    assert [row.path for row in reader.read_files()] == ["/c1.txt", "/c2.txt"]
    assert {asset.id for asset in reader.read_assets([0, 1])} == {"c1", "c2"}
    assert reader.versions == versions
    assert asset_ids(library) == ["c2", "c3"]


@pytest.mark.slow
def test_a_library_on_a_storage_is_used_like_any_other(
    samples: Path, place: Location, tmp_path: Path, cli: Cli
) -> None:
    with Library.open(place.uri) as library:
        assert library.index(samples / "photos").failed == 0
        paths = {hit.path for hit in library.search("food on a table", min_score=0.0)}
        found = [hit.path for hit in library.similar(samples / "photos" / "beach.jpg")]
    told = cli("search", "food on a table", "--library", place.uri, "--min-score", "0", "--paths")
    with Library.open(Path(place.uri)) as library:  # as a command line makes it of a URI
        assert library.remove(samples / "photos" / "beach.jpg")
        left = {hit.path for hit in library.search("food on a table", min_score=0.0)}

    assert told.returncode == 0, told.stderr
    assert paths == set(told.stdout.decode().split()) == {str(one) for one in photos(samples)}
    assert str(samples / "photos" / "beach.jpg") not in found
    assert left == paths - {str(samples / "photos" / "beach.jpg")}
    assert list(place.cache_folder.iterdir())
    assert not list(place.cache_folder.rglob("vectors.npy"))  # they stay where they are
    assert not (tmp_path / "s3:").exists()


def photos(samples: Path) -> list[Path]:
    return list((samples / "photos").iterdir())


def test_a_library_that_was_half_made_is_finished(place: Location) -> None:
    create(place, MANIFEST)
    place.delete(manifests.NAME)

    create(place, MANIFEST)

    assert Reader.open(place).read_files() == []


def test_a_library_is_not_made_where_something_else_is(place: Location) -> None:
    place.write("holiday.jpg", b"...")

    with pytest.raises(StoreError, match="is no library"):
        create(place, MANIFEST)

    assert place.objects.list_names() == ["holiday.jpg"]


def test_one_library_does_not_see_another_whose_name_begins_alike(place: Location) -> None:
    longer = Location(f"{place.uri}-more")
    create(longer, MANIFEST)
    create(place, MANIFEST)
    add(longer, "d1")

    assert asset_ids(place) == []
    assert asset_ids(longer) == ["d1"]


# One writer at a time.


@pytest.mark.slow
def test_two_processes_that_write_at_once_take_turns_and_lose_nothing(library: Location) -> None:
    program = """
import time
location, turn = remote.Location.parse(sys.argv[1]), sys.argv[2]
locked = 0
for number in range(3):
    while True:
        try:
            remote.add(location, f"{turn}{number}")
            break
        except remote.LibraryLocked:
            locked += 1
            time.sleep(0.02)
print(locked)
"""
    writers = [run(program, library.uri, turn) for turn in "ef"]
    waited = [int(writer.communicate(timeout=120)[0]) for writer in writers]

    names = sorted(f"{turn}{number}" for turn in "ef" for number in range(3))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sum(waited) > 0  # else they were never there at once
    for table in (FILES, ASSETS, SEGMENTS):
        assert asset_ids(library, table) == names
    assert asset_ids(library, TABLE) == sorted([*names, *names])


def test_of_two_processes_that_make_a_library_both_find_it_made(place: Location) -> None:
    program = """
try:
    remote.create(remote.Location.parse(sys.argv[1]), remote.MANIFEST)
except remote.LibraryLocked:
    print("locked")
"""
    makers = [run(program, place.uri) for _ in range(2)]
    for maker in makers:
        assert maker.communicate(timeout=60)[0] in ("", "locked\n")
        assert maker.returncode == 0

    assert Reader.open(place).read_files() == []


@pytest.mark.slow
def test_what_a_killed_writer_left_is_cleared_away_when_its_lease_has_ended(
    library: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(library, "g1")
    program = """
import time
remote.lease.LEASE_S = 3.0
location = remote.Location.parse(sys.argv[1])
with remote.Lock(location):
    writer = remote.Writer.open(location)
    writer.add_assets([remote.encoded("halfdone", 1)])
    print("half", flush=True)
    time.sleep(60)
"""
    killed = run(program, library.uri)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "half\n"
    assert "halfdone" in asset_ids(library)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    monkeypatch.setattr(lease, "SKEW_S", 0.2)
    with pytest.raises(LibraryLocked, match=rf"process {killed.pid} on {socket.gethostname()}"):
        add(library, "g2")
    deadline = time.monotonic() + HANG_S
    while True:
        try:
            add(library, "g2")
            break
        except LibraryLocked:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    assert asset_ids(library) == ["g1", "g2"]
    assert set(asset_ids(library, SEGMENTS)) == {"g1", "g2"}
    assert set(asset_ids(library, TABLE)) == {"g1", "g2"}


def test_a_lease_is_renewed_while_it_is_held_and_can_be_had_when_it_is_given_back(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SKEW_S", 0.0)
    first, second = Lease(place, lasts_s=4.0), Lease(place, lasts_s=4.0)
    first.acquire()
    until_s = first._until.steady_s

    def has_outlived_its_term() -> bool:
        with pytest.raises(LibraryLocked, match="until 20"):
            second.acquire()
        first.check()
        return time.monotonic() > until_s

    wait_until(has_outlived_its_term, poll_s=0.1)
    first.release()
    second.acquire()
    second.release()

    with pytest.raises(LibraryLocked):
        first.check()
    assert lease.find_held_lease(place) is None
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_writer_whose_lease_was_taken_over_writes_no_more(
    library: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 8.0)
    with Lock(library):
        writer = Writer.open(library)
        writer.add_files([FileRow("/before", None, 1, 1)])
        library.write(lease.NAME, LeaseClaim("another", "x", time.time() + 60).to_bytes())
        held = lease.find_held_lease(library)
        assert held is not None
        assert held._renewing is not None
        held._renewing.join(HANG_S)  # it has seen that another has it
        with pytest.raises(LibraryLocked, match="index again"):
            writer.add_files([FileRow("/after", None, 1, 1)])
        assert library.exists(DIRTY)

    assert [row.path for row in Reader.open(library).read_files()] == ["/before"]
    with pytest.raises(LibraryLocked, match="another"):  # it was not given back by who lost it
        add(library, "h1")


def test_a_machine_that_slept_does_not_think_that_it_has_the_lease_still(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Lease(place)
    held.acquire()
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(lease.time, "time", lambda: real() + 2 * lease.LEASE_S)
        with pytest.raises(LibraryLocked):
            held.check()

    held.check()
    held.release()


def test_an_answer_that_is_lost_does_not_lose_the_lease(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_new, real_replace = Objects.put_new, Objects.replace

    def put_new(self: Objects, name: str, content: bytes) -> str | None:
        real_new(self, name, content)
        return None  # as a client that tried twice is told

    def replace(self: Objects, name: str, content: bytes, tag: str) -> str | None:
        real_replace(self, name, content, tag)
        return None

    monkeypatch.setattr(Objects, "put_new", put_new)
    monkeypatch.setattr(Objects, "replace", replace)
    held = Lease(place, lasts_s=4.0)
    held.acquire()
    until_s = held._until.steady_s
    wait_until(lambda: time.monotonic() > until_s)
    held.check()
    held.release()


def test_of_many_who_take_over_an_ended_lease_one_gets_it(place: Location) -> None:
    place.write(lease.NAME, LeaseClaim("old", "x", time.time() - 60).to_bytes())
    leases = [Lease(place) for _ in range(8)]
    together = threading.Barrier(8)

    def try_it(one: Lease) -> bool:
        together.wait()
        try:
            one.acquire()
        except LibraryLocked:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(try_it, leases))
    for one, got in zip(leases, taken, strict=True):
        if got:
            one.check()
            one.release()

    assert sum(taken) == 1


def test_a_lease_that_is_damaged_or_old_is_taken(place: Location) -> None:
    for content in (b"", b"{", b"[1]", LeaseClaim("old", "x", time.time() - 60).to_bytes()):
        place.write(lease.NAME, content)
        taken = Lease(place)
        taken.acquire()
        taken.release()


# What goes wrong with a storage is told, soon, with what to do.


def told(location: Location, message: str) -> None:
    began = time.monotonic()
    for attempt in (Reader.open, lambda place: create(place, MANIFEST)):
        with pytest.raises(StoreError, match=message) as caught:
            attempt(location)
        assert not isinstance(caught.value, LibraryNotFound)
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 2 * CLEAR_S


def test_where_no_library_is_that_is_said(place: Location) -> None:
    with pytest.raises(LibraryNotFound, match=place.uri):
        Reader.open(place)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_are_named(
    library: Location, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "A" * 20)

    told(library, "refuses these credentials.*AWS_ACCESS_KEY_ID")


def test_a_bucket_that_is_not_there_is_named() -> None:
    told(Location.parse("s3://nobodys-bucket/library"), "no bucket 'nobodys-bucket' at http://127")


def test_a_server_that_is_not_there_is_named(
    library: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")

    told(library, f"http://127.0.0.1:{port} does not answer.*AWS_ENDPOINT_URL")


@pytest.mark.slow
def test_a_server_that_is_silent_is_given_up_on(
    library: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")

        began = time.monotonic()
        with pytest.raises(StoreError, match="does not answer"):
            Reader.open(library)
        assert time.monotonic() - began < CLEAR_S


def test_tables_that_lose_their_server_say_so(
    library: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifests.read(library)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")

    began = time.monotonic()
    with pytest.raises(StoreError, match=r"table files: .*does not answer"):
        Reader(library, manifest).read_files()
    assert time.monotonic() - began < CLEAR_S
