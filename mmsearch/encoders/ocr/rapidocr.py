"""Reads text in pictures with the PP-OCR networks packaged with RapidOCR; fetches nothing."""

from __future__ import annotations

import logging
import threading
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.config import cpu_count
from mmsearch.encoders.base import TextLine
from mmsearch.errors import MissingExtra, WeightsMissing
from mmsearch.models.weights import hash_file_once, hash_weights
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
MIN_PROBABILITY = 0.8
"""Of 76 photographs and 40 more, lines below it were nearly all no text."""
MIN_GLANCE_PROBABILITY = 0.5
"""The same in the quick test, whose parts may cut through letters."""
MAX_LINES = 512
MAX_LINE_LENGTH = 100.0
MAX_TOTAL_LENGTH = 4000.0
"""Limits for one picture: lines, the length of a line in its heights, and all such lengths: a full
page has 60 lines of 45, one of a newspaper 400 of 10. The rest is passed over."""
MAX_GLANCE_LINES = 4
MAX_PARALLEL = 4
"""Pictures that are read in parallel: each takes some 200 MB."""
_MIN_LETTERS = 2
SHORT_SIDE_PX = 736
LONG_SIDE_PX = 1600
_MIN_SIDE_PX = 64


def is_installed() -> bool:
    """Tests if the packages of the extra are here; imports none of them."""
    return all(util.find_spec(package) is not None for package in PACKAGES)


class RapidOcr:
    """Reads the text of pictures in any language that PP-OCR's recogniser knows."""

    kind = "ocr"
    patterns: tuple[str, ...] = ()

    def __init__(self, engine: Any, *, at_once: int = 1) -> None:
        self.model = NAME
        self._engine = engine
        self._turns = threading.BoundedSemaphore(at_once)

    @classmethod
    def describe(cls, spec: ModelSpec, context: Context) -> Provenance:
        """Returns the provenance of the networks; raises MissingExtra or WeightsMissing."""
        del spec, context
        folder = _find_folder()
        files = tuple(_describe_file(folder / name) for name in (DETECTOR, RECOGNISER))
        return Provenance("PP-OCRv6-small", metadata.version(NAME), hash_weights(files), files)

    @classmethod
    def load(cls, spec: ModelSpec, context: Context) -> RapidOcr:
        """Opens the networks on the CPU; raises MissingExtra or WeightsMissing."""
        del spec
        folder = _find_folder()
        from rapidocr import RapidOCR

        engine = RapidOCR(
            params={
                # Named by their files, networks are never looked for on the network.
                "Det.model_path": str(folder / DETECTOR),
                "Rec.model_path": str(folder / RECOGNISER),
                "Global.use_cls": False,  # no text upside down: a photograph says how it lies
                "Global.log_level": "critical",
                # It would draw out a picture of 1 x 400 to 32 x 12800: `_padded` does instead.
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "Det.limit_side_len": _MIN_SIDE_PX,
                "Det.max_candidates": 2 * MAX_LINES,
                # One thread each, several pictures at a time: ONNX Runtime's other threads spin
                # while they wait, which took a third more of the processors and no less time.
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            }
        )
        return cls(engine, at_once=min(context.threads or cpu_count(), MAX_PARALLEL))

    def read(self, pixels: PixelArray) -> list[TextLine]:
        """Returns the sure lines of (height, width, 3) uint8 RGB, from the top.

        An error of the library is logged, and the picture has no lines.
        """
        return self._read(_enlarge(pixels), MAX_LINES, MIN_PROBABILITY)

    def glance(self, pixels: PixelArray) -> bool:
        """Tests if any of the first few lines that are detected can be read."""
        return bool(self._read(pixels, MAX_GLANCE_LINES, MIN_GLANCE_PROBABILITY))

    def _read(self, pixels: PixelArray, max_lines: int, min_probability: float) -> list[TextLine]:
        height, width = pixels.shape[:2]
        try:
            with self._turns:
                lines = list(
                    self._iterate_lines(np.ascontiguousarray(pixels[:, :, ::-1]), max_lines)
                )
            return [line for line in lines if line.probability >= min_probability]
        except MemoryError:
            raise
        except Exception:  # OpenCV, shapely and the runtime each raise their own
            logger.warning("a picture of %d x %d could not be read", width, height, exc_info=True)
            return []

    def _iterate_lines(self, bgr: PixelArray, max_lines: int) -> Iterator[TextLine]:
        """Yields lines of at least two letters, with upright boxes as fractions of the picture."""
        height, width = bgr.shape[:2]
        bgr = _pad(bgr)
        corners = self._engine(bgr, use_det=True, use_cls=False, use_rec=False).boxes
        if corners is None or not len(corners):
            return
        quads = corners[_select_affordable(corners)[:max_lines]].astype(np.float32)
        if not len(quads):
            return
        output = self._engine.recognize_txt(self._engine.crop_text_regions(bgr, quads))
        for text, quad, probability in zip(output.txts, quads, output.scores, strict=True):
            line = " ".join(str(text).split())
            if sum(map(str.isalnum, line)) < _MIN_LETTERS:
                continue
            (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
            # The padding lies to the right and below.
            edges = np.clip([x0 / width, y0 / height, x1 / width, y1 / height], 0.0, 1.0)
            yield TextLine(line, Box(*(float(edge) for edge in edges)), float(probability))


def _enlarge(pixels: PixelArray) -> PixelArray:
    """Scales a small picture up to the size of the networks' training, at most by two."""
    import cv2

    height, width = pixels.shape[:2]
    factor = min(SHORT_SIDE_PX / min(height, width), LONG_SIDE_PX / max(height, width), 2.0)
    if factor <= 1:
        return pixels
    size = (round(width * factor), round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _pad(pixels: PixelArray) -> PixelArray:
    """Extends a thin picture to the least size of the detector, by its last pixels."""
    height, width = pixels.shape[:2]
    below, beside = max(0, _MIN_SIDE_PX - height), max(0, _MIN_SIDE_PX - width)
    if below == beside == 0:
        return pixels
    return np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")


def _select_affordable(corners: NDArray[np.float32]) -> NDArray[np.intp]:
    """Returns the indices of the (n, 4, 2) quadrangles to read: the first within the limits."""
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    across, down = sides[:, ::2].max(axis=1), sides[:, 1::2].max(axis=1)
    lengths = np.maximum(across, down) / np.maximum(np.minimum(across, down), 1.0)
    lengths[lengths > MAX_LINE_LENGTH] = np.inf
    order = np.flatnonzero(np.isfinite(lengths))[:MAX_LINES]
    return order[np.cumsum(lengths[order]) <= MAX_TOTAL_LENGTH]


def _find_folder() -> Path:
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


def _describe_file(path: Path) -> WeightFile:
    return WeightFile(path.name, hash_file_once(path), path.stat().st_size)
