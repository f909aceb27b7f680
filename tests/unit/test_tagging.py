"""The tagging image encoder on its packaged network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.encoders.image.tagging import (
    CROP_PX,
    SHA256,
    TaggingEncoder,
    choose_windows,
    cut_windows,
)
from mmsearch.encoders.text.minilm import MiniLmEncoder
from mmsearch.errors import WeightsMismatch, WeightsMissing
from mmsearch.models.presets import ModelSpec
from mmsearch.models.provisioning import Runtime
from mmsearch.types import Box

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "sample_data/photos"
TEST_DATA = Path(os.environ.get("MMSEARCH_TEST_DATA", ROOT.parent / "shared/data"))


@pytest.fixture(scope="module")
def encoder() -> TaggingEncoder:
    return TaggingEncoder.load(ModelSpec("tagging"), Runtime(threads=2).create_context())


@pytest.fixture(scope="module")
def text_encoder() -> MiniLmEncoder:
    return MiniLmEncoder.load(ModelSpec("minilm"), Runtime(threads=2).create_context())


def gradient(width: int, height: int, *, seed: int = 0) -> np.ndarray:
    """A smooth picture with some noise, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 200, width)[None, :, None]
    y = np.linspace(0, 50, height)[:, None, None]
    return (x * rng.random(3) + y + rng.integers(0, 5, (height, width, 3))).astype(np.uint8)


def read(path: Path, longest_px: int) -> np.ndarray:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((longest_px, longest_px), Image.Resampling.BICUBIC)
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (7, 5), (512, 384), (384, 512), (512, 4), (3, 512), (4000, 3000)]
)
def test_every_size_of_picture_gives_crops_and_boxes_inside_it(width: int, height: int) -> None:
    prepared = cut_windows(gradient(width, height))
    assert prepared.crops.shape == (len(prepared.boxes), CROP_PX, CROP_PX, 3)
    assert prepared.crops.dtype == np.uint8
    assert len(prepared.boxes) <= 8
    for box in prepared.boxes:
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1


@pytest.mark.parametrize(
    ("width", "height"), [(400, 400), (512, 384), (512, 100), (60, 512), (5000, 10)]
)
def test_windows_cover_the_picture_without_its_whole(width: int, height: int) -> None:
    whole, *rest = choose_windows(width, height)
    assert whole == Box(0, 0, 1, 1)
    grid = (np.arange(100) + 0.5) / 100
    covered = np.zeros((100, 100), dtype=bool)
    for box in rest:
        across = (grid >= box.x0) & (grid <= box.x1)
        down = (grid >= box.y0) & (grid <= box.y1)
        covered |= down[:, None] & across[None, :]
    assert covered.all()


def test_windows_of_a_strip_follow_its_length() -> None:
    wide, high = choose_windows(900, 100)[1:], choose_windows(100, 900)[1:]
    assert all((box.y0, box.y1) == (0, 1) for box in wide)
    assert all(left.x0 < right.x0 for left, right in pairwise(wide))
    assert high == tuple(Box(box.y0, box.x0, box.y1, box.x1) for box in wide)


def test_a_crop_shows_what_its_box_says() -> None:
    pixels = np.zeros((400, 500, 3), dtype=np.uint8)
    pixels[200:, 250:] = 255
    prepared = cut_windows(pixels)
    for crop, box in zip(prepared.crops, prepared.boxes, strict=True):
        wanted = max(0, box.x1 - max(0.5, box.x0)) * max(0, box.y1 - max(0.5, box.y0))
        share = wanted / ((box.x1 - box.x0) * (box.y1 - box.y0))
        assert crop.mean() / 255 == pytest.approx(share, abs=0.01)


def test_cutting_leaves_the_pixels_alone() -> None:
    pixels = gradient(300, 200)
    pixels.setflags(write=False)
    first, second = cut_windows(pixels), cut_windows(pixels)
    np.testing.assert_array_equal(first.crops, second.crops)


def test_vectors_are_unit_rows_one_a_box(encoder: TaggingEncoder) -> None:
    pictures = [encoder.prepare(gradient(*size)) for size in ((1, 1), (500, 300), (20, 500))]
    for picture, code in zip(pictures, encoder.encode(pictures), strict=True):
        assert code.boxes == picture.boxes
        assert code.values.shape == (len(code.boxes), encoder.space.dim)
        assert code.values.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(code.values, axis=1), 1, atol=1e-5)


def test_tags_come_best_first(encoder: TaggingEncoder) -> None:
    (code,) = encoder.encode([encoder.prepare(gradient(400, 300))])
    values = [tag.probability for tag in code.tags]
    assert values == sorted(values, reverse=True)
    assert all(0 < value <= 1 for value in values)


def test_a_picture_is_encoded_alike_in_every_company(encoder: TaggingEncoder) -> None:
    pictures = [encoder.prepare(gradient(90 + 40 * i, 300, seed=i)) for i in range(7)]
    together = encoder.encode(pictures)
    for picture, code in zip(pictures, together, strict=True):
        (alone,) = encoder.encode([picture])
        np.testing.assert_array_equal(alone.values, code.values)
        assert alone.tags == code.tags


def test_two_loads_and_any_number_of_threads_agree(encoder: TaggingEncoder) -> None:
    picture = encoder.prepare(gradient(400, 300, seed=3))
    (first,) = encoder.encode([picture])
    (second,) = TaggingEncoder.load(
        ModelSpec("tagging"), Runtime(threads=1).create_context()
    ).encode([picture])
    np.testing.assert_array_equal(first.values, second.values)


def test_no_pictures_give_no_codes(encoder: TaggingEncoder) -> None:
    assert encoder.encode([]) == []


def test_projected_text_has_unit_rows(encoder: TaggingEncoder) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 384)).astype(np.float32)
    projected = encoder.project_text(rows)
    assert projected.shape == (5, 384)
    assert projected.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-5)
    assert encoder.project_text(rows[:0]).shape == (0, 384)


def test_projecting_text_needs_neither_the_network_nor_its_runtime() -> None:
    program = (
        "import sys, numpy; from mmsearch.encoders.image.tagging import TaggingEncoder;"
        "from pathlib import Path;"
        "TaggingEncoder(Path('mmsearch/models/data/mini')).project_text("
        "numpy.ones((1, 384), numpy.float32));"
        "sys.exit(sum(name in sys.modules for name in ('onnxruntime', 'torch')))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    rows = np.ones((1, 384), dtype=np.float32)
    with pytest.raises(WeightsMissing, match=r"classes\.npz"):
        TaggingEncoder(tmp_path).project_text(rows)
    (tmp_path / "classes.npz").write_bytes(b"not the one")
    with pytest.raises(WeightsMismatch, match=r"classes\.npz"):
        TaggingEncoder(tmp_path).project_text(rows)


def test_the_notice_names_the_packaged_files_by_content() -> None:
    notice = (ROOT / "mmsearch/models/data/mini/NOTICE.md").read_text()
    for name, digest in SHA256.items():
        assert name in notice
        assert digest in notice


@pytest.mark.skipif(not (TEST_DATA / "captions").is_dir(), reason="no captioned photographs")
def test_captions_find_their_photographs(
    encoder: TaggingEncoder, text_encoder: MiniLmEncoder
) -> None:
    folder = TEST_DATA / "captions"
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    pictures = [encoder.prepare(read(folder / row["image"], encoder.fit.size_px)) for row in rows]
    captions = [caption for row in rows for caption in row["captions"]]
    own = np.repeat(np.arange(len(rows)), [len(row["captions"]) for row in rows])
    queries = encoder.project_text(text_encoder.encode(captions))
    codes = encoder.encode(pictures)
    scores = np.stack([(queries @ code.values.T).max(axis=1) for code in codes], axis=1)
    ranks = (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1)
    # Measured: 0.50, 0.88, 0.94; the margin allows for another processor's rounding.
    assert (ranks < 1).mean() >= 0.47
    assert (ranks < 5).mean() >= 0.85
    assert (ranks < 10).mean() >= 0.91


def test_sample_photographs_are_found_by_their_tags(
    encoder: TaggingEncoder, text_encoder: MiniLmEncoder
) -> None:
    paths = sorted(PHOTOS.rglob("*.jpg")) if PHOTOS.is_dir() else []
    if len(paths) < 5:
        pytest.skip(f"no photographs under {PHOTOS}")
    codes = encoder.encode([encoder.prepare(read(path, encoder.fit.size_px)) for path in paths])
    tagged = [i for i, code in enumerate(codes) if code.tags and code.tags[0].probability > 0.5]
    queries = encoder.project_text(
        text_encoder.encode([f"a photo of a {codes[i].tags[0].name}" for i in tagged])
    )
    scores = np.stack([(queries @ code.values.T).max(axis=1) for code in codes], axis=1)
    best = np.argsort(-scores, axis=1)[:, :5]
    found = [i in row for i, row in zip(tagged, best, strict=True)]
    assert np.mean(found) >= 0.8


def test_a_copy_of_the_folder_works(tmp_path: Path, encoder: TaggingEncoder) -> None:
    for name in SHA256:
        shutil.copy(ROOT / "mmsearch/models/data/mini" / name, tmp_path / name)
    picture = encoder.prepare(gradient(300, 300))
    (here,), (there,) = encoder.encode([picture]), TaggingEncoder(tmp_path).encode([picture])
    np.testing.assert_array_equal(here.values, there.values)
