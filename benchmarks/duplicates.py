"""Near-duplicates: how many altered pictures are grouped with their original, and what is wrongly.

`python -m benchmarks.duplicates [FOLDER of photographs]`; without one, the photographs are those of
`$MMSEARCH_TEST_DATA/captions`. Every picture goes through the decoder's fit, as it does on its way
into a library. Asked for: at least 95 % grouped with their original, less than 1 % wrongly.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks import drawn, measure
from mmsearch.duplicates.grouping import group_thumbprints
from mmsearch.media.base import LoadOptions, Picture
from mmsearch.media.pictures.thumbprint import THUMBPRINT_BYTES, compute_thumbprint, remove_padding
from mmsearch.media.registry import load
from mmsearch.runtime.resize import fit_pixels
from mmsearch.types import PictureFit

COUNT = 50
SAMPLES = Path(__file__).parents[1] / "sample_data"
MINI = PictureFit("within", 512, "lanczos")
FITS = {
    "within 512": MINI,
    "shortest 224": PictureFit("shortest", 224, "bicubic"),
    "squash 256": PictureFit("squash", 256, "bilinear"),
    "letterbox 384": PictureFit("letterbox", 384, "bicubic"),
}
Alteration = Callable[[Image.Image], Image.Image]


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.LANCZOS)


def cropped(picture: Image.Image, *edges: float) -> Image.Image:
    """Without so much at the left, the top, the right and the bottom, as fractions of the sides."""
    left, top, right, bottom = edges
    width, height = picture.size
    box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
    return picture.crop(tuple(map(round, box)))  # type: ignore[arg-type]  # four


def grey(picture: Image.Image) -> Image.Image:
    return picture.convert("L").convert("RGB")


ASKED: dict[str, Alteration] = {
    "half the size": lambda one: scaled(one, 0.5),
    "JPEG quality 40": lambda one: jpeg(one, 40),
    "crop, 5 % of each edge": lambda one: cropped(one, 0.05, 0.05, 0.05, 0.05),
    "mirror": ImageOps.mirror,
    "grey": grey,
}
MORE: dict[str, Alteration] = {
    "crop, 2.5 % of each edge": lambda one: cropped(one, 0.025, 0.025, 0.025, 0.025),
    "crop, 5 % at the left": lambda one: cropped(one, 0.05, 0, 0, 0),
    "crop, 5 % at a corner": lambda one: cropped(one, 0, 0, 0.05, 0.05),
    "crop, 3, 1, 0 and 6 %": lambda one: cropped(one, 0.03, 0.01, 0, 0.06),
    "crop, 10 % at the top": lambda one: cropped(one, 0, 0.1, 0, 0),
    "a quarter of the size": lambda one: scaled(one, 0.25),
    "1.7 times the size": lambda one: scaled(one, 1.7),
    "JPEG quality 15": lambda one: jpeg(one, 15),
    "gamma 0.8": lambda one: one.point(lambda level: int(255 * (level / 255) ** 0.8)),
    "crop, half, JPEG 40": lambda one: jpeg(scaled(ASKED["crop, 5 % of each edge"](one), 0.5), 40),
    "mirror, grey, 0.4, JPEG 40": lambda one: jpeg(scaled(grey(ImageOps.mirror(one)), 0.4), 40),
}


def photographs(folder: Path) -> list[Image.Image]:
    """The pictures of a folder, decoded as for a library and not scaled."""
    whole = LoadOptions(picture=PictureFit("within", 4096, "lanczos"))
    found = []
    for path in sorted(folder.iterdir()):
        pictures = [one for one in load(path, whole) if isinstance(one, Picture)]
        found += [Image.fromarray(one.pixels) for one in pictures[:1]]
    return found


def look(picture: Image.Image, fit: PictureFit = MINI) -> bytes | None:
    pixels = fit_pixels(np.asarray(picture), fit)
    return compute_thumbprint(remove_padding(pixels, fit, *picture.size))


def groups(looks: Sequence[bytes | None]) -> dict[int, list[int]]:
    places = np.array([at for at, one in enumerate(looks) if one is not None], dtype=np.int64)
    flat = np.frombuffer(b"".join(one for one in looks if one is not None), dtype=np.uint8)
    return group_thumbprints(flat.reshape(-1, THUMBPRINT_BYTES), places, len(looks))


def recall(
    originals: Sequence[bytes | None], altered: Iterable[Sequence[bytes | None]]
) -> tuple[int, int, int]:
    """How many altered pictures are grouped with their original, how many with another, of all."""
    count = len(originals)
    looks = [*originals, *(one for kind in altered for one in kind)]
    right = wrong = 0
    for leader, found in groups(looks).items():
        right += sum(one % count == leader and leader < count for one in found)
        wrong += sum(one % count != leader % count for one in found)
    return right, wrong, len(looks) - count


def told(name: str, found: tuple[int, int, int]) -> None:
    right, wrong, of = found
    print(
        f"  {name:<28} {right:4d} of {of:4d} = {right / of:6.1%}   wrong {wrong} = {wrong / of:.1%}"
    )


def strangers(name: str, pictures: Sequence[Image.Image]) -> int:
    """Print and return how many of different pictures are put under another."""
    wrong = sum(len(found) for found in groups([look(one) for one in pictures]).values())
    print(f"  {name:<28} {wrong} of {len(pictures)} put under another")
    return wrong


def frames(path: Path) -> list[Image.Image]:
    """Frames of a video as they are taken for a library."""
    options = LoadOptions(picture=PictureFit("within", 640, "lanczos"))
    contents = load(path, options)
    return [Image.fromarray(one.pixels) for one in contents if isinstance(one, Picture)]


def milliseconds(run: Callable[[], object], times: int = 20) -> str:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - begun))
    return f"{np.median(taken):.2f} ms (fastest {min(taken):.2f})"


def speed(pictures: Sequence[Image.Image], originals: Sequence[bytes | None]) -> None:
    for side in (224, 512, 1024):
        pixels = np.asarray(pictures[0].resize((side, side * 3 // 4)))
        taken = milliseconds(lambda p=pixels: compute_thumbprint(p))
        print(f"  thumbprint of {side} x {side * 3 // 4}: {taken}")
    # Photographs mirrored upside down, halves and quarters are other pictures of the same kind.
    parts = (1.0, 0.5, 0.35)
    others = [
        look(cropped(one, left, top, 1 - left - part, 1 - top - part).rotate(turn))
        for one in pictures
        for part in parts
        for left, top, turn in ((0.0, 0.0, 180), (1 - part, 1 - part, 0))
    ][:300]
    flat = np.frombuffer(b"".join(one for one in others if one), np.uint8).reshape(
        -1, THUMBPRINT_BYTES
    )
    places = np.arange(len(flat))
    for limit in (10, 50, None):
        taken = milliseconds(lambda n=limit: group_thumbprints(flat, places, len(flat), limit=n))
        print(f"  {len(flat)} different pictures, {limit or 'all'} groups: {taken}")
    same = [look(change(one)) for one in pictures[:10] for change in ASKED.values()]
    flat = np.frombuffer(
        b"".join(one for one in [*same, *originals, *others] if one), np.uint8
    ).reshape(-1, THUMBPRINT_BYTES)[:300]
    taken = milliseconds(
        lambda: group_thumbprints(flat, np.arange(len(flat)), len(flat), limit=50), 5
    )
    print(f"  {len(flat)} with 10 pictures in five versions each, 50 groups: {taken}")


def main() -> None:
    named = Path(sys.argv[1]) if len(sys.argv) > 1 else measure.test_data() / "captions" / "images"
    everything = photographs(named)
    pictures = everything[:COUNT]
    for fit_name, fit in FITS.items():
        print(f"{len(pictures)} photographs, pictures {fit_name}: grouped with their original")
        originals = [look(one, fit) for one in pictures]
        kinds = ASKED if fit is not MINI else ASKED | MORE
        altered = {
            name: [look(change(one), fit) for one in pictures] for name, change in kinds.items()
        }
        for name, looks in altered.items():
            told(name, recall(originals, [looks]))
        told("all that is asked for", recall(originals, [altered[name] for name in ASKED]))
    print("different pictures")
    samples = photographs(SAMPLES / "photos")
    strangers("all photographs", everything)
    strangers("sample_data", samples)
    halves = [
        cropped(one, *edges) for one in pictures for edges in ((0, 0, 0.3, 0), (0.3, 0, 0, 0))
    ]
    strangers("two views of a scene (60 %)", halves)
    for name, family in (drawn.families() | drawn.still_scenes(pictures)).items():
        strangers(name, family)
    for video in sorted(SAMPLES.glob("videos/*.mp4")):
        seen = [look(one) for one in frames(video)]
        together = sum(bool(groups(list(pair)).get(0)) for pair in pairwise(seen))
        print(f"  {video.name:<28} {together} of {max(0, len(seen) - 1)} neighbouring frames alike")
    print("time")
    speed(pictures, [look(one) for one in pictures])


if __name__ == "__main__":
    main()
