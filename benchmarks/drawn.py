"""Pictures that look alike and are not the same: decks, pages, windows, charts, still scenes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

VOCABULARY = (
    "revenue market growth quarter customers model search index river museum kitchen winter budget "
    "team launch risk supply cost design review engine train vector image sound speech garden "
    "bicycle harbour mountain library student teacher number formula energy battery solar climate "
    "policy health hospital school music theatre football tennis history empire castle bridge "
    "tunnel planet orbit rocket payload software testing release schedule holiday journey ticket "
    "airport coffee bread flour sugar butter recipe"
)
WORDS = VOCABULARY.split()
Pen = ImageDraw.ImageDraw
COUNT = 12
DECKS = (
    ("white", (20, 60, 140), (20, 20, 20)),
    ((24, 24, 32), (200, 60, 40), (240, 240, 240)),
    ((245, 240, 225), (90, 120, 60), (40, 30, 20)),
)


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


def write(pen: Pen, at: tuple[float, float], text: str, px: int, fill: object = "black") -> None:
    pen.text(at, text, font=ImageFont.load_default(px), fill=fill)


def slide(rng: random.Random, number: int, style: int, lines: int = 5) -> Image.Image:
    """A slide of a deck: ground, header, footer and mark are the same, the words are not."""
    ground, bar, ink = DECKS[style]
    picture = Image.new("RGB", (1280, 720), ground)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 1280, 110), fill=bar)
    write(pen, (50, 28), words(rng, 3).title(), 52, "white")
    pen.ellipse((1180, 640, 1250, 710), fill=bar)
    write(pen, (40, 680), "Company Ltd 2024", 20, ink)
    write(pen, (1100, 680), str(number), 20, ink)
    for line in range(lines):
        y = 170 + line * 95
        pen.ellipse((60, y + 14, 76, y + 30), fill=bar)
        write(pen, (100, y), words(rng, rng.randint(4, 7)), 36, ink)
    return picture


def title(rng: random.Random, style: int) -> Image.Image:
    picture = Image.new("RGB", (1280, 720), ("white", (10, 30, 70))[style])
    font = ImageFont.load_default(90)
    ink = ("black", "white")[style]
    ImageDraw.Draw(picture).text(
        (640, 330), words(rng, 2).title(), font=font, fill=ink, anchor="mm"
    )
    return picture


def page(rng: random.Random, *, ragged: bool = False, px: int = 16) -> Image.Image:
    """A page of text, with paragraphs or filled from top to bottom."""
    picture = Image.new("RGB", (850, 1100), "white")
    pen, y = ImageDraw.Draw(picture), 90
    while y < 1000:
        write(pen, (90, y), words(rng, 320 // px)[: 1344 // px], px)
        y += px * 3 if ragged and rng.random() < 0.1 else px * 3 // 2
    return picture


def terminal(rng: random.Random) -> Image.Image:
    picture = Image.new("RGB", (1280, 800), (12, 12, 12))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 1280, 30), fill=(60, 60, 60))
    for line in range(34):
        write(pen, (10, 40 + line * 22), words(rng, rng.randint(1, 12)), 16, (200, 220, 200))
    return picture


def shop(rng: random.Random) -> Image.Image:
    """A page of a shop: the frame stays, six goods change."""
    picture = Image.new("RGB", (1280, 900), "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 1280, 60), fill=(35, 47, 62))
    write(pen, (20, 15), "ACME shop   Home  Offers  Basket", 24, "white")
    pen.rectangle((0, 60, 220, 900), fill=(240, 240, 240))
    for line in range(14):
        write(pen, (20, 90 + line * 40), WORDS[line], 20)
    for place in range(6):
        x, y = 260 + place % 3 * 330, 100 + place // 3 * 390
        pen.rectangle((x, y, x + 290, y + 230), fill=tuple(rng.choices(range(60, 220), k=3)))
        write(pen, (x, y + 250), words(rng, 2), 22)
        write(pen, (x, y + 285), f"{rng.randrange(5, 300)}.99", 26, (180, 0, 0))
    return picture


def chart(rng: random.Random, *, bars: bool) -> Image.Image:
    picture = Image.new("RGB", (800, 600), "white")
    pen = ImageDraw.Draw(picture)
    pen.line((80, 520, 760, 520), fill="black", width=3)
    pen.line((80, 40, 80, 520), fill="black", width=3)
    for y in range(40, 520, 60):
        pen.line((80, y, 760, y), fill=(220, 220, 220))
    if bars:
        for bar in range(8):
            top = 520 - rng.randrange(40, 440)
            pen.rectangle((110 + bar * 80, top, 160 + bar * 80, 520), fill=(70, 120, 200))
    else:
        points = [(100 + step * 60, rng.randrange(80, 500)) for step in range(11)]
        pen.line(points, fill=(200, 60, 60), width=4)
    return picture


def receipt(rng: random.Random) -> Image.Image:
    picture = Image.new("RGB", (500, 900), "white")
    pen = ImageDraw.Draw(picture)
    write(pen, (90, 40), "SUPERMARKET", 40)
    for line in range(rng.randint(14, 20)):
        write(pen, (40, 130 + line * 32), words(rng, 2)[:20], 20)
        write(pen, (400, 130 + line * 32), f"{rng.randrange(1, 40)}.{rng.randrange(99):02}", 20)
    return picture


def sheet(rng: random.Random) -> Image.Image:
    """A table of numbers."""
    picture = Image.new("RGB", (1200, 800), "white")
    pen = ImageDraw.Draw(picture)
    for row in range(20):
        pen.line((0, row * 40, 1200, row * 40), fill=(200, 200, 200))
        for column in range(8):
            write(pen, (10 + column * 150, row * 40 + 8), str(rng.randrange(10_000)), 20)
    for column in range(9):
        pen.line((column * 150, 0, column * 150, 800), fill=(200, 200, 200))
    return picture


def bricks(rng: random.Random) -> Image.Image:
    picture = Image.new("RGB", (600, 400), (180, 180, 170))
    pen = ImageDraw.Draw(picture)
    for row in range(16):
        for x in range(-60, 600, 60):
            left, shade = x + 30 * (row % 2), rng.randrange(-18, 18)
            ink = (150 + shade, 70 + shade, 50 + shade)
            pen.rectangle((left + 2, row * 25 + 2, left + 57, row * 25 + 22), fill=ink)
    return picture


def noise(rng: random.Random) -> Image.Image:
    values = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, (400, 600, 3))
    return Image.fromarray(values.astype(np.uint8))


def gradient(rng: random.Random) -> Image.Image:
    ends = np.array([rng.choices(range(256), k=3) for _ in range(2)])
    share = np.linspace(0, 1, 480)[:, None, None]
    rows = (1 - share) * ends[0] + share * ends[1]
    return Image.fromarray(rows.repeat(640, axis=1).astype(np.uint8))


def sunset(rng: random.Random) -> Image.Image:
    """A gradient, a horizon, and the sun at another place."""
    picture = gradient(rng)
    pen, horizon, x = ImageDraw.Draw(picture), rng.randrange(280, 360), rng.randrange(60, 580)
    y = rng.randrange(60, horizon)
    pen.rectangle((0, horizon, 640, 480), fill=(30, 40, 60))
    pen.ellipse((x - 30, y - 30, x + 30, y + 30), fill=(255, 240, 200))
    return picture


def still_scenes(photographs: Sequence[Image.Image]) -> dict[str, list[Image.Image]]:
    """A still camera: six scenes, in each of which four times something else stands."""
    scenes = {}
    for number, ground in enumerate(photographs[:6]):
        side = int(min(ground.size) * 0.45)
        mask = Image.new("L", (side, side), 0)
        ImageDraw.Draw(mask).ellipse((0, 0, side, side), fill=255)
        pictures = []
        for thing in photographs[20:32:3]:
            scene = ground.copy()
            corner = ((ground.width - side) // 2, (ground.height - side) // 2)
            scene.paste(ImageOps.fit(thing, (side, side)), corner, mask)
            pictures.append(scene)
        scenes[f"still scene {number + 1}"] = pictures
    return scenes


def families(count: int = COUNT, seed: int = 1) -> dict[str, list[Image.Image]]:
    """Families of pictures, no two of which are the same."""
    drawn: dict[str, Callable[[random.Random, int], Image.Image]] = {
        **{
            f"slides of deck {style + 1}": lambda rng, n, style=style: slide(rng, n, style)
            for style in range(len(DECKS))
        },
        "slides, header only": lambda rng, n: slide(rng, n, 0, lines=0),
        "titles on white": lambda rng, _: title(rng, 0),
        "titles on blue": lambda rng, _: title(rng, 1),
        "pages with paragraphs": lambda rng, _: page(rng, ragged=True),
        "full pages": lambda rng, _: page(rng),
        "pages in small print": lambda rng, _: page(rng, px=8),
        "terminals": lambda rng, _: terminal(rng),
        "pages of a shop": lambda rng, _: shop(rng),
        "bar charts": lambda rng, _: chart(rng, bars=True),
        "line charts": lambda rng, _: chart(rng, bars=False),
        "receipts": lambda rng, _: receipt(rng),
        "tables": lambda rng, _: sheet(rng),
        "brick walls": lambda rng, _: bricks(rng),
        "noise": lambda rng, _: noise(rng),
        "gradients": lambda rng, _: gradient(rng),
        "sunsets": lambda rng, _: sunset(rng),
    }
    return {
        name: [
            draw(random.Random(f"{name} {seed} {number}"), number + 1) for number in range(count)
        ]
        for name, draw in drawn.items()
    }
