"""Pictures are fitted as open_clip fits them, whatever their shape, and cheaply."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch.media.pictures.pixels import compute_stored_scaling
from mmsearch.runtime.resize import (
    MARGIN,
    choose_jpeg_scale,
    fit_pixels,
    fit_size,
    plan_scaling,
)
from mmsearch.types import PictureFit
from tests.patience import HANG_S

SQUARE: tuple[Literal["shortest", "squash", "letterbox"], ...] = ("shortest", "squash", "letterbox")
RESIZE_MODES = {"shortest": "shortest", "squash": "squash", "letterbox": "longest"}

sides = st.integers(1, 300)
fits = st.builds(
    PictureFit,
    st.sampled_from(["within", *SQUARE]),
    st.integers(1, 64),
    st.sampled_from(["lanczos", "bicubic", "bilinear"]),
    st.integers(0, 255),
)


def reference(image: Image.Image, fit: PictureFit) -> np.ndarray:
    """What `open_clip.transform.image_transform(is_train=False)` does, in Pillow alone."""
    px, (width, height) = fit.size_px, image.size
    filter_ = Image.Resampling[fit.resampling.upper()]
    if fit.mode == "squash":
        return np.asarray(image.resize((px, px), filter_).convert("RGB"))
    if fit.mode == "shortest":
        long_px = int(px * max(width, height) / min(width, height))
        size = (px, long_px) if width <= height else (long_px, px)
        left, top = round((size[0] - px) / 2), round((size[1] - px) / 2)
        scaled = image.resize(size, filter_)
        return np.asarray(scaled.crop((left, top, left + px, top + px)).convert("RGB"))
    ratio = max(width, height) / px
    scaled = image.resize((max(1, round(width / ratio)), max(1, round(height / ratio))), filter_)
    canvas = Image.new("RGB", (px, px), (fit.fill,) * 3)
    canvas.paste(scaled, ((px - scaled.width) // 2, (px - scaled.height) // 2))
    return np.asarray(canvas)


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Detail of every size with the spectrum of photographs, and a little noise of a sensor."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), dtype=np.float32)
    for octave in range(8):
        side = 4 << octave
        if side > 2 * max(width, height):
            break
        coarse = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += (np.asarray(fine, dtype=np.float32) - 127.5) * 0.6**octave
    total += rng.normal(0, 3, total.shape)
    return Image.fromarray(np.clip(total * 0.45 + 127.5, 0, 255).astype(np.uint8))


def difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@given(sides, sides, fits)
def test_every_shape_is_fitted(width: int, height: int, fit: PictureFit) -> None:
    pixels = fit_pixels(noise(width, height), fit)

    assert pixels.dtype == np.uint8
    expected = (
        fit_size(width, height, fit.size_px)[::-1]
        if fit.mode == "within"
        else (fit.size_px, fit.size_px)
    )
    assert pixels.shape == (*expected, 3)


@given(sides, sides, fits)
def test_what_is_fitted_passes_untouched(width: int, height: int, fit: PictureFit) -> None:
    pixels = fit_pixels(noise(width, height), fit)

    assert fit_pixels(pixels, fit) is pixels


@given(st.integers(20, 300), st.integers(20, 300), st.sampled_from(SQUARE), st.integers(8, 64))
def test_small_pictures_are_fitted_as_open_clip_does(
    width: int, height: int, mode: Literal["shortest", "squash", "letterbox"], px: int
) -> None:
    fit = PictureFit(mode, px, "bicubic", fill=9)
    image = photograph(width, height)
    found, expected = fit_pixels(np.asarray(image), fit), reference(image, fit)

    # Rows left out before scaling can put a weight of nothing on another side of a rounding.
    assert difference(found, expected) <= 2


@pytest.mark.parametrize("mode", SQUARE)
@pytest.mark.parametrize("size", [(2400, 1600), (1599, 2401), (1000, 3000), (4000, 400)])
@pytest.mark.parametrize("resampling", ["bicubic", "bilinear"])
def test_large_pictures_are_fitted_as_open_clip_does(
    mode: Literal["shortest", "squash", "letterbox"],
    size: tuple[int, int],
    resampling: Literal["bicubic", "bilinear"],
) -> None:
    fit = PictureFit(mode, 96, resampling)
    image = photograph(*size)

    assert difference(fit_pixels(np.asarray(image), fit), reference(image, fit)) <= 2


@pytest.mark.parametrize("mode", SQUARE)
@pytest.mark.parametrize("resampling", ["bicubic", "bilinear"])
def test_the_reference_of_these_tests_is_open_clip(
    mode: Literal["shortest", "squash", "letterbox"],
    resampling: Literal["bicubic", "bilinear"],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = pytest.importorskip(
            "open_clip.transform", reason="comparing with open_clip needs the extra clip"
        )
    made = transform.image_transform(
        64,
        is_train=False,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        resize_mode=RESIZE_MODES[mode],
        interpolation=resampling,
        fill_color=30,
    )
    fit = PictureFit(mode, 64, resampling, fill=30)
    for size in ((640, 427), (427, 641), (64, 64), (64, 90), (31, 50), (1300, 97)):
        image = photograph(*size)
        theirs = np.rint(made(image).numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
        assert difference(theirs, reference(image, fit)) == 0
        assert difference(theirs, fit_pixels(np.asarray(image), fit)) <= 2


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (3, 40_001), (200_000, 40)])
@pytest.mark.parametrize("mode", SQUARE)
def test_extreme_shapes_cost_no_more_than_their_middle(
    size: tuple[int, int], mode: Literal["shortest", "squash", "letterbox"]
) -> None:
    pixels = noise(*size)
    begun = time.monotonic()
    tracemalloc.start()
    fit_pixels(pixels, PictureFit(mode, 224, "bicubic"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert time.monotonic() - begun < HANG_S
    assert peak < 64 * 1024**2


def test_the_middle_of_an_extreme_shape_is_what_scaling_all_of_it_gives() -> None:
    pixels = noise(3, 4001)
    fit = PictureFit("shortest", 32, "bicubic")

    whole = reference(Image.fromarray(pixels), fit)  # 32 x 42677

    assert difference(fit_pixels(pixels, fit), whole) <= 2


@pytest.mark.parametrize("mode", SQUARE)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (40, 40)])
def test_a_turned_picture_is_fitted_as_if_it_were_upright(
    mode: Literal["shortest", "squash", "letterbox"], orientation: int, size: tuple[int, int]
) -> None:
    fit = PictureFit(mode, 16, "bicubic")
    is_sideways = orientation >= 5
    how = compute_stored_scaling(*size, fit, orientation)
    upright = plan_scaling(*(size[::-1] if is_sideways else size), fit)

    assert how.size == (upright.size[::-1] if is_sideways else upright.size)
    left, top, right, bottom = how.box
    assert left >= 0
    assert top >= 0
    assert right <= size[0]
    assert bottom <= size[1]
    kept = (right - left, bottom - top)
    box = upright.box
    wanted = (box[2] - box[0], box[3] - box[1])
    assert kept == pytest.approx(wanted[::-1] if is_sideways else wanted)


@given(st.integers(1, 20_000), st.integers(1, 20_000), fits.filter(lambda f: f.mode != "within"))
def test_a_jpeg_is_decoded_smaller_only_in_whole_blocks_and_with_the_margin(
    width: int, height: int, fit: PictureFit
) -> None:
    scale = choose_jpeg_scale(width, height, fit)

    assert scale in (1, 2, 4, 8)
    if scale > 1:
        assert width % scale == height % scale == 0
        left, top, right, bottom = plan_scaling(width, height, fit).box
        kept = min((right - left) / scale, (bottom - top) / scale)
        assert kept >= MARGIN * min(plan_scaling(width, height, fit).size) * 0.999


def test_photographs_of_twelve_megapixels_are_decoded_at_a_half_for_the_usual_sizes() -> None:
    for px in (224, 256):
        assert choose_jpeg_scale(4032, 3024, PictureFit("shortest", px, "bicubic")) == 2
    assert choose_jpeg_scale(8064, 6048, PictureFit("squash", 256, "bicubic")) == 4
    assert choose_jpeg_scale(640, 480, PictureFit("shortest", 224, "bicubic")) == 1
