"""Files brought together in a folder: copied, hard-linked, linked by name."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmsearch.errors import ConfigError
from mmsearch.export.file_placement import NAME_BYTES, PlacementMethod, number_name, place_files
from tests.hostile_names import HOSTILE


def write(path: Path, content: str = "content", mtime_ns: int = 1_600_000_000_123_456_789) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return str(path)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize("way", PlacementMethod)
def test_files_of_one_name_all_arrive(way: PlacementMethod, tmp_path: Path) -> None:
    paths = [write(tmp_path / one / "a.jpg", one) for one in ("x", "y", "z")]
    placed = place_files(paths, tmp_path / "new" / "out", way)
    assert names(tmp_path / "new" / "out") == ["a (2).jpg", "a (3).jpg", "a.jpg"]
    assert [Path(one.target or "").read_text() for one in placed] == ["x", "y", "z"]


@pytest.mark.parametrize("way", PlacementMethod)
def test_doing_it_again_changes_nothing(way: PlacementMethod, tmp_path: Path) -> None:
    paths = [write(tmp_path / one / "a.jpg", one) for one in ("x", "y")]
    first = place_files(paths, tmp_path / "out", way)
    again = place_files(list(reversed(paths)), tmp_path / "out", way)
    assert names(tmp_path / "out") == ["a (2).jpg", "a.jpg"]
    assert {one.target for one in again} == {one.target for one in first}
    assert not any(one.is_new for one in again)


def test_a_copy_keeps_its_time_and_is_a_file_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg")
    Path(path).chmod(0o4755)
    (placed,) = place_files([path], tmp_path / "out")
    there = Path(placed.target or "").stat()
    assert there.st_mtime_ns == 1_600_000_000_123_456_789
    assert there.st_mode & 0o7777 == 0o755
    assert there.st_ino != Path(path).stat().st_ino


def test_a_hard_link_is_the_file_itself_also_through_a_link(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(path)
    placed = place_files([path, str(tmp_path / "b.jpg")], tmp_path / "out", PlacementMethod.LINK)
    assert [Path(one.target or "").stat().st_ino for one in placed] == [
        Path(path).stat().st_ino
    ] * 2
    assert not (tmp_path / "out" / "b.jpg").is_symlink()


def test_nothing_that_is_there_is_written_over_or_through(tmp_path: Path) -> None:
    out = tmp_path / "out"
    victim = Path(write(tmp_path / "victim", "keep"))
    write(out / "file.jpg", "keep")
    (out / "link.jpg").symlink_to(victim)
    (out / "dangling.jpg").symlink_to(tmp_path / "not there")
    (out / "folder.jpg").mkdir()
    os.mkfifo(out / "pipe.jpg")
    before = names(out)
    paths = [write(tmp_path / "in" / name, "new") for name in before]
    placed = place_files(paths, out)
    assert victim.read_text() == "keep"
    assert (out / "file.jpg").read_text() == "keep"
    assert not (tmp_path / "not there").exists()
    assert [Path(one.target or "").name for one in placed] == [
        name.replace(".", " (2).") for name in before
    ]


def test_what_is_gone_or_no_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    there = write(tmp_path / "a.jpg")
    placed = place_files(
        [str(tmp_path / "gone.jpg"), str(tmp_path), str(tmp_path / "pipe"), there, "nul\0.jpg"],
        tmp_path / "out",
    )
    assert [one.reason for one in placed] == [
        "No such file or directory",
        "is no file",
        "is no file",
        "",
        "embedded null byte",
    ]
    assert names(tmp_path / "out") == ["a.jpg"]


@pytest.mark.parametrize("way", PlacementMethod)
def test_hostile_names_arrive_as_they_are(way: PlacementMethod, tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "in" / name, name.encode("utf-8", "replace").hex()) for name in HOSTILE
    ]
    place_files(paths, tmp_path / "out", way)
    assert names(tmp_path / "out") == sorted(HOSTILE)


def test_a_number_fits_into_the_longest_name(tmp_path: Path) -> None:
    longest = "é" * 125 + "b.jpg"
    assert len(longest.encode()) == NAME_BYTES
    paths = [write(tmp_path / one / longest, one) for one in ("x", "y")]
    _, second = place_files(paths, tmp_path / "out")
    name = Path(second.target or "").name
    assert name.endswith("é (2).jpg")
    assert len(os.fsencode(name)) <= NAME_BYTES


@given(
    st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=255), st.integers(2, 999)
)
@example("." + "x" * 254, 2)
@example("x." + "y" * 253, 2)
def test_a_numbered_name_is_a_name(name: str, number: int) -> None:
    found = number_name(name, number)
    assert f" ({number})" in found
    assert found not in (".", "..", name)
    if len(os.fsencode(name.rpartition(".")[2])) < 200 and len(os.fsencode(name)) <= NAME_BYTES:
        assert len(os.fsencode(found)) <= NAME_BYTES


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond it: like a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_copy_that_does_not_fit_is_removed_and_told(tmp_path: Path) -> None:
    small = write(tmp_path / "in" / "small.bin", "x" * 100)
    large = write(tmp_path / "in" / "large.bin", "x" * 3_000_000)
    with (
        largest_file(1_000_000),
        pytest.raises(ConfigError, match=r"no room for large\.bin.*finished is kept"),
    ):
        place_files([small, large, small], tmp_path / "out")
    assert names(tmp_path / "out") == ["small.bin"]


def test_an_interrupted_copy_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "utime", interrupt)
    path = tmp_path / "a.jpg"
    path.write_text("content")
    with pytest.raises(KeyboardInterrupt):
        place_files([str(path)], tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_hard_links_across_file_systems_are_refused_clearly(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    path = write(tmp_path / "a.jpg")
    out = other / f"mmsearch-{os.getpid()}"
    try:
        with pytest.raises(ConfigError, match=r"another file system.*--copy-to or --symlink-to"):
            place_files([path], out, PlacementMethod.LINK)
        assert names(out) == []
    finally:
        shutil.rmtree(out)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match="name another folder"):
        place_files([path], tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match="name another folder"):
        place_files([path], Path(path) / "below")
