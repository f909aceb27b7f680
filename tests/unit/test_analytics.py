"""What a library is made of, counted and drawn, against the same done slowly."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch import analytics
from mmsearch.analytics import asset_rows, duplicate_groups, projection, tags
from mmsearch.analytics.projection import ProjectionMethod
from mmsearch.errors import MissingExtra, QueryError
from mmsearch.library.library import Library
from mmsearch.media.pictures.thumbprint import MIRROR
from mmsearch.snapshot.snapshot import Snapshot
from mmsearch.types import Modality
from tests.fakes import COLOURS, fake_library, write_film, write_picture, write_sound, write_text

JULY = 1_720_000_000  # 2024-07-03
MAY_2019 = 1_557_000_000


def photograph(path: Path, seed: int, *, side: int = 128, cut: int = 0) -> Path:
    """Clouds of their own for each seed, which a picture of one colour has not."""
    values = np.random.default_rng(seed).standard_normal((128, 128, 3))
    steps = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])[..., None]
    steps[0, 0] = 1 / 128
    clouds = np.fft.ifft2(np.fft.fft2(values, axes=(0, 1)) / steps**1.4, axes=(0, 1)).real
    pixels = 255 * (clouds - clouds.min()) / np.ptp(clouds)
    picture = Image.fromarray(pixels.astype(np.uint8)[cut : 128 - cut, cut : 128 - cut])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((side, side)).save(path)
    return path


def placed(path: Path, latitude: float, longitude: float, seed: int) -> Path:
    """A photograph that says where it was taken, with a camera."""
    photograph(path, seed)
    exif = Image.Exif()
    exif[0x0110] = "PinholeCam 3"
    exif[0x0132] = exif.get_ifd(0x8769)[0x9003] = "2021:03:04 05:06:07"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N" if latitude >= 0 else "S", (abs(latitude), 0.0, 0.0)
    gps[3], gps[4] = "E" if longitude >= 0 else "W", (abs(longitude), 0.0, 0.0)
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, exif=exif)
    return path


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    for number, colour in enumerate(COLOURS):
        write_picture(root / f"plain/{colour}.png", colour, shade=180 + number)
    photograph(root / "clouds/large.png", 1)
    photograph(root / "clouds/small.png", 1, side=96)
    photograph(root / "clouds/cut.png", 1, cut=4)
    photograph(root / "clouds/other.png", 2)
    placed(root / "trip/here.jpg", 47.5, 8.5, 3)
    placed(root / "trip/there.jpg", -33.5, 151.0, 4)
    placed(root / "trip/nowhere.jpg", 0.0, 0.0, 5)
    write_sound(root / "deep/down/below/tone.wav", seconds=3)
    write_sound(root / "deep/down/below/long.wav", seconds=12, hertz=220)
    write_film(root / "deep/film.mp4", ("red", "green"), seconds_each=6)
    write_text(root / "notes.txt", "a walk along the harbour")
    write_text(root / "copy of notes.txt", "a walk along the harbour")
    (root / "plain/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    for file in root.rglob("*"):
        if file.is_file():
            when = MAY_2019 if "plain" in file.parts else JULY
            os.utime(file, (when, when))
    return root


@pytest.fixture(scope="module")
def library(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    library = fake_library(tmp_path_factory.mktemp("library"))
    report = library.index(media)
    assert (report.indexed, report.failed) == (15, 1)
    return library


@pytest.fixture(scope="module")
def snapshot(library: Library) -> Snapshot:
    return library.snapshot()


def ids_by_name(snapshot: Snapshot) -> dict[str, str]:
    rows = asset_rows.list_rows(snapshot)
    ids = asset_rows.read_column(snapshot, "asset_id", rows).to_pylist()
    return {
        Path(path).name: one
        for one, paths in zip(ids, snapshot.paths(rows.tolist()), strict=True)
        for path in paths
    }


def test_counts_are_of_contents_not_of_files(snapshot: Snapshot) -> None:
    found = analytics.count_assets(snapshot)

    assert (found.assets, found.files) == (14, 15)
    assert {one.name: one.assets for one in found.kinds} == {
        "image": 10,
        "audio": 2,
        "video": 1,
        "text": 1,
    }
    assert found.size_bytes[Modality.TEXT] == len("a walk along the harbour")
    assert found.duration_s[Modality.AUDIO] == pytest.approx(15)


def test_months_are_when_it_was_taken_else_when_it_was_changed(snapshot: Snapshot) -> None:
    found = {(one.month, one.kind): one.assets for one in analytics.count_assets(snapshot).months}

    assert found == {
        ("2019-05", Modality.IMAGE): 3,
        ("2021-03", Modality.IMAGE): 3,
        ("2024-07", Modality.IMAGE): 4,
        ("2024-07", Modality.AUDIO): 2,
        ("2024-07", Modality.VIDEO): 1,
        ("2024-07", Modality.TEXT): 1,
    }
    assert analytics.count_assets(snapshot).undated == 0


def test_cameras_are_named_as_they_are_written(snapshot: Snapshot) -> None:
    cameras = analytics.count_assets(snapshot).cameras

    assert [(one.name, one.assets) for one in cameras.named] == [("PinholeCam 3", 3)]
    assert (cameras.distinct, cameras.unknown) == (1, 11)


def test_lengths_cover_every_recording_once(snapshot: Snapshot) -> None:
    lengths = analytics.count_assets(snapshot).lengths
    there = {(one.kind, one.start_s): one.assets for one in lengths if one.assets}

    assert there == {
        (Modality.AUDIO, 0.0): 1,
        (Modality.AUDIO, 10.0): 1,
        (Modality.VIDEO, 10.0): 1,
    }
    assert lengths[-1].end_s is None


def test_a_tag_counts_an_asset_once(snapshot: Snapshot) -> None:
    expected: Counter[str] = Counter()
    rows = snapshot.reader.read_columns("segments", "asset_id", "tags").to_pylist()
    for asset_id in {row["asset_id"] for row in rows}:
        mine = [tag for row in rows if row["asset_id"] == asset_id for tag in row["tags"] or ()]
        expected.update({tag["name"] for tag in mine if tag["probability"] >= tags.MIN_PROBABILITY})

    found = analytics.count_top_tags(snapshot)

    assert {one.name: one.assets for one in found.named} == dict(expected)
    assert found.unknown == 3  # two sounds and a text
    assert [one.assets for one in found.named] == sorted(expected.values(), reverse=True)


def test_folders_add_up_and_stand_for_those_that_hold_only_them(
    snapshot: Snapshot, media: Path
) -> None:
    (root,) = analytics.list_folders(snapshot)
    below = analytics.list_folders(snapshot, root.path)
    by_path = {Path(one.path): one for one in below}

    assert (root.path, root.files, root.failed) == (str(media), 16, 1)
    assert set(by_path) == {media / name for name in ("clouds", "deep", "plain", "trip")}
    assert (by_path[media / "plain"].files, by_path[media / "plain"].failed) == (4, 1)
    assert sum(one.files for one in below) + 2 == root.files
    assert root.size_bytes == sum(one.stat().st_size for one in media.rglob("*") if one.is_file())
    (deep,) = analytics.list_folders(snapshot, str(media / "deep"))
    assert deep.path == str(media / "deep/down/below")
    assert not deep.has_folders


def test_copies_are_told_with_all_their_paths(snapshot: Snapshot, media: Path) -> None:
    (found,) = analytics.find_copies(snapshot)

    assert found.paths == (str(media / "copy of notes.txt"), str(media / "notes.txt"))
    assert found.spare_bytes == len("a walk along the harbour")


def test_the_parts_on_disk_are_all_that_lies_there(library: Library) -> None:
    parts = analytics.measure_disk_usage(library.location)

    assert sum(one.size_bytes for one in parts) == library.location.measure_bytes()
    by_name = {one.name: one for one in parts}
    assert {"table files", "table vectors_image", "arrays and indexes"} <= set(by_name)
    assert [one.name for one in parts if one.is_cache] == ["arrays and indexes"]
    assert [one.size_bytes for one in parts] == sorted(
        (one.size_bytes for one in parts), reverse=True
    )


def test_near_duplicates_are_grouped_under_the_largest(snapshot: Snapshot) -> None:
    known = ids_by_name(snapshot)

    found = analytics.find_duplicates(snapshot)

    (group,) = found.groups
    assert group[0] == known["large.png"]
    assert set(group) == {known[name] for name in ("large.png", "small.png", "cut.png")}
    assert found.has_crops
    assert found.is_whole


def test_many_pictures_are_compared_by_their_hashes(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicate_groups, "CROPS", 2)
    known = ids_by_name(library.snapshot())

    found = duplicate_groups._find_duplicates(library.snapshot())

    assert not found.has_crops
    assert {known["large.png"], known["small.png"]} <= set(found.groups[0])


def test_places_leave_out_a_camera_that_knew_none(snapshot: Snapshot) -> None:
    found = analytics.list_places(snapshot)

    assert found.assets == 2
    assert {(one.title, one.latitude, one.longitude) for one in found.pins} == {
        ("here.jpg", 47.5, 8.5),
        ("there.jpg", -33.5, 151.0),
    }


def test_a_chart_has_every_asset_of_its_space_once_and_is_the_same_again(
    snapshot: Snapshot,
) -> None:
    found = analytics.project_space(snapshot, "image")
    again = projection._project(snapshot, "image", ProjectionMethod.PCA, projection.AT_MOST)

    assert again == found
    assert found.assets == len({one.asset_id for one in found.points}) == 11
    assert {one.kind for one in found.points} == {Modality.IMAGE, Modality.VIDEO}
    assert all(-1 <= value <= 1 for one in found.points for value in (one.x, one.y))
    assert found.explained is not None
    assert 0 < found.explained <= 1


def test_a_chart_of_a_few_is_a_sample_that_stays(snapshot: Snapshot) -> None:
    few = analytics.project_space(snapshot, "image", at_most=4)
    more = analytics.project_space(snapshot, "image", at_most=7)

    assert few.assets == 11
    assert len(few.points) == 4
    assert {one.asset_id for one in few.points} < {one.asset_id for one in more.points}


def test_the_place_of_an_asset_is_the_mean_of_its_vectors(snapshot: Snapshot) -> None:
    owners = snapshot.owners("image")
    assets = np.unique(owners)

    found = projection._mean_vectors(snapshot, "image", owners, assets)

    for row, asset in zip(found, assets, strict=True):
        mean = snapshot.spaces["image"].matrix.take(np.flatnonzero(owners == asset)).mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=2e-3)


def test_of_many_vectors_some_are_taken_from_all_over(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "VECTORS_EACH", 2)
    owners = np.zeros(len(snapshot.owners("image")), dtype=np.int64)

    (found,) = projection._mean_vectors(snapshot, "image", owners, np.array([0]))

    rows = np.array([0, -(-len(owners) // 2)])
    mean = snapshot.spaces["image"].matrix.take(rows).mean(axis=0)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=2e-3)


def test_what_cannot_be_drawn_is_told(snapshot: Snapshot) -> None:
    with pytest.raises(QueryError, match="'smell' has no vectors"):
        analytics.project_space(snapshot, "smell")
    with pytest.raises(QueryError, match="at least one point"):
        analytics.project_space(snapshot, "image", at_most=0)


def test_umap_is_asked_with_a_seed_and_named_where_it_is_missing(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    class Fake:
        def __init__(self, **options: Any) -> None:
            asked.update(options)

        def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
            return vectors[:, :2]

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"mmsearch\[umap\]"):
        analytics.project_space(snapshot, "image", method=ProjectionMethod.UMAP)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Fake))
    found = analytics.project_space(snapshot, "image", method=ProjectionMethod.UMAP)

    assert (asked["random_state"], asked["n_jobs"], asked["n_neighbors"]) == (
        projection.SEED,
        1,
        10,
    )
    assert asked["init"].shape == (11, 2)
    assert found.explained is None


def test_an_empty_library_is_made_of_nothing(tmp_path: Path) -> None:
    snapshot = fake_library(tmp_path / "empty").snapshot()

    assert analytics.count_assets(snapshot).assets == 0
    assert analytics.count_assets(snapshot).months == ()
    assert analytics.count_top_tags(snapshot) == analytics.TopValues()
    assert analytics.list_folders(snapshot) == []
    assert analytics.find_copies(snapshot) == []
    assert analytics.find_duplicates(snapshot).groups == ()
    assert analytics.list_places(snapshot).pins == ()
    assert analytics.list_spaces(snapshot) == []


def test_what_was_removed_is_not_counted_any_more(tmp_path: Path) -> None:
    for number in range(6):
        photograph(tmp_path / f"media/{number}.png", number)
    library = fake_library(tmp_path / "library")
    library.index(tmp_path / "media")
    before = analytics.project_space(library.snapshot(), "image")

    library.remove(tmp_path / "media/0.png", tmp_path / "media/3.png")

    after = analytics.project_space(library.snapshot(), "image")
    assert (before.assets, after.assets) == (6, 4)
    assert {one.title for one in after.points} == {f"{number}.png" for number in (1, 2, 4, 5)}
    assert analytics.count_assets(library.snapshot()).assets == 4


def test_what_is_counted_is_kept_with_the_snapshot(snapshot: Snapshot) -> None:
    assert analytics.count_assets(snapshot) is analytics.count_assets(snapshot)
    assert analytics.find_duplicates(snapshot) is analytics.find_duplicates(snapshot)


# Few centres, so that many of the codes are a few bits apart, at whichever bits.
codes = st.lists(
    st.builds(
        lambda centre, bits, is_turned: (
            (centre * 0x0123456789ABCDEF & (1 << 64) - 1)
            ^ sum({1 << bit for bit in bits})
            ^ (int(MIRROR) if is_turned else 0)
        ),
        st.integers(0, 2),
        st.sets(st.integers(0, 63), max_size=4),
        st.booleans(),
    ),
    max_size=12,
)


@given(codes)
def test_pairs_by_bands_are_all_pairs_that_differ_in_few_bits(values: list[int]) -> None:
    mirror = int(MIRROR)
    expected = {
        (one, other)
        for other in range(len(values))
        for one in range(other)
        if min(
            (values[one] ^ values[other]).bit_count(),
            (values[one] ^ values[other] ^ mirror).bit_count(),
        )
        <= duplicate_groups.MAX_BITS
    }

    ones, others, is_whole = duplicate_groups._take_first(
        duplicate_groups._find_similar_hashes(np.array(values, dtype=np.uint64))
    )

    assert set(zip(ones.tolist(), others.tolist(), strict=True)) == expected
    assert is_whole


def test_a_flood_of_pairs_is_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    same = np.zeros(200, dtype=np.uint64)
    monkeypatch.setattr(duplicate_groups, "MAX_PAIRS", 50)

    ones, _, is_whole = duplicate_groups._take_first(duplicate_groups._find_similar_hashes(same))

    assert len(ones) == 50
    assert not is_whole

    monkeypatch.setattr(duplicate_groups, "MAX_PAIRS", 100_000)
    monkeypatch.setattr(duplicate_groups, "MAX_COMPARED", 300)
    ones, _, is_whole = duplicate_groups._take_first(duplicate_groups._find_similar_hashes(same))
    assert 0 < len(ones) < 200 * 199 // 2
    assert not is_whole


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_nobody_is_in_two_groups_and_all_are_the_same_as_who_leads(
    pairs: set[tuple[int, int]],
) -> None:
    known = sorted((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])
    ones = np.array([one for one, _ in known], dtype=np.int64)
    others = np.array([other for _, other in known], dtype=np.int64)

    groups = duplicate_groups._group_pairs(ones, others)

    members = [one for group in groups for one in group]
    assert len(members) == len(set(members))
    for leader, *rest in groups:
        assert rest
        assert all((leader, one) in known for one in rest)


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_points_lie_in_their_frame_whatever_the_vectors_are(
    count: int, dim: int, seed: int, size: float
) -> None:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)

    places, explained = projection._project_pca(vectors * np.float32(size))
    framed = projection._scale_to_frame(places)

    assert framed.shape == (count, 2)
    assert np.isfinite(framed).all()
    assert np.abs(framed).max() <= 1
    assert 0 <= explained <= 1 + 1e-6


def test_one_far_away_does_not_press_all_others_together() -> None:
    near = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    places = np.concatenate([near, np.array([[1000.0, 0.0]], dtype=np.float32)])

    framed = projection._scale_to_frame(places)

    assert np.ptp(framed[:-1, 0]) > 1
    assert framed[-1, 0] == 1


def test_pca_finds_the_plane_that_points_lie_in() -> None:
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((50, 2)) * (3.0, 1.0)
    turned = np.linalg.qr(rng.standard_normal((8, 8)))[0][:2]

    places, explained = projection._project_pca((flat @ turned).astype(np.float32))

    assert explained == pytest.approx(1.0, abs=1e-4)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    found = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.testing.assert_allclose(found, apart, atol=1e-3)
