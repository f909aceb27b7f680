"""Loaders hand pictures over as an encoder takes them: what open_clip would have made."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from mmsearch.media.base import LoadOptions, Picture
from mmsearch.media.registry import load
from mmsearch.types import PictureFit
from tests.unit.test_media_av import Film, write
from tests.unit.test_resize import SQUARE, difference, photograph, reference

FITS = tuple(PictureFit(mode, 64, "bicubic", fill=3) for mode in SQUARE)
CLIP = PictureFit("shortest", 224, "bicubic")
RED, BLUE = (255, 0, 0), (0, 0, 255)


def pictures(path: Path, fit: PictureFit) -> list[Picture]:
    contents = list(load(path, LoadOptions(picture=fit)))
    return [content for content in contents if isinstance(content, Picture)]


def pixels(path: Path, fit: PictureFit) -> np.ndarray:
    found = pictures(path, fit)[0].pixels
    assert found.shape == (fit.size_px, fit.size_px, 3)
    assert found.dtype == np.uint8
    return found


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    if path.suffix == ".heic":
        pillow_heif = pytest.importorskip("pillow_heif", reason="writing HEIC needs pillow-heif")
        pillow_heif.from_pillow(image).save(path, quality=90)
    else:
        image.save(path, **options)
    return path


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.mode)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".heic", ".bmp"])
@pytest.mark.parametrize("size", [(320, 214), (214, 320), (50, 40)])
def test_files_are_fitted_as_open_clip_does(
    tmp_path: Path, suffix: str, size: tuple[int, int], fit: PictureFit
) -> None:
    path = saved(photograph(*size), tmp_path / f"a{suffix}")
    found = pixels(path, fit)  # first: it registers HEIC with Pillow

    with Image.open(path) as image:
        assert difference(found, reference(image.convert("RGB"), fit)) <= 2


@pytest.mark.parametrize("mode", SQUARE)
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_that_is_decoded_smaller_is_fitted_the_same(
    tmp_path: Path, mode: Any, subsampling: int
) -> None:
    image = photograph(1600, 1200)
    path = saved(image, tmp_path / "a.jpg", quality=92, subsampling=subsampling)
    for px in (96, 48):  # a half, a quarter
        fit = PictureFit(mode, px, "bicubic")
        with Image.open(path) as opened:
            assert difference(pixels(path, fit), reference(opened, fit)) <= 2


@pytest.mark.parametrize("mode", SQUARE)
def test_real_photographs_are_fitted_as_open_clip_does(data: Path, mode: Any) -> None:
    fit = PictureFit(mode, 224, "bicubic")
    count = 0
    for path in sorted((data / "captions/images").glob("*.jpg")):
        with Image.open(path) as image:
            if image.mode != "RGB" or image.info.get("icc_profile"):
                continue
            count += 1
            assert difference(pixels(path, fit), reference(image, fit)) <= 2, path.name
    assert count > 30


@pytest.mark.slow
def test_large_real_photographs_are_fitted_as_open_clip_does(data: Path, tmp_path: Path) -> None:
    """12 megapixels out of a photograph of 640 px, with the noise of a sensor."""
    source = sorted((data / "captions/images").glob("*.jpg"))[7]
    with Image.open(source) as small:
        large = np.asarray(small.convert("RGB").resize((4032, 3024)), dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 4, large.shape)
    noisy = Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8))
    path = saved(noisy, tmp_path / "a.jpg", quality=92)

    with Image.open(path) as image:
        image.load()
        for px in (224, 256):
            fit = PictureFit("shortest", px, "bicubic")
            assert difference(pixels(path, fit), reference(image, fit)) <= 2


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.mode)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_photographs_are_fitted_upright(
    tmp_path: Path, orientation: int, fit: PictureFit
) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = saved(photograph(301, 200), tmp_path / "a.png", exif=exif)

    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        # The sides are scaled in the other order, and rounded in between.
        error = np.abs(pixels(path, fit).astype(int) - reference(upright, fit).astype(int))
        assert error.max() <= 8
        assert error.mean() < 0.5


def test_transparency_lies_on_white_and_does_not_bleed(tmp_path: Path) -> None:
    image = Image.new("RGBA", (1600, 1600), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 800, 1600))
    found = pixels(saved(image, tmp_path / "a.png"), FITS[0]).astype(int)

    assert np.array_equal(found[32, 10], RED)
    assert np.array_equal(found[32, 60], (255, 255, 255))
    # Green is nowhere to be seen but in white.
    assert (found[..., 1] <= found[..., 2] + 2).all()


def test_a_profile_is_applied(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = (
        profile.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
    ).replace(b"sRGB", b"odd!")
    image = photograph(300, 200)
    plain = pixels(saved(image, tmp_path / "a.png"), FITS[1])
    managed = pixels(saved(image, tmp_path / "b.png", icc_profile=swapped), FITS[1])

    assert difference(plain, managed) > 20


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.mode)
@pytest.mark.parametrize("size", [(900, 700), (40, 30)])
def test_every_mode_is_fitted(
    tmp_path: Path, mode: str, fit: PictureFit, size: tuple[int, int]
) -> None:
    ramp = np.tile(np.linspace(0, 255, size[0]), (size[1], 1))
    if mode in ("I;16", "I", "F"):
        kind: Any = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray((ramp * 257).astype(kind))
        grey = Image.fromarray(ramp.astype(np.uint8))
    else:
        grey = Image.fromarray(ramp.astype(np.uint8))
        image = grey.convert("RGB").convert(mode) if mode == "CMYK" else grey.convert(mode)
    path = saved(image, tmp_path / ("a.tiff" if mode in ("I", "F", "CMYK") else "a.png"))
    found, expected = pixels(path, fit), reference(grey.convert("RGB"), fit)

    tolerance = 90 if mode == "1" and size[0] < 100 else 40 if mode == "1" else 6
    error = np.abs(found.astype(int) - expected.astype(int))
    assert error.mean() < tolerance


def test_a_16_bit_strip_of_200_megapixels_is_cut_before_it_is_copied(tmp_path: Path) -> None:
    import tracemalloc

    values = np.tile(np.arange(1_000_000, dtype=np.uint16) % 4000, (8, 1))
    path = saved(Image.fromarray(values), tmp_path / "a.png", compress_level=1)
    del values
    tracemalloc.start()
    pixels(path, CLIP)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 1024**2


def test_frames_of_animations_and_pages_are_fitted(tmp_path: Path) -> None:
    shots = [Image.new("RGB", (90, 60), colour) for colour in (RED, BLUE)]
    for name in ("a.gif", "a.tiff"):
        shots[0].save(tmp_path / name, save_all=True, append_images=shots[1:])
        found = pictures(tmp_path / name, CLIP)
        assert [one.pixels.shape for one in found] == [(224, 224, 3)] * 2
        assert np.array_equal(found[1].pixels[100, 100], BLUE)


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.mode)
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_frames_of_films_are_fitted_upright(tmp_path: Path, rotation: int, fit: PictureFit) -> None:
    film = Film(shots=(0.4,), size=(320, 192), rotation=rotation)
    path = write(tmp_path / "a.mp4", film)
    whole = pictures(path, PictureFit("within", 1000, "lanczos"))[0].pixels

    error = np.abs(
        pixels(path, fit).astype(int) - reference(Image.fromarray(whole), fit).astype(int)
    )
    assert error.mean() < 1.5


def test_frames_with_wide_pixels_are_fitted_square(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", Film(shots=(0.4,), size=(320, 192), aspect=Fraction(2, 1)))
    found = pixels(path, PictureFit("letterbox", 64, "bicubic", fill=255))

    # 320 x 96 once its pixels are square: 64 x 19 of 64.
    assert (found[:20] > 250).all()
    assert (found[-20:] > 250).all()
    assert found[32].std() > 10
