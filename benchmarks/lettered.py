"""Pictures with writing that is known: pages, slides, screenshots, and signs in photographs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mmsearch.media.strings import split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
WORDS = split_words("""
    harbour lighthouse museum library platform station street avenue coffee sale parking invoice
    total amount date kitchen garden window summer winter river mountain bridge market corner
    school number people water friend letter evening morning journey silver orange purple yellow
    theatre orchestra bicycle airport terminal passenger luggage ticket exit entrance closed open
    the and with from over under between because after before never always nothing something
    Monday Tuesday October November 1984 2026 17:30 19.99 42
    """)


@dataclass(frozen=True, slots=True)
class Lettered:
    """(height, width, 3) uint8 RGB, and what is written in it."""

    pixels: NDArray[np.uint8]
    text: str
    kind: str


def fonts(size_px: int) -> list[ImageFont.FreeTypeFont]:
    """Pillow's own font, and DejaVu in its forms where it is installed."""
    paths = [
        path
        for path in sorted(DEJAVU.glob("*.ttf"))
        if "Math" not in path.name and "ExtraLight" not in path.name
    ]
    found = [
        ImageFont.load_default(size_px),
        *(ImageFont.truetype(str(path), size_px) for path in paths),
    ]
    return [font for font in found if isinstance(font, ImageFont.FreeTypeFont)]


def phrase(chance: random.Random, count: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(count))


def page(chance: random.Random) -> Lettered:
    """A page, a slide or a screenshot: some lines, dark on light or light on dark."""
    width, height = chance.choice([(1024, 768), (768, 1024), (1280, 720), (1654, 2339)])
    ink = chance.randint(0, 90)
    paper = chance.randint(215, 255)
    if chance.random() < 0.3:
        ink, paper = paper, ink
    size_px = chance.choice([14, 16, 20, 24, 32, 48, 64]) * max(width, height) // 1024
    font = chance.choice(fonts(size_px))
    image = Image.new("RGB", (width, height), (paper, paper, paper))
    draw = ImageDraw.Draw(image)
    lines: list[str] = []
    top = chance.randint(10, height // 4)
    for _ in range(chance.choice([1, 2, 3, 6, 12])):
        line = phrase(chance, chance.randint(2, 9))
        while draw.textlength(line, font=font) > width * 0.9 and " " in line:
            line = line.rsplit(" ", 1)[0]
        if top + size_px * 1.3 > height or draw.textlength(line, font=font) > width * 0.9:
            break
        draw.text((width // 20, top), line, fill=(ink, ink, ink), font=font)
        lines.append(line)
        top += int(size_px * 1.4)
    if chance.random() < 0.3:
        turn = chance.uniform(-4, 4)
        paper_rgb = (paper, paper, paper)
        image = image.rotate(turn, fillcolor=paper_rgb, resample=Image.Resampling.BICUBIC)
    return Lettered(np.asarray(image), "\n".join(lines), "page")


def scene(chance: random.Random, photograph: Image.Image, count: int) -> Lettered:
    """A photograph with a sign, an outlined caption, or bare letters; at most 8 degrees turned."""
    image = photograph.convert("RGB")
    width, height = image.size
    size_px = max(14, int(height * chance.choice([0.035, 0.05, 0.07, 0.1, 0.14])))
    font = chance.choice(fonts(size_px))
    text = phrase(chance, count)
    pad = size_px // 2
    left, top, right, bottom = font.getbbox(text)
    if right - left > width * 0.9:
        return scene(chance, photograph, count)
    light = tuple(chance.randint(190, 255) for _ in range(3))
    dark = tuple(chance.randint(0, 70) for _ in range(3))
    ink, ground = (light, dark) if chance.random() < 0.5 else (dark, light)
    layer = Image.new(
        "RGBA", (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad), (*ground, 0)
    )
    draw = ImageDraw.Draw(layer)
    at = (pad - left, pad - top)
    style = chance.choice(["sign", "sign", "outlined"])
    if style == "sign":
        draw.rectangle((0, 0, *layer.size), fill=(*ground, 255))
        draw.text(at, text, fill=(*ink, 255), font=font)
    else:
        outline = max(2, size_px // 10)
        draw.text(
            at, text, fill=(*ink, 255), font=font, stroke_width=outline, stroke_fill=(*ground, 255)
        )
    layer = layer.rotate(chance.uniform(-8, 8), expand=True, resample=Image.Resampling.BICUBIC)
    spot = (
        chance.randint(0, max(0, width - layer.width)),
        chance.randint(0, max(0, height - layer.height)),
    )
    image.paste(layer, spot, layer)
    if chance.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(chance.uniform(0.3, 0.8)))
    values = np.asarray(image).astype(np.float32)
    if chance.random() < 0.3:
        noise = np.random.default_rng(chance.randint(0, 1 << 30))
        values = values + noise.normal(0, chance.uniform(2, 6), values.shape)
    pixels = values.clip(0, 255).astype(np.uint8)
    return Lettered(pixels, text, "scene" if count > 1 else "word")


def examples(photographs: list[Path], count: int, *, seed: int = 5) -> Iterator[Lettered]:
    """`count` pages, as many scenes of two to five words, and as many of a single word."""
    chance = random.Random(seed)
    for at in range(count):
        yield page(chance)
        for length in (chance.randint(2, 5), 1):
            path = photographs[(2 * at + length) % len(photographs)]
            with Image.open(path) as photograph:
                yield scene(chance, photograph, length)
