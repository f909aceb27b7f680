"""The writing in pictures: how much of it is read, what it costs, and what textless ones cost.

    MMSEARCH_TEST_DATA=... python -m benchmarks.ocr [COUNT]

Three parts: photographs without writing (which of them the cheap look lets pass, and what it and
reading cost in processor time), pictures with writing that is known (how many pass the look, how
many are read, the character error rate), and pages whose letters become smaller.
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import measure
from benchmarks.lettered import examples, fonts, phrase
from mmsearch.encoders.base import Context
from mmsearch.encoders.ocr.pipeline import OcrPipeline
from mmsearch.encoders.ocr.rapidocr import RapidOcr
from mmsearch.media.base import LoadOptions
from mmsearch.media.pictures.text_detection import DETECTION_FIT, detect_text, prepare_ocr_picture
from mmsearch.models.model_store import open_default_store
from mmsearch.models.presets import RAPIDOCR
from mmsearch.runtime.resize import fit_pixels
from mmsearch.segmentation.segmenter import CHUNK_TOKENS, LEGIBLE_PX
from mmsearch.types import Place


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    photographs = sorted((measure.test_data() / "captions" / "images").glob("*.jpg"))
    reader = RapidOcr.load(RAPIDOCR, Context(store=open_default_store(), threads=1))
    reader.read(np.zeros((64, 64, 3), dtype=np.uint8))
    textless = without_writing(photographs, reader)
    with_writing(textless, reader, count)
    small_letters(reader)


def read(pixels: np.ndarray, reader: RapidOcr, *, px: int = LEGIBLE_PX) -> tuple[str, bool]:
    """What a library would know of a picture, and whether it passed the look."""
    seen = prepare_ocr_picture(partial(fit_pixels, pixels), LoadOptions(legible_px=px))
    if seen is None:
        return "", False
    writing = OcrPipeline(lambda: reader, _count_tokens, max_tokens=CHUNK_TOKENS)
    found = writing.feed(Place(), seen.pixels, seen.boxes)
    return "\n".join(one.paragraph.text for one in found), True


def without_writing(photographs: list[Path], reader: RapidOcr) -> list[Path]:
    """Those in which nothing is written, as far as reading each of them whole can tell."""
    looking_s = reading_s = 0.0
    textless, passed, mistaken = [], 0, 0
    for path in photographs:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        if reader.read(pixels):
            continue
        textless.append(path)
        look = fit_pixels(pixels, DETECTION_FIT)
        looking_s += timed(partial(detect_text, look))
        began = time.process_time()
        text, is_passed = read(pixels, reader)
        reading_s += time.process_time() - began
        passed += is_passed
        mistaken += bool(text)
    count = len(textless)
    print(f"{count} of {len(photographs)} photographs have no writing")
    print(
        f"  stopped by the look {1 - passed / count:.2f}, read all the same {mistaken / count:.2f}"
    )
    print(
        f"  look {1e3 * looking_s / count:.1f} ms, all {1e3 * reading_s / count:.1f} ms of a core"
    )
    return textless


def with_writing(textless: list[Path], reader: RapidOcr, count: int) -> None:
    rows: defaultdict[str, list[tuple[bool, float, float]]] = defaultdict(list)
    for example in examples(textless, count):
        began = time.process_time()
        text, is_passed = read(example.pixels, reader)
        seconds = time.process_time() - began
        if not is_passed or not text:
            # Only what could be read at all counts against the look.
            whole = "\n".join(line.text for line in reader.read(example.pixels))
            if error_rate(example.text, whole) > 0.5:
                continue
        rows[example.kind].append((is_passed, error_rate(example.text, text), seconds))
    for kind, results in rows.items():
        passed, errors, seconds = (np.array(column) for column in zip(*results, strict=True))
        print(
            f"{kind}: {len(results)}, past the look {passed.mean():.3f}, "
            f"read (half the letters or more) {(errors <= 0.5).mean():.3f}, "
            f"character error rate of these {errors[errors <= 0.5].mean():.3f}, "
            f"{seconds.mean():.2f} s of a core"
        )


def small_letters(reader: RapidOcr) -> None:
    """A page of A4 at 300 dots an inch, and a screenshot, whose letters are smaller each time."""
    chance = random.Random(2)
    a4, screen = (2480, 3508), (1920, 1080)
    for name, size, size_px in (
        *((f"A4, {points} points", a4, round(points * 300 / 72)) for points in (12, 10, 8, 6)),
        *((f"1920 x 1080, letters of {px} px", screen, px) for px in (20, 16, 12, 10)),
    ):
        image = Image.new("RGB", size, "white")
        draw, font = ImageDraw.Draw(image), fonts(size_px)[0]
        lines = [phrase(chance, 6) for _ in range(10)]
        for at, line in enumerate(lines):
            spot = (size[0] // 10, size[1] // 12 + at * size_px * 3 // 2)
            draw.text(spot, line, fill="black", font=font)
        rates = []
        for px in (1024, 1600, 2048):
            began = time.process_time()
            text, _ = read(np.asarray(image), reader, px=px)
            spent_s = time.process_time() - began
            rates.append(f"{px} px {error_rate(chr(10).join(lines), text):.2f} ({spent_s:.1f} s)")
        print(f"{name}: character error rate at {', '.join(rates)}")


def timed(call: Callable[[], object], times: int = 3) -> float:
    """Processor seconds of the fastest of some calls."""
    best = float("inf")
    for _ in range(times):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best


def error_rate(truth: str, said: str) -> float:
    """Levenshtein distance over the length of the truth; case and blanks do not count."""
    one, other = ("".join(text.split()).casefold() for text in (truth, said))
    row = list(range(len(other) + 1))
    for i, mark in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, against in enumerate(other, start=1):
            cost = min(row[j] + 1, row[j - 1] + 1, before + (mark != against))
            before, row[j] = row[j], cost
    return row[-1] / max(1, len(one))


def _count_tokens(texts: list[str]) -> list[int]:
    return [len(text) // 4 + 1 for text in texts]


if __name__ == "__main__":
    main()
