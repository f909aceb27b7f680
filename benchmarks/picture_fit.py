"""How far a picture shrunk in two steps is from one shrunk in one, and what that saves.

`python -m benchmarks.picture_fit [LARGE.jpg ...]`; without files, 12 megapixels are made of the
photographs of the folder in MMSEARCH_TEST_DATA.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmsearch.media.pictures.pixels import draft_jpeg, render_upright
from mmsearch.types import PictureFit

BICUBIC = Image.Resampling.BICUBIC
KEPT = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 5.9, 7.0, 8.0)
SCALES = (2, 4, 8)


def photographs() -> list[Path]:
    folder = Path(os.environ.get("MMSEARCH_TEST_DATA", "../shared/data")) / "captions/images"
    return sorted(folder.glob("*.jpg"))


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def upsampled(path: Path, seed: int) -> Image.Image:
    """4032 x 3024 with the noise of a sensor."""
    with Image.open(path) as small:
        large = np.asarray(small.convert("RGB").resize((4032, 3024)), dtype=np.float32)
    noise = np.random.default_rng(seed).normal(0, 5, large.shape)
    return Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8))


def mosaic(paths: list[Path]) -> Image.Image:
    """4200 x 2960 of photographs as they are: sharper to the last pixel than any camera's."""
    canvas = Image.new("RGB", (4200, 2960))
    for at in range(7 * 8):
        with Image.open(paths[at % len(paths)]) as one:
            canvas.paste(one.convert("RGB").resize((600, 370)), (at % 7 * 600, at // 7 * 370))
    return canvas


def writing() -> Image.Image:
    """4000 x 3000 of black letters on white."""
    canvas = Image.new("RGB", (4000, 3000), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(28)
    for row in range(0, 3000, 36):
        pen.text((10, row), "The quick brown fox jumps over the lazy dog. " * 8, "black", font)
    return canvas


def pictures(named: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in named:
        yield Path(name).name, Path(name).read_bytes()
    if named:
        return
    paths = photographs()
    for at, path in enumerate(paths[:6]):
        yield f"upsampled {at}", jpeg(upsampled(path, at))
    yield "mosaic", jpeg(mosaic(paths))
    yield "text", jpeg(writing())


def best_ms(work: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return 1000 * min(taken)


def decoded(data: bytes, scale: int) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
    image.load()
    return image


def table(data: bytes) -> Iterator[str]:
    whole = decoded(data, 1).convert("RGB")
    width, height = whole.size
    for scale in SCALES:
        if width % scale or height % scale:
            continue
        for kept in KEPT:
            factor = scale * kept
            size = round(width / factor), round(height / factor)
            wanted = np.asarray(whole.resize(size, BICUBIC)).astype(int)
            cells = []
            for made in (decoded(data, scale).convert("RGB"), whole.reduce(scale)):
                error = np.abs(np.asarray(made.resize(size, BICUBIC)).astype(int) - wanted)
                cells.append(
                    f"{error.max():4d} {error.mean():6.3f} {100 * (error > 2).mean():7.4f}"
                )
            yield f"1/{scale} {kept:4.1f}x | {' | '.join(cells)}"


def timings(data: bytes) -> Iterator[str]:
    for px in (224, 256, 384):
        fit = PictureFit("shortest", px, "bicubic")

        def ours(fit: PictureFit = fit) -> object:
            image = Image.open(io.BytesIO(data))
            draft_jpeg(image, fit)
            image.load()
            return render_upright(image, fit)

        def plain(px: int = px) -> object:
            image = decoded(data, 1)
            share = px / min(image.size)
            size = int(image.width * share), int(image.height * share)
            return image.resize(size, BICUBIC).convert("RGB")

        yield f"to {px}: one step {best_ms(plain):6.1f} ms, here {best_ms(ours):6.1f} ms"


def main() -> None:
    print("scale, size kept | JPEG decoded at the scale: worst, mean, % above 2 | means of blocks")
    for name, data in pictures(sys.argv[1:]):
        print(f"\n{name}, {len(data) / 1e6:.1f} MB")
        for line in (*table(data), *timings(data)):
            print(line)


if __name__ == "__main__":
    main()
