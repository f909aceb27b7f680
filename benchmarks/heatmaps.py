"""Where heat maps point: pictures composed of photographs, each with captions of its own.

Needs `$MMSEARCH_TEST_DATA`. Four photographs are put together in two rows, cut at the middle or
somewhere else; a caption of one of them points right where the hottest place of the map lies in
that photograph. By chance that is a quarter.

    python -m benchmarks.heatmaps
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import measure
from mmsearch.encoders.base import Context, ImageEncoder
from mmsearch.encoders.image.tagging import TaggingEncoder
from mmsearch.encoders.text.minilm import MiniLmEncoder
from mmsearch.library import heatmap, localization
from mmsearch.library.heatmap import HeatMap, spread_heat
from mmsearch.models.presets import MINI, ModelSpec
from mmsearch.models.provisioning import Runtime
from mmsearch.search.query_vectors import QueryVector, WeightedQueryVector
from mmsearch.types import Box

SIDE_PX = 768
PHOTOGRAPHS = 20
USED = "1/2 + 1/3"
SCALES = ((1 / 2, 1 / 3), (1 / 2,), (1 / 3,), (1 / 4,), (1 / 2, 1 / 4), (1 / 2, 1 / 3, 1 / 4))


@dataclass(frozen=True, slots=True)
class Composed:
    """A picture of four, where they meet as fractions, and the captions of each by quadrant."""

    pixels: np.ndarray
    meeting: tuple[float, float]
    captions: tuple[tuple[str, ...], ...]

    def quadrant(self, point: tuple[float, float]) -> int:
        return 2 * (point[1] >= self.meeting[1]) + (point[0] >= self.meeting[0])


def photographs(folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    lines = (folder / "captions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [(folder / row["image"], tuple(row["captions"])) for row in rows]


def composed(
    photos: Sequence[tuple[Path, tuple[str, ...]]], *, seed: int = 0, is_even: bool = True
) -> Iterator[Composed]:
    """Each photograph once, four to a picture of 768 x 768, or 768 x 576 where it is not even."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(photos))
    for start in range(0, len(order) - 3, 4):
        four = [photos[i] for i in order[start : start + 4]]
        meeting = (0.5, 0.5) if is_even else tuple(rng.uniform(0.38, 0.62, 2).tolist())
        width, height = SIDE_PX, SIDE_PX if is_even else SIDE_PX * 3 // 4
        across, down = round(meeting[0] * width), round(meeting[1] * height)
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        for at, (path, _) in enumerate(four):
            rows = slice(down, height) if at >= 2 else slice(0, down)
            columns = slice(across, width) if at % 2 else slice(0, across)
            pixels[rows, columns] = filled(path, pixels[rows, columns].shape[:2])
        yield Composed(pixels, meeting, tuple(captions for _, captions in four))


def filled(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The middle of a photograph, as much of it as fills (height, width)."""
    height, width = shape
    with Image.open(path) as file:
        image = file.convert("RGB")
    scale = min(image.width / width, image.height / height)
    across, down = min(image.width, width * scale), min(image.height, height * scale)
    left, top = (image.width - across) / 2, (image.height - down) / 2
    box = (left, top, left + across, top + down)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box))


def probes(captions: Sequence[str], encoder: ImageEncoder) -> list[list[WeightedQueryVector]]:
    vectors = encoder.encode_texts(captions)
    return [[WeightedQueryVector(QueryVector("image", "text", row[None]), 1.0)] for row in vectors]


def stored(pixels: np.ndarray, encoder: ImageEncoder) -> tuple[tuple[Box, ...], np.ndarray]:
    """The parts that a library has of a picture, and their vectors."""
    (code,) = encoder.encode([encoder.prepare(pixels)])
    return code.boxes[1:], code.values[1:]


def contrast(heat: np.ndarray, boxes: Sequence[Box], size: tuple[int, int]) -> float:
    """How far the hottest place stands above the median, in the units of heat."""
    full = heatmap.FULL_HEAT
    # So large that no value is cut off.
    return float(spread_heat(heat * full * 1e-3, boxes, size).max()) * 1e3


class Table:
    """The shares of hottest places that are right, for each way to cut a picture."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder
        self._right: dict[str, list[bool]] = defaultdict(list)
        self._crops: dict[str, int] = {}
        self.own: list[float] = []
        self.strange: list[float] = []

    def add(self, picture: Composed, stranger: str) -> None:
        height, width = picture.pixels.shape[:2]
        ways = {" + ".join(f"1/{1 / scale:.0f}" for scale in scales): scales for scales in SCALES}
        cut = {
            name: localization.cut_into_boxes(width, height, scales)
            for name, scales in ways.items()
        }
        known = {
            scale: localization.cut_into_boxes(width, height, (scale,))
            for scale in (1 / 2, 1 / 3, 1 / 4)
        }
        rows = {
            scale: localization.embed_crops(picture.pixels, boxes, self._encoder)
            for scale, boxes in known.items()
        }
        vectors = {
            name: np.concatenate([rows[scale] for scale in scales]) for name, scales in ways.items()
        }
        cut["stored"], vectors["stored"] = stored(picture.pixels, self._encoder)
        asked = [probes(captions, self._encoder) for captions in picture.captions]
        for name, boxes in cut.items():
            self._crops[name] = len(boxes)
            for quadrant, terms in enumerate(asked):
                for wanted in terms:
                    heat = localization.compute_heat(vectors[name], wanted, MINI.calibrations)
                    values = spread_heat(heat, boxes, (width, height))
                    point = HeatMap(values, (width, height)).hottest
                    self._right[name].append(picture.quadrant(point) == quadrant)
                    if name == USED:
                        self.own.append(contrast(heat, boxes, (width, height)))
        (wanted,) = probes([stranger], self._encoder)
        heat = localization.compute_heat(vectors[USED], wanted, MINI.calibrations)
        self.strange.append(contrast(heat, cut[USED], (width, height)))

    def lines(self) -> Iterator[str]:
        for name, right in self._right.items():
            yield f"{name:<16} {self._crops[name]:3d} crops  {np.mean(right):.3f} of {len(right)}"


def spoken(values: Sequence[float]) -> str:
    low, middle, high = np.percentile(values, [10, 50, 90])
    return f"{low:.2f}, {middle:.2f}, {high:.2f}"


def main() -> None:
    folder = measure.test_data() / "captions"
    photos = photographs(folder)
    encoder = TaggingEncoder.load(ModelSpec("tagging"), text_context())
    for is_even in (True, False):
        table = Table(encoder)
        pictures = list(composed(photos, is_even=is_even))
        for picture, other in zip(pictures, pictures[1:] + pictures[:1], strict=True):
            table.add(picture, other.captions[0][0])
        print("cut at the middle" if is_even else "cut anywhere")
        print("\n".join(table.lines()))
        print(
            f"contrast (10 %, half, 90 %): {spoken(table.own)}; strangers {spoken(table.strange)}"
        )
    seconds, alone = [], []
    for path, captions in photos[:PHOTOGRAPHS]:
        pixels = filled(path, (SIDE_PX * 3 // 4, SIDE_PX))
        (wanted,) = probes(captions[:1], encoder)
        boxes = localization.cut_into_boxes(pixels.shape[1], pixels.shape[0])
        started = time.perf_counter()
        vectors = localization.embed_crops(pixels, boxes, encoder)
        seconds.append(time.perf_counter() - started)
        heat = localization.compute_heat(vectors, wanted, MINI.calibrations)
        alone.append(contrast(heat, boxes, (pixels.shape[1], pixels.shape[0])))
    print(f"photographs by themselves: contrast {spoken(alone)}")
    print(f"seconds a map, {SIDE_PX} x {SIDE_PX * 3 // 4}: {np.median(seconds):.2f}")


def text_context() -> Context:
    context = Runtime(threads=2).create_context()
    text = MiniLmEncoder.load(ModelSpec("minilm"), context)
    return replace(context, text=lambda: text)


if __name__ == "__main__":
    main()
