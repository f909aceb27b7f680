"""Writing in pictures through RapidOCR: its packaged PP-OCR networks, and nothing fetched."""

from __future__ import annotations

import logging
import threading
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.encoders.base import Line
from mmsearch.errors import MissingExtra, WeightsMissing
from mmsearch.models.weights import file_sha256, weights_sha256
from mmsearch.types import Box, Provenance, WeightFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mmsearch.encoders.base import Context
    from mmsearch.models.presets import ModelSpec
    from mmsearch.types import PixelArray

logger = logging.getLogger(__name__)

NAME = "rapidocr"
DETECTOR = "PP-OCRv6_det_small.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
PACKAGES = ("rapidocr", "cv2", "onnxruntime")
LEAST_SURE = 0.8
"""Of 76 photographs and 40 more, lines below it were nearly all no writing."""
LEAST_LIKELY = 0.5
"""The same where a part is glanced at, which may cut through letters."""
MOST_LINES = 512
LONGEST_LINE = 100.0
MOST_WRITING = 4000.0
"""What is read of one picture, in lines, in heights of a line, and in such heights together: a full
page has 60 lines of 45, one of a newspaper 400 of 10. Beyond them the rest is passed over."""
GLANCED_AT = 4
AT_ONCE = 4
"""Pictures that are read side by side: each takes some 200 MB."""
_LEAST_LETTERS = 2
SHORT_SIDE_PX = 736
LONG_SIDE_PX = 1600
_LEAST_SIDE_PX = 64


def is_installed() -> bool:
    """Whether the packages of the extra are here; imports none of them."""
    return all(util.find_spec(package) is not None for package in PACKAGES)


class RapidOcr:
    """Text of pictures by RapidOCR; any language that PP-OCR's recogniser knows."""

    kind = "ocr"
    patterns: tuple[str, ...] = ()

    def __init__(self, engine: Any, *, at_once: int = 1) -> None:
        self.model = NAME
        self._engine = engine
        self._turns = threading.BoundedSemaphore(at_once)

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Provenance:
        """Which networks read; raises MissingExtra or WeightsMissing."""
        del spec, context
        folder = _folder()
        files = tuple(_weight_file(folder / name) for name in (DETECTOR, RECOGNISER))
        return Provenance("PP-OCRv6-small", metadata.version(NAME), weights_sha256(files), files)

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> RapidOcr:
        """The networks on the CPU; raises MissingExtra or WeightsMissing."""
        del spec
        folder = _folder()
        from rapidocr import RapidOCR

        engine = RapidOCR(
            params={
                # Named by their files, networks are never looked for on the network.
                "Det.model_path": str(folder / DETECTOR),
                "Rec.model_path": str(folder / RECOGNISER),
                "Global.use_cls": False,  # no writing upside down: a photograph says how it lies
                "Global.log_level": "critical",
                # It would draw out a picture of 1 x 400 to 32 x 12800: `_padded` does instead.
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "Det.limit_side_len": _LEAST_SIDE_PX,
                "Det.max_candidates": 2 * MOST_LINES,
                # One thread each, several pictures at a time: ONNX Runtime's other threads spin
                # while they wait, which took a third more of the processors and no less time.
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            }
        )
        return cls(engine, at_once=min(context.threads or cpu_count(), AT_ONCE))

    def read(self, pixels: PixelArray) -> list[Line]:
        """The lines in (height, width, 3) uint8 RGB that the networks are sure of, from the top.

        What breaks the library on a picture is logged, and the picture has no lines.
        """
        return self._read(_enlarged(pixels), MOST_LINES, LEAST_SURE)

    def glance(self, pixels: PixelArray) -> bool:
        """Whether any of the first few lines that are found in the pixels can be read."""
        return bool(self._read(pixels, GLANCED_AT, LEAST_LIKELY))

    def _read(self, pixels: PixelArray, most: int, sure: float) -> list[Line]:
        height, width = pixels.shape[:2]
        try:
            with self._turns:
                lines = list(self._lines(np.ascontiguousarray(pixels[:, :, ::-1]), most))
            return [line for line in lines if line.probability >= sure]
        except MemoryError:
            raise
        except Exception:  # OpenCV, shapely and the runtime each raise their own
            logger.warning("a picture of %d x %d could not be read", width, height, exc_info=True)
            return []

    def _lines(self, bgr: PixelArray, most: int) -> Iterator[Line]:
        """Lines of at least two letters, with upright boxes as fractions of the picture."""
        height, width = bgr.shape[:2]
        bgr = _padded(bgr)
        corners = self._engine(bgr, use_det=True, use_cls=False, use_rec=False).boxes
        if corners is None or not len(corners):
            return
        kept = corners[_affordable(corners)[:most]].astype(np.float32)
        if not len(kept):
            return
        read = self._engine.recognize_txt(self._engine.crop_text_regions(bgr, kept))
        for text, quad, probability in zip(read.txts, kept, read.scores, strict=True):
            said = " ".join(str(text).split())
            letters = sum(mark.isalnum() for mark in said)
            if letters < _LEAST_LETTERS:
                continue
            (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
            # What was padded lies to the right and below.
            edges = np.clip([x0 / width, y0 / height, x1 / width, y1 / height], 0.0, 1.0)
            yield Line(said, Box(*(float(edge) for edge in edges)), float(probability))


def _enlarged(pixels: PixelArray) -> PixelArray:
    """A small picture as large as the networks were trained on, twice its size at most."""
    import cv2

    height, width = pixels.shape[:2]
    factor = min(SHORT_SIDE_PX / min(height, width), LONG_SIDE_PX / max(height, width), 2.0)
    if factor <= 1:
        return pixels
    size = (round(width * factor), round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _padded(pixels: PixelArray) -> PixelArray:
    """A thin picture made as wide and as high as the detector needs, by its last pixels."""
    height, width = pixels.shape[:2]
    more = (max(0, _LEAST_SIDE_PX - height), max(0, _LEAST_SIDE_PX - width))
    if more == (0, 0):
        return pixels
    return np.pad(pixels, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge")


def _affordable(corners: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of (n, 4, 2) quadrangles are read: the first, up to what all of them may take."""
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    across, down = sides[:, ::2].max(axis=1), sides[:, 1::2].max(axis=1)
    lengths = np.maximum(across, down) / np.maximum(np.minimum(across, down), 1.0)
    lengths[lengths > LONGEST_LINE] = np.inf
    order = np.flatnonzero(np.isfinite(lengths))[:MOST_LINES]
    return order[np.cumsum(lengths[order]) <= MOST_WRITING]


def _folder() -> Path:
    if not is_installed():
        raise MissingExtra(
            "reading the text of pictures needs the extra: pip install 'mmsearch[ocr]' "
            "(or index into a new library with --no-ocr)"
        )
    spec = util.find_spec(NAME)
    folder = Path(str(spec.origin if spec else "")).parent / "models"
    missing = [name for name in (DETECTOR, RECOGNISER) if not (folder / name).is_file()]
    if missing:
        raise WeightsMissing(
            f"the installed rapidocr does not carry {' and '.join(missing)}: "
            f"pip install --force-reinstall 'mmsearch[ocr]'"
        )
    return folder


def _weight_file(path: Path) -> WeightFile:
    return WeightFile(path.name, file_sha256(path), path.stat().st_size)
