"""Files that are read in part, refused files, and files beside a picture or a film."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mmsearch_indexers.events import Failed, Indexed, Skipped, Updated
from mmsearch_indexers.local import IndexOptions
from PIL import Image
from typer.testing import CliRunner

from mmsearch.cli.app import app
from mmsearch.library.library import Library
from mmsearch.media.base import Limits, LoadOptions
from mmsearch.store.reader import Reader
from mmsearch.types import Modality, OmissionCause
from tests.fakes import fake_library, write_film, write_picture, write_text
from tests.integration.test_ingest import _doctor_knows_fakes, library_ills  # noqa: F401


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return fake_library(tmp_path / "library")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


def index(library: Library, *paths: Path, **limits: int) -> dict[str, object]:
    """Index, and return the event of each file by its name."""
    events: list[object] = []
    options = LoadOptions(limits=replace(Limits(), **limits))
    library.index(*paths, on_event=events.append, wishes=IndexOptions(options=options, workers=2))
    return {Path(path).name: event for event in events if (path := getattr(event, "path", None))}


def write_fax(path: Path, pages: int) -> Path:
    """Write a TIFF of pages that differ."""
    pictures = [Image.new("RGB", (40, 30), (at * 9 % 256, 90, 120)) for at in range(pages)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    return path


def segment_count(library: Library, path: Path) -> int:
    (row,) = [row for row in Reader.open(library.path).read_files() if row.path == str(path)]
    assert row.asset_id is not None
    return len(library.segments(row.asset_id))


def test_a_limit_that_was_passed_is_said_and_a_higher_one_reads_that_file_again(
    library: Library, media: Path
) -> None:
    fax = write_fax(media / "fax.tif", 7)
    write_picture(media / "one.png")

    first = index(library, media, picture_pages=4)
    again = index(library, media, picture_pages=4)
    raised = index(library, media, picture_pages=20)

    event = first["fax.tif"]
    assert isinstance(event, Indexed)
    assert event.partial
    assert isinstance(again["fax.tif"], Skipped)
    assert isinstance(raised["fax.tif"], Updated)
    assert isinstance(raised["one.png"], Skipped)
    assert segment_count(library, fax) == 7
    assert library.partial() == []
    assert library_ills(library.path) == []


def test_files_read_in_part_are_listed_with_the_cause(library: Library, media: Path) -> None:
    fax = write_fax(media / "fax.tif", 7)
    write_picture(media / "one.png")

    index(library, media, picture_pages=4)

    (file,) = library.partial()
    (omission,) = file.omissions
    assert file.path == str(fax)
    assert (omission.cause, omission.name, omission.value) == (
        OmissionCause.LIMIT,
        "picture_pages",
        4,
    )
    assert library.status().partial == 1
    assert segment_count(library, fax) == 4
    (hit,) = library.search("fax", limit=1)
    assert hit.asset.omissions == (omission,)


def test_the_command_line_says_it_and_strict_fails(tmp_path: Path, media: Path) -> None:
    write_fax(media / "fax.tif", 6)
    common = ["--library", str(tmp_path / "small")]
    run = CliRunner()

    indexed = run.invoke(
        app, ["index", str(media), *common, "--limit", "picture_pages=5", "--strict"]
    )
    listed = run.invoke(app, ["status", "--partial", *common])
    as_json = run.invoke(app, ["status", "--partial", "--json", *common])
    raised = run.invoke(app, ["index", str(media), *common, "--strict"])
    wrong = run.invoke(app, ["index", str(media), *common, "--limit", "page=5"])

    assert indexed.exit_code == 3
    assert "1 read in part" in indexed.stderr
    assert "fax.tif" in listed.stdout
    (file,) = json.loads(as_json.stdout)["partial"]
    assert file["omissions"][0]["cause"] == "limit"
    assert raised.exit_code == 0
    assert wrong.exit_code == 1
    assert "picture_pages" in str(wrong.exception)


def test_a_file_that_was_too_large_is_read_when_the_limit_is_raised(
    library: Library, media: Path
) -> None:
    write_picture(media / "one.png")

    refused = index(library, media, pixels=100)
    raised = index(library, media, pixels=1000)

    assert isinstance(refused["one.png"], Failed)
    assert isinstance(raised["one.png"], Indexed)
    assert library.failed() == []
    assert library_ills(library.path) == []


def test_a_refused_file_is_found_by_its_name_and_counts_as_failed_alone(
    library: Library, media: Path
) -> None:
    (media / "holiday backup.bin").write_bytes(bytes(range(256)) * 8)
    write_picture(media / "one.png")

    index(library, media)

    (hit,) = library.search("holiday backup", limit=1)
    assert Path(hit.path).name == "holiday backup.bin"
    assert hit.kind is Modality.OTHER
    assert hit.asset.omissions[0].cause is OmissionCause.UNSUPPORTED
    status = library.status()
    assert (status.failed, status.files, status.partial) == (1, 1, 0)
    assert status.assets["image"] == 1
    assert "other" not in status.assets


def test_a_refused_file_that_is_mended_leaves_nothing_of_its_former_self(
    library: Library, media: Path
) -> None:
    path = media / "one.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    index(library, media)

    write_picture(path)
    events = index(library, media)

    assert isinstance(events["one.png"], Indexed)
    assert Reader.open(library.path).count_rows("assets") == 1
    assert library_ills(library.path) == []


def subtitle(path: Path, text: str) -> Path:
    return write_text(path, f"1\n00:00:00,000 --> 00:00:03,000\n{text}\n")


def texts(library: Library, path: Path) -> list[str]:
    (row,) = [row for row in Reader.open(library.path).read_files() if row.path == str(path)]
    assert row.asset_id is not None
    return [segment.text for segment in library.segments(row.asset_id) if segment.text]


def test_subtitles_that_come_change_and_go_reread_their_film(library: Library, media: Path) -> None:
    film = write_film(media / "trip.mp4", ["red", "blue"])
    index(library, media)
    assert texts(library, film) == []

    beside = subtitle(media / "trip.en.srt", "Marmalade sandwiches for all of us.")
    came = index(library, media)
    assert texts(library, film) == ["Marmalade sandwiches for all of us."]

    subtitle(beside, "No sandwiches are left for us today.")
    os.utime(beside, ns=(1, 1))
    changed = index(library, media)
    assert texts(library, film) == ["No sandwiches are left for us today."]

    beside.unlink()
    gone = index(library, media)
    assert texts(library, film) == []

    for events in (came, changed, gone):
        assert isinstance(events["trip.mp4"], Updated)
    assert isinstance(index(library, media)["trip.mp4"], Skipped)
    assert library_ills(library.path) == []


def test_copies_of_a_film_do_not_share_what_lies_beside_one(library: Library, media: Path) -> None:
    film = write_film(media / "trip.mp4", ["red", "blue"])
    other = media / "other" / "trip.mp4"
    other.parent.mkdir()
    shutil.copy(film, other)
    subtitle(media / "trip.srt", "Marmalade sandwiches for all of us.")

    index(library, media)

    assert texts(library, film) == ["Marmalade sandwiches for all of us."]
    assert texts(library, other) == []


def test_a_description_beside_a_picture_is_no_document(library: Library, media: Path) -> None:
    picture = media / "IMG_0007.jpg"
    Image.new("RGB", (64, 48), "red").save(picture)
    write_text(
        media / "IMG_0007.jpg.supplemental-metadata.json",
        json.dumps(
            {
                "title": "IMG_0007.jpg",
                "description": "Gooseberries of the garden",
                "photoTakenTime": {"timestamp": "1420898767"},
                "geoData": {"latitude": 0.0, "longitude": 0.0},
            }
        ),
    )
    write_text(media / "notes.jpg.json", '{"shopping": "flour and eggs"}')

    index(library, media)

    names = {Path(row.path).name for row in Reader.open(library.path).read_files()}
    assert names == {"IMG_0007.jpg", "notes.jpg.json"}
    (hit,) = library.search("gooseberries", limit=1)
    assert hit.path == str(picture)
    os.utime(picture, ns=(1, 1))  # its time alone is another: the content decides
    with library.open_file(hit.asset.id).stream as stream:
        assert stream.read() == picture.read_bytes()
