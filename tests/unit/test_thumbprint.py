"""How a picture looks at 32 x 32 grey pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch.media.pictures.thumbprint import (
    MIRROR,
    THUMBPRINT_BYTES,
    compute_hashes,
    compute_thumbprint,
    remove_padding,
    unpack_levels,
)
from mmsearch.runtime.resize import fit_pixels
from mmsearch.store import schema
from mmsearch.types import PictureFit


def scenery(seed: int, width: int = 320, height: int = 240) -> np.ndarray:
    """Something like a photograph: blots of all sizes, the large ones the strongest."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), dtype=np.float32)
    for side in (3, 6, 12, 24, 48):
        blots = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        grown = Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(grown, dtype=np.float32) / side**0.7
    total -= total.min()
    return (total * (255 / total.max())).astype(np.uint8)


def far(one: bytes | None, other: bytes | None) -> float:
    """Mean difference of two looks in grey levels."""
    assert one is not None
    assert other is not None
    levels = [np.frombuffer(look, dtype=np.uint8).astype(int) for look in (one, other)]
    return float(np.abs(levels[0] - levels[1]).mean())


def test_a_look_is_as_long_as_the_column_for_it() -> None:
    look = compute_thumbprint(scenery(1))

    assert look is not None
    assert len(look) == THUMBPRINT_BYTES == schema.THUMBPRINT_BYTES


def test_a_look_uses_all_levels() -> None:
    faint = (scenery(1) // 6 + 100).astype(np.uint8)
    look = compute_thumbprint(faint)

    assert look is not None
    assert (min(look), max(look)) == (0, 255)
    assert far(look, compute_thumbprint(scenery(1))) < 4


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_flat_picture_has_no_look(level: int) -> None:
    noise = np.random.default_rng(0).integers(0, 4, (200, 300, 3))

    assert compute_thumbprint(np.full((200, 300, 3), level, dtype=np.uint8)) is None
    assert compute_thumbprint(np.clip(noise + level, 0, 255).astype(np.uint8)) is None


@pytest.mark.parametrize("axis", [0, 1])
def test_a_gradient_has_no_look(axis: int) -> None:
    rise = np.linspace(0, 255, 256).astype(np.uint8)
    levels = np.broadcast_to(rise[:, None] if axis == 0 else rise[None], (256, 256))

    assert compute_thumbprint(np.repeat(levels[:, :, None], 3, axis=2)) is None


def test_noise_has_no_look() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3))

    assert compute_thumbprint(noise.astype(np.uint8)) is None


def test_a_look_does_not_depend_on_size_or_colour() -> None:
    look = compute_thumbprint(scenery(2, 640, 480))
    small = np.asarray(Image.fromarray(scenery(2, 640, 480)).resize((201, 155)))
    grey = np.asarray(Image.fromarray(scenery(2, 640, 480)).convert("L").convert("RGB"))

    assert far(look, compute_thumbprint(small)) < 1.5
    assert far(look, compute_thumbprint(grey)) < 1
    assert far(look, compute_thumbprint(scenery(3, 640, 480))) > 20


@pytest.mark.parametrize("size", [(640, 480), (333, 251), (97, 403), (33, 35)])
def test_the_look_of_a_mirrored_picture_is_mirrored(size: tuple[int, int]) -> None:
    pixels = scenery(4, *size)
    look, mirrored = (
        compute_thumbprint(pixels),
        compute_thumbprint(np.ascontiguousarray(pixels[:, ::-1])),
    )

    assert look is not None
    levels = np.frombuffer(look, dtype=np.uint8).reshape(32, 32)
    assert far(mirrored, levels[:, ::-1].tobytes()) < 0.5


def test_the_hash_of_a_mirrored_picture_differs_in_known_bits() -> None:
    looks = [compute_thumbprint(scenery(seed)) for seed in range(50)]
    levels = unpack_levels(np.stack([np.frombuffer(look or b"", dtype=np.uint8) for look in looks]))
    straight, mirrored = compute_hashes(levels), compute_hashes(levels[:, :, ::-1])

    assert np.bitwise_count(straight ^ MIRROR ^ mirrored).max() <= 1  # a wave that is not there
    assert np.bitwise_count(straight ^ mirrored).min() > 10


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (301, 97), (50, 50)])
def test_what_letterbox_puts_around_a_picture_is_taken_off(size: tuple[int, int]) -> None:
    fit = PictureFit("letterbox", 192, "bicubic", fill=127)
    pixels = scenery(5, *size)
    fitted = fit_pixels(pixels, fit)

    inner = remove_padding(fitted, fit, *size)

    assert max(inner.shape[:2]) == 192
    assert abs(inner.shape[1] / inner.shape[0] - size[0] / size[1]) < 0.05 * size[0] / size[1]
    assert far(compute_thumbprint(inner), compute_thumbprint(pixels)) < 2


@pytest.mark.parametrize("mode", ["within", "shortest", "squash"])
def test_other_fits_are_left_as_they_are(mode: str) -> None:
    fit = PictureFit(mode, 96, "bicubic")  # type: ignore[arg-type]  # a literal
    fitted = fit_pixels(scenery(6), fit)

    assert remove_padding(fitted, fit, 320, 240) is fitted


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    seed=st.integers(0, 1000),
    step=st.sampled_from([1, 3, 40]),
)
def test_any_pixels_have_a_whole_look_or_none(
    width: int, height: int, seed: int, step: int
) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // step + 1, width // step + 1, 3), dtype=np.uint8)
    pixels = coarse.repeat(step, axis=0).repeat(step, axis=1)[:height, :width]

    look = compute_thumbprint(np.ascontiguousarray(pixels))

    assert look is None or len(look) == THUMBPRINT_BYTES
    if min(width, height) < 16:
        assert look is None


def test_a_very_long_picture_has_a_look() -> None:
    assert compute_thumbprint(scenery(7, 4000, 20)) is not None
