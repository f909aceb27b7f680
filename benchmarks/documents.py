"""Pages of PDF files read a second, beside those of another checkout.

`python -m benchmarks.documents [OTHER]`; OTHER is the root of a checkout, whose runs alternate with
those of this one. Times are of the processor, in a process for each run; the files are made here.
"""

from __future__ import annotations

import io
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

PAIRS = 7
READER = """
import sys, time
from pathlib import Path
from mmsearch.media.base import LoadOptions
from mmsearch.media.registry import load
path, options = Path(sys.argv[1]), LoadOptions()
times = []
for _ in range(4):
    start = time.process_time()
    for content in load(path, options):
        pass
    times.append(time.process_time() - start)
print(min(times[1:]))
"""
WORDS = ("river", "bends", "past", "the", "old", "mill", "where", "stones", "hold", "its", "water")
FONT = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"


def pdf_of(pages: list[tuple[str, str, str]], streams: list[tuple[str, bytes]]) -> bytes:
    """A PDF of pages (content, resources, entries) and further streams, numbered from 3."""
    first_page = 3 + len(streams)
    kids = " ".join(f"{first_page + 2 * at} 0 R" for at in range(len(pages)))
    objects: list[bytes] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
    ]
    for entries, data in streams:
        head = f"<< {entries} /Length {len(data)} >>\nstream\n".encode()
        objects.append(head + data + b"\nendstream")
    for at, (content, resources, entries) in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {entries} /Resources "
            f"<< {resources} >> /Contents {first_page + 2 * at + 1} 0 R >>".encode()
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream".encode())
    out, offsets = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, each in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + each + b"\nendobj\n")
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    trailer = f"trailer << /Root 1 0 R /Size {len(objects) + 1} >>\nstartxref\n{start}\n%%EOF\n"
    out.write(trailer.encode())
    return out.getvalue()


def lines_of_text(dice: random.Random, *, by_word: bool) -> str:
    """45 lines, each drawn at once or word by word, as typesetters do."""
    rows = []
    for row in range(45):
        words = dice.choices(WORDS, k=13)
        if by_word:
            shown = " ".join(f"({word} ) Tj {28 + len(word)} 0 Td" for word in words)
        else:
            shown = f"({' '.join(words)}) Tj"
        rows.append(f"BT /F1 10 Tf 50 {790 - row * 16} Td {shown} ET")
    return "\n".join(rows)


def picture(width: int, height: int, seed: int) -> tuple[str, bytes]:
    noise = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).save(buffer, "JPEG", quality=80)
    entries = (
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB "
        "/BitsPerComponent 8 /Filter /DCTDecode"
    )
    return entries, buffer.getvalue()


def text(pages: int = 300) -> bytes:
    dice = random.Random(1)
    return pdf_of([(lines_of_text(dice, by_word=False), FONT, "") for _ in range(pages)], [])


def typeset(pages: int = 300) -> bytes:
    dice = random.Random(2)
    return pdf_of([(lines_of_text(dice, by_word=True), FONT, "") for _ in range(pages)], [])


def linked(pages: int = 300) -> bytes:
    dice = random.Random(3)
    link = "<< /Type /Annot /Subtype /Link /Rect [50 50 99 60] /Dest [3 /Fit] >>"
    links = f"/Annots [{link * 12}]"
    return pdf_of([(lines_of_text(dice, by_word=False), FONT, links) for _ in range(pages)], [])


def with_logo(pages: int = 300) -> bytes:
    dice = random.Random(4)
    logo = "q 90 0 0 30 50 805 cm /Im0 Do Q\n"
    resources = f"{FONT} /XObject << /Im0 3 0 R >>"
    drawn = [(logo + lines_of_text(dice, by_word=True), resources, "") for _ in range(pages)]
    return pdf_of(drawn, [picture(360, 120, 4)])


def scans(pages: int = 12) -> bytes:
    drawn = [
        ("q 595 0 0 842 0 0 cm /Im0 Do Q", f"/XObject << /Im0 {3 + at} 0 R >>", "")
        for at in range(pages)
    ]
    return pdf_of(drawn, [picture(1240, 1754, 10 + at) for at in range(pages)])


KINDS: dict[str, tuple[Callable[[], bytes], int]] = {
    "text, by lines": (text, 300),
    "text, by words": (typeset, 300),
    "text with links": (linked, 300),
    "text with a logo": (with_logo, 300),
    "scans, 2 megapixels": (scans, 12),
}


def processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def read_seconds(root: Path, path: Path) -> float:
    """The processor time of reading a file with the checkout in `root`."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=root,
    )
    return float(done.stdout)


def table(other: Path | None) -> Iterator[str]:
    here = Path(__file__).parent.parent
    yield f"| {processor_name()} | pages a second | other | this / other (median of pairs) |"
    yield "|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.pdf"
        for kind, (make, pages) in KINDS.items():
            path.write_bytes(make())
            own, others = [], []
            for _ in range(PAIRS):
                if other is not None:
                    others.append(pages / read_seconds(other, path))
                own.append(pages / read_seconds(here, path))
            pairs = [mine / theirs for mine, theirs in zip(own, others, strict=False)]
            beside = f"{statistics.median(others):,.0f}" if others else "-"
            ratio = f"{statistics.median(pairs):.3f}" if pairs else "-"
            yield f"| {kind} | {statistics.median(own):,.0f} | {beside} | {ratio} |"


def main() -> None:
    other = Path(sys.argv[1]).resolve() if sys.argv[1:] else None
    for line in table(other):
        print(line, flush=True)


if __name__ == "__main__":
    main()
