"""Heat maps of what a library found: where they point, what they cost, what goes wrong."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.encoders.base import PictureCode, PreparedPicture
from mmsearch.encoders.bundle import Encoders
from mmsearch.errors import QueryError
from mmsearch.library import localization
from mmsearch.library.heatmap import HeatMap
from mmsearch.library.library import Library
from mmsearch.library.localization import map_pixels
from mmsearch.media.isolation import Decoder
from mmsearch.models.presets import MINI
from mmsearch.models.provisioning import Runtime
from mmsearch.query import algebra as queries
from mmsearch.search.query_vectors import QueryVector, WeightedQueryVector
from mmsearch.types import Box, Hit, Modality, Place, Span
from tests.conftest import Cli
from tests.fakes import FakeEncoders, fake_library, write_picture, write_sound, write_text


class Coded:
    """An encoder that knows a colour when it sees one: red, green and blue are its axes."""

    def prepare(self, pixels: np.ndarray) -> PreparedPicture:
        return PreparedPicture(pixels.mean(axis=(0, 1), keepdims=True)[None], (Box(0, 0, 1, 1),))

    def encode(self, pictures: list[PreparedPicture]) -> list[PictureCode]:
        rows = [picture.crops.reshape(1, 3).astype(np.float32) for picture in pictures]
        rows = [row / max(float(np.linalg.norm(row)), 1e-9) for row in rows]
        return [
            PictureCode(row, picture.boxes, ()) for row, picture in zip(rows, pictures, strict=True)
        ]


def quarters(width: int, height: int, *colours: tuple[int, int, int]) -> np.ndarray:
    """Four rectangles: top left, top right, bottom left, bottom right."""
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for at, colour in enumerate(colours):
        rows = slice(height // 2, None) if at >= 2 else slice(0, height // 2)
        columns = slice(width // 2, None) if at % 2 else slice(0, width // 2)
        pixels[rows, columns] = colour
    return pixels


RED, GREEN, GREY = (250, 0, 0), (0, 250, 0), (120, 120, 120)


def coloured(**weights: float) -> list[WeightedQueryVector]:
    axes = {"red": 0, "green": 1, "blue": 2}
    rows = np.eye(3, dtype=np.float32)
    return [
        WeightedQueryVector(QueryVector("image", "text", rows[axes[name]][None]), weight)
        for name, weight in weights.items()
    ]


@pytest.mark.parametrize(("width", "height"), [(400, 300), (96, 400), (640, 100), (8, 8)])
@pytest.mark.parametrize("at", range(4))
def test_the_hottest_place_is_the_quarter_that_has_it(width: int, height: int, at: int) -> None:
    pixels = quarters(width, height, *(RED if one == at else GREY for one in range(4)))

    found = map_pixels(pixels, coloured(red=1.0), Coded(), MINI.calibrations)

    x, y = found.hottest
    assert (x > 0.5, y > 0.5) == (at % 2 == 1, at >= 2)
    assert found.size == (width, height)
    assert found.values.max() == 1.0


def test_what_is_avoided_is_cool_even_beside_what_is_sought() -> None:
    yellow = (250, 250, 0)  # as red as it is green
    pixels = quarters(400, 400, RED, yellow, GREY, GREEN)

    found = map_pixels(pixels, coloured(red=1.0, green=-1.0), Coded(), MINI.calibrations)

    assert found.hottest[0] < 0.5
    assert found.hottest[1] < 0.5
    assert found.values[:, -12:].max() < 0.3  # yellow and green


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 900), (900, 1), (2, 3)])
def test_a_picture_of_a_few_pixels_has_a_map(width: int, height: int) -> None:
    pixels = np.zeros((height, width, 3), dtype=np.uint8)

    found = map_pixels(pixels, coloured(red=1.0), Coded(), MINI.calibrations)

    assert not found.values.any()
    assert Image.open(io.BytesIO(found.overlay())).size == (width, height)


# with a library, and no networks


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    write_picture(folder / "red.png", "red")
    write_picture(folder / "green.png", "green")
    write_text(folder / "note.txt", "red lamps by the harbour")
    write_sound(folder / "quiet.wav", level=0.0)
    return folder


@pytest.fixture
def library(tmp_path: Path, media: Path) -> Iterator[Library]:
    with fake_library(tmp_path / "library") as opened:
        opened.index(media)
        yield opened


def hit_of(library: Library, name: str, words: str = "red") -> Hit:
    hits = library.search(words, min_score=0.0, limit=20)
    return next(hit for hit in hits if Path(hit.path).name == name)


def test_a_map_is_of_the_picture_as_it_was_decoded(library: Library) -> None:
    found = library.heat_map(hit_of(library, "red.png"), "red")

    assert found.size == (24, 16)
    assert found.picture is not None
    assert found.picture.shape == (16, 24, 3)
    assert (found.picture == (200, 10, 10)).all()


def test_a_query_may_be_a_picture_or_a_sum(library: Library, media: Path) -> None:
    found = hit_of(library, "red.png")
    asked = queries.text("red") + queries.image(media / "green.png") - queries.text("blue")

    assert isinstance(library.heat_map(found, asked), HeatMap)


def test_what_has_no_picture_has_no_map(library: Library) -> None:
    with pytest.raises(QueryError, match=r"note\.txt has no picture"):
        library.heat_map(hit_of(library, "note.txt"), "red")


def test_what_cannot_be_seen_has_no_map(library: Library, media: Path) -> None:
    with pytest.raises(QueryError, match="looked for in a picture"):
        library.heat_map(hit_of(library, "red.png"), queries.audio(media / "quiet.wav"))


def test_a_file_that_is_gone_is_named(library: Library, media: Path) -> None:
    found = hit_of(library, "red.png")
    (media / "red.png").unlink()

    with pytest.raises(QueryError, match=r"red\.png is gone"):
        library.heat_map(found, "red")


def test_a_file_that_changed_is_named(library: Library, media: Path) -> None:
    found = hit_of(library, "red.png")
    size = (media / "red.png").stat().st_size
    for content in (b"shorter", b"x" * size):
        (media / "red.png").write_bytes(content)

        with pytest.raises(QueryError, match=r"red\.png has changed since it was indexed"):
            library.heat_map(found, "red")


def test_a_pipe_in_place_of_the_file_is_not_waited_for(library: Library, media: Path) -> None:
    found = hit_of(library, "red.png")
    (media / "red.png").unlink()
    os.mkfifo(media / "red.png")

    with pytest.raises(QueryError, match="is gone"):
        library.heat_map(found, "red")


def test_a_copy_stands_in_for_a_file_that_is_gone(library: Library, media: Path) -> None:
    shutil.copy(media / "red.png", media / "twin.png")
    library.index(media)
    found = hit_of(library, "red.png")
    assert [Path(path).name for path in found.also_at] == ["twin.png"]
    (media / "red.png").unlink()

    assert library.heat_map(found, "red").size == (24, 16)


def test_a_frame_that_is_there_no_more_is_an_error(library: Library) -> None:
    found = hit_of(library, "red.png")
    segment = dataclasses.replace(found.segment, place=Place(span=Span(3.0, 4.0)))
    moment = dataclasses.replace(found.moments[0], segment=segment)

    with pytest.raises(QueryError, match="no picture any more"):
        library.heat_map(found, "red", moment=moment)


def test_what_decodes_no_more_is_an_error(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it passes a limit that was higher when it was indexed."""
    found = hit_of(library, "red.png")
    tight = dataclasses.replace(localization.LoadOptions().limits, pixels=100)
    options = localization.LoadOptions
    monkeypatch.setattr(localization, "LoadOptions", lambda **given: options(limits=tight, **given))

    with pytest.raises(QueryError, match="cannot be looked at: it unpacks to more"):
        library.heat_map(found, "red")


def test_each_frame_of_an_animation_has_its_own_map(library: Library, media: Path) -> None:
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("red", "lime", "blue", "red")]
    frames[0].save(media / "moving.gif", save_all=True, append_images=frames[1:], duration=200)
    library.index(media)
    found = hit_of(library, "moving.gif", "green")
    green = next(one for one in found.moments if one.segment.place.page == 2)

    picture = library.heat_map(found, "green", moment=green).picture

    assert picture is not None
    assert picture[..., 1].mean() > 200
    assert picture[..., 0].mean() < 50


def test_a_quick_map_of_a_model_without_parts_is_made_of_crops(library: Library) -> None:
    found = library.heat_map(hit_of(library, "red.png"), "red", is_quick=True)

    assert found.picture is not None


def test_a_huge_picture_is_looked_at_in_small(library: Library, media: Path) -> None:
    Image.new("1", (7000, 5000), 1).save(media / "huge.png")
    library.index(media)

    found = library.heat_map(hit_of(library, "huge.png"), "red")

    assert max(found.size) == localization.DECODED_PX
    assert len(found.overlay()) < 2_000_000


def test_only_a_map_decodes(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = FakeEncoders()
    library = fake_library(tmp_path / "other", encoders)
    library.index(media)
    asked = encoders.asked["image"]

    def refused(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Decoder, "load", refused)
    found = hit_of(library, "red.png")
    assert encoders.asked["image"] == asked

    with pytest.raises(AssertionError, match="decoded"):
        library.heat_map(found, "red")


# with the models of `mini`


@pytest.fixture(scope="module")
def real(small_library: Path) -> Iterator[Library]:
    with Library.open(small_library, create=False) as opened:
        yield opened


def test_the_kitten_is_where_the_kitten_is(real: Library) -> None:
    found = hit_of(real, "IMG_0144.jpg", "a kitten")

    heat = real.heat_map(found, "the face of a kitten")

    assert heat.hottest[0] < 0.6  # it looks out on the left, its tail lies on the right
    assert Image.open(io.BytesIO(heat.overlay())).size == heat.size


def test_a_quick_map_decodes_nothing(real: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hit_of(real, "IMG_0144.jpg", "a kitten")
    monkeypatch.setattr(Decoder, "load", None)

    heat = real.heat_map(found, "a kitten", is_quick=True)

    assert heat.picture is None
    assert heat.size == (found.asset.metadata.width_px, found.asset.metadata.height_px)
    assert heat.values.max() > 0.0


def test_a_moment_of_a_video_has_a_map_of_its_frame(real: Library) -> None:
    found = next(hit for hit in real.search("rocket", min_score=0.0, kinds=["video"]))
    moment = localization.find_picture_moment(found)
    assert moment is not None

    heat = real.heat_map(found, "rocket")
    quick = real.heat_map(found, "rocket", is_quick=True)

    assert found.kind is Modality.VIDEO
    assert heat.picture is not None
    assert heat.values.shape == quick.values.shape


@pytest.mark.slow
def test_a_caption_points_at_its_photograph_among_four(data: Path) -> None:
    """`python -m benchmarks.heatmaps` has the share over all 76 photographs: 0.92."""
    encoder = Encoders(MINI, Runtime(threads=2).create_context()).image
    lines = (data / "captions/captions.jsonl").read_text().splitlines()[:24]
    rows = [json.loads(line) for line in lines]
    right = []
    for start in range(0, len(rows), 4):
        four = rows[start : start + 4]
        photos = [Image.open(data / "captions" / row["image"]).convert("RGB") for row in four]
        cells = [np.asarray(photo.resize((320, 240))) for photo in photos]
        pixels = np.vstack([np.hstack(cells[:2]), np.hstack(cells[2:])])
        vectors = localization.embed_crops(pixels, localization.cut_into_boxes(640, 480), encoder)
        for at, row in enumerate(four):
            for values in encoder.encode_texts(row["captions"]):
                asked = [WeightedQueryVector(QueryVector("image", "text", values[None]), 1.0)]
                heat = localization.compute_heat(vectors, asked, MINI.calibrations)
                boxes = localization.cut_into_boxes(640, 480)
                x, y = HeatMap(
                    localization.spread_heat(heat, boxes, (640, 480)), (640, 480)
                ).hottest
                right.append((x > 0.5, y > 0.5) == (at % 2 == 1, at >= 2))

    assert len(right) >= 100
    assert np.mean(right) >= 0.75


# with a model of open_clip


@pytest.mark.slow
def test_a_model_of_one_vector_a_picture_has_maps_too(
    tmp_path: Path, sample_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights are random, so that only the way is tested: no crop means anything to them."""
    pytest.importorskip("torch")
    pytest.importorskip("open_clip")
    from tests.models import save_open_clip

    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    tiny = {
        "embed_dim": 64,
        "vision_cfg": {
            "image_size": 64, "layers": 2, "width": 128, "head_width": 32, "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 24, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 2,
        },
    }  # fmt: skip
    model = save_open_clip(tmp_path / "tiny", "ViT-B-32", **tiny)
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(sample_data / "photos/IMG_0144.jpg", photos)
    with Library.open(tmp_path / "library", models={"image": str(model)}) as library:
        library.index(photos)
        found = hit_of(library, "IMG_0144.jpg", "a kitten")

        heat = library.heat_map(found, "a kitten")
        quick = library.heat_map(found, "a kitten", is_quick=True)

    assert heat.values.shape == (36, 48)
    assert 0.0 <= heat.values.min() <= heat.values.max() <= 1.0
    assert heat.values.any()
    np.testing.assert_array_equal(heat.values, quick.values)


# the command


@pytest.mark.slow
def test_heat_maps_are_written_beside_the_answer(
    cli: Cli, small_library: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "maps"
    plain = cli("search", "--library", small_library, "kitten", "-n", "2", "--paths")
    ran = cli("search", "--library", small_library, "kitten", "-n", "2", "--paths",
              "--heat-maps", folder)  # fmt: skip

    assert ran.returncode == 0
    assert ran.stdout == plain.stdout
    names = sorted(path.name for path in folder.iterdir())
    assert [name[:4] for name in names] == ["001-", "002-"]
    assert all(f"heat map: {folder / name}".encode() in ran.stderr for name in names)
    for name in names:
        with Image.open(folder / name) as image:
            image.load()
            assert (image.format, image.mode) == ("PNG", "RGB")


def test_a_folder_that_cannot_be_written_is_named_before_the_search(
    cli: Cli, small_library: Path, tmp_path: Path
) -> None:
    taken = write_text(tmp_path / "file", "not a folder")

    ran = cli("search", "--library", small_library, "kitten", "--heat-maps", taken / "below")

    assert ran.returncode == 1
    assert ran.stdout == b""
    assert b"heat maps cannot be written to" in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.mark.slow
def test_what_lies_behind_a_link_is_not_written_over(
    cli: Cli, small_library: Path, tmp_path: Path
) -> None:
    asked = ("search", "--library", small_library, "kitten", "-n", "1", "--heat-maps")
    cli(*asked, tmp_path / "maps")
    (written,) = (tmp_path / "maps").iterdir()
    precious = write_text(tmp_path / "precious", "mine")
    written.unlink()
    written.symlink_to(precious)

    cli(*asked, tmp_path / "maps")

    assert precious.read_text() == "mine"
    assert not written.is_symlink()


@pytest.mark.slow
def test_a_hit_that_is_gone_is_told_and_the_rest_goes_on(
    cli: Cli, tmp_path: Path, sample_data: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("IMG_0031.jpg", "IMG_0144.jpg"):
        shutil.copy(sample_data / "photos" / name, folder)
    with Library.open(tmp_path / "library") as library:
        library.index(folder)
    (folder / "IMG_0031.jpg").unlink()

    maps = tmp_path / "maps"
    ran = cli("search", "--library", tmp_path / "library", "kitten", "--heat-maps", maps)

    assert ran.returncode == 0
    assert b"IMG_0031.jpg is gone" in ran.stderr
    assert [path.name[3:12] for path in maps.iterdir()] == ["-IMG_0144"]
