"""Which files are found, and what is to be done with them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmsearch_indexers.discovery import DiscoveredFile, FileSelection, discover_files
from mmsearch_indexers.plan import plan_run

from mmsearch.errors import ConfigError
from mmsearch.media.files import hash_content, is_gone, make_absolute, make_storable
from mmsearch.store.rows import FileRow
from tests.fakes import write_text
from tests.patience import HANG_S


def names(
    root: Path, *roots: Path, outside: Path | None = None, **globs: tuple[str, ...]
) -> list[str]:
    """What is found, relative to the first root."""
    found = discover_files([root, *roots], FileSelection(**globs), outside=outside)
    return [os.path.relpath(file.path, root) for file in found]


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        write_text(root / path, path)
    return root


def test_files_come_once_in_the_order_of_names_with_size_and_time(tmp_path: Path) -> None:
    tree(tmp_path, "b.txt", "a.txt", "c/2.txt", "c/1.txt", "B.txt")

    found = list(discover_files([tmp_path], FileSelection()))

    relative = [os.path.relpath(file.path, tmp_path) for file in found]
    assert relative == ["B.txt", "a.txt", "b.txt", "c/1.txt", "c/2.txt"]
    info = (tmp_path / "a.txt").stat()
    assert found[1] == DiscoveredFile(str(tmp_path / "a.txt"), info.st_size, info.st_mtime_ns)


def test_hidden_and_foreign_folders_are_not_entered(tmp_path: Path) -> None:
    tree(
        tmp_path, "kept.txt", ".hidden.txt", ".git/config", ".cache/deep/x.txt",
        "node_modules/pkg/readme.md", "@eaDir/thumb.jpg", "#recycle/x.txt", "$RECYCLE.BIN/x.txt",
        "__pycache__/x.pyc", "__MACOSX/x.jpg", "lost+found/x", "sub/.git/HEAD",
        "sub/node_modules/a.md", "sub/kept.txt", "Thumbs.db", "desktop.ini",
        "node_modules.txt", "my node_modules/kept.txt",
    )  # fmt: skip

    assert names(tmp_path) == [
        "kept.txt",
        "node_modules.txt",
        "my node_modules/kept.txt",
        "sub/kept.txt",
    ]


def test_a_hidden_folder_that_is_named_is_entered(tmp_path: Path) -> None:
    tree(tmp_path, ".photos/a.txt", ".photos/.more/b.txt")

    assert names(tmp_path / ".photos") == ["a.txt"]
    assert names(tmp_path / ".photos/.more/b.txt") == ["."]


def test_loops_of_links_end_and_each_folder_is_entered_once(tmp_path: Path) -> None:
    tree(tmp_path, "a/one.txt", "b/two.txt")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "d")
    (tmp_path / "d").symlink_to(tmp_path / "c")  # a loop that leads nowhere

    assert sorted(names(tmp_path)) == ["a/one.txt", "b/two.txt"]


def test_links_to_files_are_followed_and_dangling_ones_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, "elsewhere/real.txt", "root/kept.txt")
    (tmp_path / "root/link.txt").symlink_to(tmp_path / "elsewhere/real.txt")
    (tmp_path / "root/dangling.txt").symlink_to(tmp_path / "none")
    (tmp_path / "root/folder").symlink_to(tmp_path / "elsewhere")

    assert names(tmp_path / "root") == ["kept.txt", "link.txt", "folder/real.txt"]


def test_a_root_that_is_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.txt")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert [file.path for file in discover_files([tmp_path / "link"], FileSelection())] == [
        str(tmp_path / "link/a.txt")
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "null.txt").symlink_to("/dev/null")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.txt"))
        found: list[str] = []
        thread = threading.Thread(
            target=lambda: found.extend(names(tmp_path, tmp_path / "pipe.txt")), daemon=True
        )
        thread.start()
        thread.join(HANG_S)

    assert not thread.is_alive()
    assert found == ["a.txt"]


def test_names_of_any_bytes_are_found(tmp_path: Path) -> None:
    listed = ["new\nline", "quo'te", 'quo"te', "日本", "☔", "back\\slash", " ", "*", "-rf"]
    tree(tmp_path, *listed)
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).touch()
        listed.append(os.fsdecode(b"caf\xe9"))
    except OSError:
        pass

    assert sorted(names(tmp_path)) == sorted(listed)


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ({"include": ("*.jpg",)}, {"a.jpg", "sub/b.jpg", "out/c.jpg"}),
        ({"include": ("*.jpg", "*.md")}, {"a.jpg", "sub/b.jpg", "out/c.jpg", "sub/d.md"}),
        ({"exclude": ("*.jpg",)}, {"e.txt", "sub/d.md"}),
        ({"exclude": ("out",)}, {"a.jpg", "e.txt", "sub/b.jpg", "sub/d.md"}),
        ({"include": ("*.jpg",), "exclude": ("sub", "a*")}, {"out/c.jpg"}),
        ({"include": ("*/sub/*",)}, {"sub/b.jpg", "sub/d.md"}),
        ({"exclude": ("*/sub/*.md",)}, {"a.jpg", "e.txt", "sub/b.jpg", "out/c.jpg"}),
        ({"include": ("none",)}, set()),
    ],
)
def test_globs_choose_files_by_name_or_path(
    tmp_path: Path, globs: dict[str, tuple[str, ...]], expected: set[str]
) -> None:
    tree(tmp_path, "a.jpg", "e.txt", "sub/b.jpg", "sub/d.md", "out/c.jpg")

    assert set(names(tmp_path, **globs)) == expected


def test_a_tree_deeper_than_the_recursion_limit_is_walked(tmp_path: Path) -> None:
    depth = 1500
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):  # step by step: the whole path is longer than a path may be
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    write_text(tmp_path / "d/d/d/deep.txt", "deep")

    assert names(tmp_path) == ["d/d/d/deep.txt"]

    # The names are too long for pytest to tidy up.
    subprocess.run(["rm", "-rf", "d"], cwd=tmp_path, check=True)


def test_a_folder_that_cannot_be_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a.txt", "closed/b.txt", "open/c.txt")
    scandir = os.scandir

    def closed(folder: str) -> object:  # root, as whom tests may run, could list it
        if folder.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed)

    assert names(tmp_path) == ["a.txt", "open/c.txt"]


def test_only_what_is_surely_not_there_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a.txt")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")

    assert not is_gone(str(tmp_path / "a.txt"))
    assert not is_gone(str(tmp_path / "dangling"))
    assert is_gone(str(tmp_path / "none"))
    assert is_gone(str(tmp_path / "a.txt" / "below a file"))

    def closed(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", closed)
    assert not is_gone(str(tmp_path / "none"))


def test_a_root_that_is_not_there_is_an_error_before_anything_is_found(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt")
    found = discover_files([tmp_path, tmp_path / "none"], FileSelection())

    with pytest.raises(ConfigError, match="none does not exist"):
        next(found)
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    with pytest.raises(ConfigError):
        list(discover_files([tmp_path / "dangling"], FileSelection()))


def test_the_folder_outside_is_not_entered_by_any_name(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "library/tables/x.txt", "libraries/b.txt")
    (tmp_path / "link").symlink_to(tmp_path / "library")
    outside = tmp_path / "libraries" / ".." / "library"

    assert names(tmp_path, outside=outside) == ["a.txt", "libraries/b.txt"]
    assert names(tmp_path / "link", outside=outside) == []


def test_roots_that_overlap_give_each_file_once(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "sub/b.txt")

    assert names(tmp_path, tmp_path / "sub", tmp_path / "a.txt", tmp_path) == ["a.txt", "sub/b.txt"]
    assert sorted(names(tmp_path / "sub", tmp_path, tmp_path / "sub/b.txt")) == [
        "../a.txt",
        "b.txt",
    ]


# Names and content


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_a_stored_name_is_text_and_keeps_what_is_utf8(raw: bytes) -> None:
    name = os.fsdecode(raw)
    stored = make_storable(name)

    stored.encode()
    try:
        assert stored == raw.decode()
    except UnicodeDecodeError:
        assert stored != name
        assert "\\x" in stored


def test_an_absolute_path_has_no_dots_and_keeps_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert make_absolute(Path("link/../link/./a")) == str(tmp_path / "link/a")
    assert make_absolute(Path("~/b")) == str(tmp_path / "b")


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_content_hash_is_of_the_content_alone(
    tmp_path_factory: pytest.TempPathFactory, one: bytes, other: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "one").write_bytes(one)
    (folder / "other").write_bytes(other)

    same = hash_content(folder / "one") == hash_content(folder / "other")
    assert same == (one == other)
    assert len(hash_content(folder / "one")) == 32


# The plan

roots = st.lists(st.sampled_from(["/a", "/a/b", "/c", "/"]), max_size=2)
some_paths = st.sampled_from(["/a/1", "/a/2", "/a/b/1", "/ab/1", "/c/1", "/c/b/2", "/a"])
found_files = st.dictionaries(some_paths, st.tuples(st.integers(0, 1), st.integers(0, 1))).map(
    lambda made: [DiscoveredFile(path, *state) for path, state in made.items()]
)
known_rows = st.dictionaries(
    some_paths, st.tuples(st.integers(0, 1), st.integers(0, 1), st.booleans())
).map(
    lambda made: [
        FileRow(path, None if failed else "id", size, time, "DecodeError" if failed else None)
        for path, (size, time, failed) in made.items()
    ]
)


@given(found_files, known_rows, roots, st.booleans())
def test_every_file_is_exactly_one_of_job_or_unchanged(
    found: list[DiscoveredFile],
    known: list[FileRow],
    below: list[str],
    retry: bool,
) -> None:
    made = plan_run(found, known, below, retry_failed=retry)

    jobs = [job.found.path for job in made.jobs]
    unchanged = [row.path for row in made.unchanged]
    assert sorted(jobs + unchanged) == sorted(file.path for file in found)
    rows = {row.path: row for row in known}
    for job in made.jobs:
        assert job.known == rows.get(job.found.path)
    states = {file.path: (file.size_bytes, file.mtime_ns) for file in found}
    for row in made.unchanged:
        assert states[row.path] == (row.size_bytes, row.mtime_ns)
        assert row.error is None or not retry


@given(found_files, known_rows, roots)
def test_a_row_is_missing_exactly_when_it_is_below_a_root_and_was_not_found(
    found: list[DiscoveredFile], known: list[FileRow], below: list[str]
) -> None:
    made = plan_run(found, known, below)

    seen = {file.path for file in found}
    inside = {
        row.path
        for row in known
        if any(row.path == root or row.path.startswith(root.rstrip("/") + "/") for root in below)
    }
    assert {row.path for row in made.missing} == inside - seen


def test_an_unchanged_failed_file_is_a_job_only_when_asked_to_retry() -> None:
    found = [DiscoveredFile("/a/1", 3, 4)]
    known = [FileRow("/a/1", None, 3, 4, "DecodeError", "broken")]

    assert plan_run(found, known, ["/a"]).jobs == ()
    assert len(plan_run(found, known, ["/a"], retry_failed=True).jobs) == 1


def test_a_name_that_is_no_utf8_is_known_by_its_stored_form() -> None:
    found = [DiscoveredFile("/a/caf\udce9", 3, 4)]
    known = [FileRow("/a/caf\\xe9", None, 3, 4, "UnsupportedMedia", "its name")]

    made = plan_run(found, known, ["/a"])

    assert made.jobs == made.missing == ()
    assert made.unchanged == tuple(known)
