"""Assets, segments and files by id, and what is never opened."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import mmsearch
from mmsearch.errors import MediaGone, QueryError
from mmsearch.library.library import Library
from mmsearch.media.files import hash_content
from tests.fakes import fake_library, write_picture

UNKNOWN = "0f" * 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_picture(folder / "red.png", "red")
    write_picture(folder / "blue.png", "blue")
    (folder / "note.txt").write_text("a word about boats")
    return folder


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Library:
    opened = fake_library(tmp_path / "library")
    opened.index(folder)
    return opened


def test_an_asset_is_found_by_its_id_with_all_its_paths(library: Library, folder: Path) -> None:
    shutil.copy(folder / "red.png", folder / "again.png")
    library.index(folder)

    found = library.asset(hash_content(folder / "red.png"))

    assert found is not None
    assert found.paths == (str(folder / "again.png"), str(folder / "red.png"))
    assert library.asset(UNKNOWN) is None
    assert library.segments(UNKNOWN) == []


def test_segments_are_found_by_their_ids_and_in_order(library: Library, folder: Path) -> None:
    (only,) = library.segments(hash_content(folder / "note.txt"))

    assert only.text == "a word about boats"
    assert library.segment(only.id) == only
    assert library.segment(UNKNOWN) is None


def test_a_file_is_opened_as_it_was_indexed(library: Library, folder: Path) -> None:
    path = folder / "red.png"

    with library.open_file(hash_content(path)).stream as stream:
        assert stream.read() == path.read_bytes()


def test_a_touched_file_is_known_by_its_content(library: Library, folder: Path) -> None:
    path = folder / "red.png"
    os.utime(path, ns=(0, 0))

    with library.open_file(hash_content(path)).stream as stream:
        assert stream.read() == path.read_bytes()


def test_another_copy_is_opened_where_one_is_gone(library: Library, folder: Path) -> None:
    shutil.copy(folder / "red.png", folder / "z.png")
    library.index(folder)
    asset_id = hash_content(folder / "red.png")
    (folder / "red.png").unlink()

    with library.open_file(asset_id).stream as stream:
        assert stream.read() == (folder / "z.png").read_bytes()


@pytest.mark.parametrize("way", ["link", "other", "pipe", "folder", "gone"])
def test_what_was_put_in_the_place_of_a_file_is_never_read(
    library: Library, folder: Path, tmp_path: Path, way: str
) -> None:
    path = folder / "red.png"
    asset_id = hash_content(path)
    size, info = path.stat().st_size, path.stat()
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * size)
    path.unlink()
    if way == "link":
        path.symlink_to(secret)
    elif way == "other":
        path.write_bytes(b"y" * size)
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()
    if way in ("link", "other"):
        assert path.stat().st_size == info.st_size

    with pytest.raises(MediaGone, match=r"gone|changed|directory"):
        library.open_file(asset_id)


def test_an_unknown_asset_has_no_file(library: Library) -> None:
    with pytest.raises(MediaGone, match="no such asset"):
        library.open_file(UNKNOWN)


def test_a_search_by_something_of_the_library_needs_no_file(library: Library, folder: Path) -> None:
    asset_id = hash_content(folder / "red.png")
    (folder / "red.png").unlink()

    with_it = library.search(mmsearch.asset(asset_id), min_score=0)
    without = library.search(mmsearch.asset(asset_id), min_score=0, without=[asset_id])

    assert with_it[0].asset.id == asset_id
    assert asset_id not in {hit.asset.id for hit in without}
    with pytest.raises(QueryError, match="no asset"):
        library.search(mmsearch.asset(UNKNOWN))
