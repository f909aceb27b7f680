"""Pictures and sentences to test networks with, the same each time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from mmsearch.types import PixelArray

COUNT = 64
_SUBJECTS = (
    "a dog", "two children", "an old bridge", "a bowl of soup", "the night sky", "a red bicycle",
    "my grandmother", "a crowded market",
)  # fmt: skip
_SETTINGS = (
    "on a beach", "in the snow", "beside a river", "at a birthday party", "through a window",
    "under a tree in autumn", "painted by a child, with a title in large letters", "",
)  # fmt: skip
_OTHERS = (
    "x", "Ein Satz mit Ümlauten.", "一只猫坐在窗台上", "صورة قديمة", "naïve café, 3.50 €", "🐶 🏖️",
    "a photo of a very small and rather blurred bird that sits on the highest branch of a tree "
    "which has lost its leaves, in front of a grey sky, seen from far away in the early morning",
    "receipt 2024-05-01 total 17.20",
)  # fmt: skip

SENTENCES: tuple[str, ...] = (
    *(f"{subject} {place}".strip() for subject, place in itertools.product(_SUBJECTS, _SETTINGS)),
    *_OTHERS,
)
"""Short and long ones, of several scripts: 72."""


def make_images(size_px: int, paths: Sequence[Path] = ()) -> PixelArray:
    """Returns at least 64 pictures, (n, size, size, 3) uint8: those at `paths`, and drawn ones.

    Pictures at `paths` are squashed to size. Drawn pictures have a background (a gradient, clouds
    or waves), shapes in front of it, and grain: they differ as much as photographs.
    """
    photographs = [_read_image(path, size_px) for path in paths]
    drawn = [_draw_image(seed, size_px) for seed in range(max(0, COUNT - len(photographs)))]
    return np.stack([*photographs, *drawn])


def _read_image(path: Path, size_px: int) -> PixelArray:
    with Image.open(path) as picture:
        scaled = picture.convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(scaled)


def _draw_image(seed: int, size_px: int) -> PixelArray:
    random = np.random.default_rng(seed)
    picture = Image.fromarray(_draw_background(random, seed % 4, size_px))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(0, 9))):
        _draw_shape(draw, random, size_px)
    pixels = np.asarray(picture, dtype=np.float32)
    grain = random.normal(0, random.choice([0.0, 4.0, 20.0]), pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def _draw_background(random: np.random.Generator, kind: int, size_px: int) -> PixelArray:
    """Mixes two colours: along a gradient, in clouds, in waves, or one colour alone."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    turn = random.uniform(0, 2 * np.pi)
    along = x * np.cos(turn) + y * np.sin(turn)
    if kind == 0:
        mixture = along
    elif kind == 1:
        mixture = _draw_clouds(random, size_px)
    elif kind == 2:
        mixture = np.sin(along * random.uniform(6, 120)) / 2 + 0.5
    else:
        mixture = np.zeros_like(along)
    low, high = random.integers(0, 256, (2, 3))
    share = np.clip(mixture, 0, 1)[..., None]
    colours: PixelArray = (low * (1 - share) + high * share).astype(np.uint8)
    return colours


def _draw_clouds(random: np.random.Generator, size_px: int) -> np.ndarray:
    """Adds random fields of four sizes, in 0..1."""
    total = np.zeros((size_px, size_px))
    for octave in range(4):
        cells = random.uniform(0, 255, (3 << octave, 3 << octave)).astype(np.uint8)
        field = Image.fromarray(cells).resize((size_px, size_px), Image.Resampling.BICUBIC)
        total += np.asarray(field) / 255 / 2**octave
    return total / 1.875


def _draw_shape(draw: ImageDraw.ImageDraw, random: np.random.Generator, size_px: int) -> None:
    left, top = random.uniform(-0.1, 0.9, 2) * size_px
    width, height = random.uniform(0.05, 0.6, 2) * size_px
    colour = tuple(int(value) for value in random.integers(0, 256, 3))
    corners = (left, top, left + width, top + height)
    kind = random.integers(0, 4)
    if kind == 0:
        draw.ellipse(corners, fill=colour)
    elif kind == 1:
        draw.rectangle(corners, fill=colour)
    elif kind == 2:
        points = random.uniform(0, 1, (5, 2)) * (width, height) + (left, top)
        draw.polygon([tuple(point) for point in points], fill=colour)
    else:
        draw.line(corners, fill=colour, width=int(random.integers(1, 12)))
