"""Near-duplicates in a library: what is stored, what is grouped, and libraries of before."""

from __future__ import annotations

import shutil
from pathlib import Path

import lance
import numpy as np
import pytest
from mmsearch_indexers.local import IndexOptions
from PIL import Image

from benchmarks.duplicates import ASKED
from mmsearch.duplicates.grouping import group_ranking
from mmsearch.library import doctor
from mmsearch.library.library import Library
from mmsearch.media.pictures.thumbprint import THUMBPRINT_BYTES
from mmsearch.models import presets
from mmsearch.snapshot.snapshot import Snapshot, open_snapshot
from mmsearch.store import manifest as manifests
from mmsearch.store.location import Location
from mmsearch.store.reader import Reader
from mmsearch.store.schema import (
    ADDED_COLUMNS,
    ASSETS,
    ASSETS_SCHEMA,
    FORMAT_VERSION,
    THUMBPRINT,
)
from mmsearch.types import Hit
from tests.fakes import FakeEncoders, fake_library, write_picture, write_text
from tests.unit.test_thumbprint import scenery


def save(path: Path, picture: Image.Image | np.ndarray, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **how)
    return path


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    for number in range(4):
        picture = Image.fromarray(scenery(number, 400, 300))
        save(folder / f"{number}.png", picture)
        save(folder / f"{number} jpeg.jpg", picture.resize((300, 225)), quality=40)
        save(folder / f"{number} crop.jpg", picture.crop((20, 15, 380, 285)), quality=90)
    write_picture(folder / "flat.png", "red")
    write_picture(folder / "flat too.png", "red", shade=201)
    write_text(folder / "text.txt", "words about nothing")
    return folder


def snapshot_of(library: Library) -> Snapshot:
    return open_snapshot(Reader.open(library.path))


def named_groups(snapshot: Snapshot, *, limit: int | None = None) -> dict[str, list[str]]:
    """All assets in the order of their names, as groups of names."""
    everything = list(range(len(snapshot.modalities)))
    names = [Path(places[0]).name for places in snapshot.paths(everything)]
    ranked = sorted(everything, key=lambda row: names[row])
    groups = group_ranking(snapshot, ranked, limit=limit)
    return {names[leader]: [names[one] for one in members] for leader, members in groups}


EXPECTED = {
    **{f"{number} crop.jpg": [f"{number} jpeg.jpg", f"{number}.png"] for number in range(4)},
    "flat too.png": [],
    "flat.png": [],
    "text.txt": [],
}


def test_near_duplicates_in_a_library_are_grouped(tmp_path: Path, media: Path) -> None:
    library = fake_library(tmp_path / "library")
    library.index(media)

    snapshot = snapshot_of(library)

    assert named_groups(snapshot) == EXPECTED
    assert named_groups(snapshot, limit=2) == dict(list(EXPECTED.items())[:2])
    again = snapshot_of(library)  # from the arrays that were written
    assert named_groups(again) == EXPECTED


def test_only_a_file_with_a_single_picture_has_a_look(tmp_path: Path) -> None:
    media = tmp_path / "media"
    first, second = (Image.fromarray(scenery(number)) for number in range(2))
    save(media / "a still.bmp", first)
    save(media / "an animation.gif", first, save_all=True, append_images=[second])
    save(media / "one page.tiff", first)
    save(media / "two pages.tiff", first, save_all=True, append_images=[second])
    library = fake_library(tmp_path / "library")
    library.index(media)

    groups = named_groups(snapshot_of(library))

    assert groups == {
        "a still.bmp": ["one page.tiff"],
        "an animation.gif": [],
        "two pages.tiff": [],
    }


def test_groups_are_right_after_files_came_and_went(tmp_path: Path, media: Path) -> None:
    library = fake_library(tmp_path / "library")
    library.index(media)
    before = snapshot_of(library)
    assert named_groups(before) == EXPECTED
    (media / "0 crop.jpg").unlink()
    (media / "2.png").unlink()
    (media / "text.txt").unlink()
    save(media / "9.png", scenery(9))
    save(media / "9 mirror.png", np.ascontiguousarray(scenery(9)[:, ::-1]))
    library.index(media, wishes=IndexOptions(prune=True))

    groups = named_groups(snapshot_of(library))

    assert groups == {
        "0 jpeg.jpg": ["0.png"],
        "1 crop.jpg": EXPECTED["1 crop.jpg"],
        "2 crop.jpg": ["2 jpeg.jpg"],
        "3 crop.jpg": EXPECTED["3 crop.jpg"],
        "9 mirror.png": ["9.png"],
        "flat too.png": [],
        "flat.png": [],
    }


@pytest.mark.slow
def test_groups_are_right_after_parts_of_the_tables_were_merged(tmp_path: Path) -> None:
    library = fake_library(tmp_path / "library")
    media = tmp_path / "media"
    for number in range(12):
        original = Image.fromarray(scenery(number % 6, 400, 300))
        save(media / f"{number:02d}.png", original.resize((400 - number, 300)))
        library.index(media)
        snapshot_of(library)

    snapshot = snapshot_of(library)

    assert len(snapshot.reader.list_fragments(ASSETS)) < 12
    assert named_groups(snapshot) == {f"{at:02d}.png": [f"{at + 6:02d}.png"] for at in range(6)}


def made_old(library: Path) -> None:
    """Take a library back to the first format: none of the columns that came later."""
    for table, _, columns in ADDED_COLUMNS:
        place = str(library / "tables" / f"{table}.lance")
        rows = lance.dataset(place).to_table().drop_columns(list(columns))
        shutil.rmtree(place)
        lance.write_dataset(rows, place)
    toml = library / "library.toml"
    ours = f"format_version = {FORMAT_VERSION}"
    assert ours in toml.read_text()
    toml.write_text(toml.read_text().replace(ours, "format_version = 1"))
    shutil.rmtree(library / "index", ignore_errors=True)


def looks_of(library: Path) -> dict[str, bytes | None]:
    """By the name of the first file of each asset."""
    snapshot = open_snapshot(Reader.open(library))
    everything = list(range(len(snapshot.modalities)))
    names = [Path(places[0]).name for places in snapshot.paths(everything)]
    return dict(zip(names, snapshot.reader.read_thumbprints(everything), strict=True))


def shown(hits: list[Hit]) -> set[str]:
    """What is a hit or stands under one."""
    return {path for hit in hits for path in (hit.path, *hit.duplicates)}


def test_a_library_of_the_first_format_is_searched_as_it_is(tmp_path: Path, media: Path) -> None:
    library = fake_library(tmp_path / "library")
    library.index(media)
    before = shown(library.search("words about nothing", limit=99, min_score=0.0))
    library.close()
    made_old(tmp_path / "library")

    old = fake_library(tmp_path / "library")

    hits = old.search("words about nothing", limit=99, min_score=0.0)
    assert Path(hits[0].path).name == "text.txt"
    assert shown(hits) == before
    assert all(members == [] for members in named_groups(snapshot_of(old)).values())
    assert manifests.read(old.path).format_version == 1
    assert THUMBPRINT not in Reader.open(old.path).open_dataset(ASSETS).schema.names


def test_indexing_adds_the_column_and_new_looks_only(tmp_path: Path, media: Path) -> None:
    library = fake_library(tmp_path / "library")
    library.index(media)
    library.close()
    made_old(tmp_path / "library")
    encoders = FakeEncoders()
    old = fake_library(tmp_path / "library", encoders)
    new = Image.fromarray(scenery(20, 400, 300))
    save(media / "new.png", new)
    save(media / "new jpeg.jpg", new, quality=60)

    old.index(media)

    assert encoders.asked["image"] == 2  # nothing old again
    assert manifests.read(old.path).format_version == FORMAT_VERSION
    looks = looks_of(old.path)
    known = {name for name, look in looks.items() if look is not None}
    assert known == {"new.png", "new jpeg.jpg"}
    assert all(len(look) == THUMBPRINT_BYTES for look in looks.values() if look is not None)
    groups = named_groups(snapshot_of(old))
    assert groups["new jpeg.jpg"] == ["new.png"]
    assert groups["0 crop.jpg"] == []
    assert {Path(path).name for path in shown(old.search("words", limit=99, min_score=0.0))} == {
        path.name for path in media.iterdir()
    }


def test_a_writer_that_was_killed_while_it_added_the_column_is_made_good(
    tmp_path: Path, media: Path
) -> None:
    library = fake_library(tmp_path / "library")
    library.index(media)
    library.close()
    made_old(tmp_path / "library")
    table = lance.dataset(str(tmp_path / "library" / "tables" / f"{ASSETS}.lance"))
    table.add_columns(ASSETS_SCHEMA.field(THUMBPRINT))  # and no more: library.toml says 1 still
    old = fake_library(tmp_path / "library")
    assert all(members == [] for members in named_groups(snapshot_of(old)).values())
    save(media / "new.png", scenery(20))

    old.index(media)

    assert manifests.read(old.path).format_version == FORMAT_VERSION
    assert looks_of(old.path)["new.png"] is not None


def test_what_else_library_toml_says_stays_when_the_column_is_added(tmp_path: Path) -> None:
    Library.open(tmp_path / "library").close()
    before = manifests.read(tmp_path / "library")
    made_old(tmp_path / "library")
    with Library.open(tmp_path / "library") as library:
        library.index(write_text(tmp_path / "one.txt", "a few words"))

    after = manifests.read(tmp_path / "library")
    assert after == before
    assert after.models == {presets.OCR: presets.NO_OCR, **before.models}  # as it was, now said


@pytest.mark.parametrize("bring_up", [False, True])
def test_doctor_is_content_with_a_library_of_the_first_format(
    tmp_path: Path, *, bring_up: bool
) -> None:
    media = tmp_path / "media"
    save(media / "one.png", scenery(1))
    save(media / "one.jpg", Image.fromarray(scenery(1)), quality=50)
    with Library.open(tmp_path / "library") as library:
        library.index(media)
    made_old(tmp_path / "library")
    if bring_up:
        save(media / "two.png", scenery(2))
        with Library.open(tmp_path / "library") as library:
            library.index(media)

    findings = doctor.examine_library(Location.parse(tmp_path / "library"))

    assert [one for one in findings if not one.is_well] == []
    repaired = doctor.examine_library(Location.parse(tmp_path / "library"), repair=True)
    assert [one for one in repaired if not one.is_well] == []
    assert manifests.read(tmp_path / "library").format_version == FORMAT_VERSION


@pytest.mark.slow
def test_real_photographs_are_grouped_with_what_was_made_of_them(
    tmp_path: Path, data: Path
) -> None:
    media = tmp_path / "media"
    for path in sorted((data / "captions" / "images").glob("*.jpg"))[:8]:
        with Image.open(path) as picture:
            whole = picture.convert("RGB")
        save(media / f"{path.stem}.png", whole)
        for number, change in enumerate(ASKED.values()):
            save(media / f"{path.stem} {number}.jpg", change(whole), quality=85)
    with Library.open(tmp_path / "library") as library:
        library.index(media)
        snapshot = library.snapshot()

    groups = named_groups(snapshot)

    assert {Path(leader).stem[:12] for leader in groups} == {
        path.stem[:12] for path in media.iterdir()
    }
    assert sum(map(len, groups.values())) >= 0.95 * 8 * len(ASKED)
    for leader, members in groups.items():
        assert {name[:12] for name in members} <= {leader[:12]}
