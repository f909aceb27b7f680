"""The image encoder `tagging`: pictures as mixtures of class names (ConSE) in MiniLM's space."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmsearch.encoders.base import PictureCode, PreparedPicture
from mmsearch.encoders.unit_rows import normalize_rows
from mmsearch.errors import ConfigError, WeightsMismatch, WeightsMissing
from mmsearch.models.weights import hash_file_once
from mmsearch.runtime.onnx import OnnxModel
from mmsearch.types import Box, PictureFit, Space, Tag, WeightFile

if TYPE_CHECKING:
    from mmsearch.encoders.base import Context, TextEncoder
    from mmsearch.models.presets import ModelSpec
    from mmsearch.types import FloatArray, PixelArray

NETWORK = "tagger.onnx"
CLASSES = "classes.npz"
SHA256 = {
    NETWORK: "3bfa23ec02e2a4576676106a40eb046bea5bf2d01911887ab60e3eb9635453e7",
    CLASSES: "02773de6c452c67ff057a1fe1fbcc56ae025315954d6e1633b5da3292be97310",
}
IMAGE_SPACE = Space(
    name="image",
    dim=384,
    metric="cosine",
    model="efficientnet-lite2/all-MiniLM-L6-v2",
    revision="conse-1",
    weights_sha256=hashlib.sha256("".join(SHA256.values()).encode()).hexdigest(),
    files=(
        WeightFile(NETWORK, SHA256[NETWORK], 6_343_621),
        WeightFile(CLASSES, SHA256[CLASSES], 890_290),
    ),
)

CROP_PX = 260
WINDOW = 0.7
"""Side of a window as a fraction of the picture's shorter side. On 380 captions of 76 photographs
R@1, R@5 and R@10 are 0.50, 0.88 and 0.94, and from 0.6 to 0.8 within 0.03 of that; with the whole
picture alone they are 0.47, 0.83 and 0.96."""
LONG = 2.1
"""The ratio of sides from which three such windows no longer reach from end to end."""
TEMPERATURE = 2.0
"""Divides the logits: the network is sure of one class where a picture shows several things. R@1 is
0.41 at 1, and between 0.48 and 0.50 from 1.5 to 3."""
NEAREST_CLASSES = 5
MAX_TAGS = 5
MIN_TAG_PROBABILITY = 0.1
CROPS_PER_RUN = 12


def choose_windows(width_px: int, height_px: int) -> tuple[Box, ...]:
    """Returns the six windows of a picture: all of it, four corners and the middle.

    The last five are squares. In a picture longer than `LONG` they lie in a row instead, as high
    as it is, and are as much longer than high as it takes to overlap.
    """
    whole = Box(0.0, 0.0, 1.0, 1.0)
    shorter = min(width_px, height_px)
    ratio = max(width_px, height_px) / shorter
    if ratio <= LONG:
        across, down = WINDOW * shorter / width_px, WINDOW * shorter / height_px
        places = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))
        corners = [(x * (1 - across), y * (1 - down)) for x, y in places]
        return (whole, *(Box(x, y, min(x + across, 1), min(y + down, 1)) for x, y in corners))
    side = max(1 / ratio, 0.3)
    spans = [(start, min(start + side, 1.0)) for start in (i * (1 - side) / 4 for i in range(5))]
    if width_px > height_px:
        return (whole, *(Box(start, 0.0, end, 1.0) for start, end in spans))
    return (whole, *(Box(0.0, start, 1.0, end) for start, end in spans))


def cut_windows(pixels: PixelArray) -> PreparedPicture:
    """Cuts the windows out of (height, width, 3) uint8 RGB and scales each to 260 x 260."""
    height_px, width_px = pixels.shape[:2]
    boxes = choose_windows(width_px, height_px)
    picture = Image.fromarray(pixels)
    crops = np.empty((len(boxes), CROP_PX, CROP_PX, 3), dtype=np.uint8)
    for crop, box in zip(crops, boxes, strict=True):
        right, bottom = min(box.x1 * width_px, width_px), min(box.y1 * height_px, height_px)
        corners = (box.x0 * width_px, box.y0 * height_px, right, bottom)
        size = (CROP_PX, CROP_PX)
        scaled = picture.resize(size, Image.Resampling.BILINEAR, box=corners, reducing_gap=2.0)
        crop[:] = np.asarray(scaled)
    return PreparedPicture(crops, boxes)


@dataclass(frozen=True, slots=True)
class _Classes:
    names: list[str]
    vectors: FloatArray
    unit_vectors: FloatArray
    centre: FloatArray


class TaggingEncoder:
    """Multiplies class probabilities by text vectors of the classes (Norouzi et al., ICLR 2014).

    For a crop with logits z, v = sum over classes c of softmax(z / T)[c] * (t[c] - m), made unit;
    t[c] is the mean MiniLM vector of sentences about class c, m the mean of t. A text vector q
    enters as q - m, made unit. A picture is as near to a query as the best of its crops is.
    """

    kind = "image"
    space = IMAGE_SPACE
    fit = PictureFit("within", 512, "lanczos")
    """With 640 recall is the same."""
    logit_scale = 11.0
    """For a softmax over labels: fitted on 56 photographs, each of one of 30 labels by its captions
    (`benchmarks/labels.py`); from 10 to 12 the likelihood is the same within 1 %."""

    def __init__(
        self,
        folder: Path,
        *,
        text: Callable[[], TextEncoder] | None = None,
        threads: int | None = None,
    ) -> None:
        self._folder = folder
        self._text = text
        self._threads = threads

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Space:
        """Returns the space of all models of this kind."""
        del spec, context
        return cls.space

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> TaggingEncoder:
        """Takes the packaged files; their first use raises WeightsMissing or WeightsMismatch."""
        del spec
        folder = Path(str(resources.files("mmsearch"))) / "models/data/mini"
        return cls(folder, text=context.text, threads=context.threads)

    def prepare(self, pixels: PixelArray) -> PreparedPicture:
        """Cuts and scales (height, width, 3) uint8 RGB; safe to call from many threads."""
        return cut_windows(pixels)

    def encode(self, pictures: Sequence[PreparedPicture]) -> list[PictureCode]:
        """Embeds a batch; the result does not depend on which pictures are in it together."""
        if not pictures:
            return []
        crops = np.concatenate([picture.crops for picture in pictures])
        runs = (crops[i : i + CROPS_PER_RUN] for i in range(0, len(crops), CROPS_PER_RUN))
        probabilities = np.concatenate([self._network.run({"pixels": run})[0] for run in runs])
        ends = np.cumsum([len(picture.boxes) for picture in pictures])
        parts = np.split(probabilities, ends[:-1])
        return [
            PictureCode(self._mix_classes(part), picture.boxes, self._select_tags(part))
            for part, picture in zip(parts, pictures, strict=True)
        ]

    def project_text(self, vectors: FloatArray) -> FloatArray:
        """Maps (n, 384) MiniLM vectors to (n, 384) unit rows of this space."""
        return normalize_rows(vectors - self._classes.centre)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Returns (n, 384) unit rows, by way of the library's text encoder."""
        if self._text is None:
            raise ConfigError("the image model 'tagging' takes words through a text encoder")
        return self.project_text(self._text().encode_queries(texts))

    def ceiling(self, queries: FloatArray) -> float:
        """Returns the greatest similarity to any of (n, dim) unit rows that a picture can have.

        It is the similarity of the nearest class, plus half of its distance to the mean of the five
        nearest: if the words name one class, a picture has to be of that class.
        """
        near = np.sort(queries @ self._classes.unit_vectors.T, axis=1)[:, -NEAREST_CLASSES:]
        if not near.size:
            return 0.0
        return float((1.5 * near[:, -1] - near.mean(axis=1)).max())

    def _mix_classes(self, probabilities: FloatArray) -> FloatArray:
        flat = probabilities ** (1 / TEMPERATURE)
        return normalize_rows((flat / flat.sum(axis=1, keepdims=True)) @ self._classes.vectors)

    def _select_tags(self, probabilities: FloatArray) -> tuple[Tag, ...]:
        best = probabilities.max(axis=0)
        order = np.argsort(-best, kind="stable")[:MAX_TAGS]
        names = self._classes.names
        return tuple(Tag(names[i], float(best[i])) for i in order if best[i] >= MIN_TAG_PROBABILITY)

    @cached_property
    def _network(self) -> OnnxModel:
        return OnnxModel.open(self._verify_file(NETWORK), threads=self._threads)

    @cached_property
    def _classes(self) -> _Classes:
        with np.load(self._verify_file(CLASSES), allow_pickle=False) as archive:
            vectors, centre = (archive[name].astype(np.float32) for name in ("vectors", "centre"))
            return _Classes(archive["names"].tolist(), vectors, normalize_rows(vectors), centre)

    def _verify_file(self, name: str) -> Path:
        path = self._folder / name
        if not path.is_file():
            raise WeightsMissing(f"{path} is missing: pip install --force-reinstall mmsearch")
        if (sha256 := hash_file_once(path)) != SHA256[name]:
            raise WeightsMismatch(
                f"{path} has sha256 {sha256}, but {SHA256[name]} was pinned: "
                "pip install --force-reinstall mmsearch"
            )
        return path
