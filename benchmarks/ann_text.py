"""Embeddings of real sentences: what the installed packages and the standard library say.

Docstrings, comments and documentation (`*.py`, `*.rst`, `*.md`, `*.txt`) are cut into sentences of
5 to 60 words; of those that differ only in case, digits or punctuation one is kept. Whole files are
held out for the queries. Sentences are kept, and vectors in chunks under the hash of theirs: a run
that is cut off goes on there.

`python -m benchmarks.ann_text 100000` makes the vectors of that many sentences and tells the rate.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmsearch.encoders.text.minilm import MiniLmEncoder
    from mmsearch.types import FloatArray

SUFFIXES = (".py", ".rst", ".md", ".txt")
WORDS = (5, 60)
PER_FILE = 200
"""Sentences at most: a change log must not be a tenth of everything."""

MAX_FILE_BYTES = 1_000_000
CHUNK = 2000
_COMMENT = re.compile(r"(?:^[ \t]*#[^!\n].*\n?)+", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_PLAIN = re.compile(r"[\W\d_]+")
_MARK = re.compile(r"^\s*(?:[-*+>#|]+|\d+[.)]|:\w+[^:]*:)\s*")


def files() -> list[Path]:
    """All that may hold sentences, by the hash of their names: as good as at random."""
    paths = sysconfig.get_paths()
    found: dict[str, Path] = {}
    for root in (paths["purelib"], paths["stdlib"]):
        for below, _, names in os.walk(root):
            if root == paths["stdlib"] and "site-packages" in below:
                continue
            for name in names:
                path = Path(below, name)
                if path.suffix in SUFFIXES:
                    found[str(path.relative_to(root))] = path
    return [found[name] for name in sorted(found, key=_hash)]


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()


def sentences(path: Path) -> Iterator[str]:
    """The sentences of a file; of one that cannot be read or parsed, none."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    for passage in _spoken(text) if path.suffix == ".py" else [text]:
        for paragraph in _PARAGRAPH.split(passage):
            if ">>>" in paragraph or "|--" in paragraph:
                continue
            lines = (_MARK.sub("", line).strip() for line in paragraph.splitlines())
            for sentence in _SENTENCE_END.split(" ".join(line for line in lines if line)):
                if _is_prose(sentence):
                    yield sentence


def _spoken(source: str) -> Iterator[str]:
    """Docstrings and comments."""
    for block in _COMMENT.findall(source):
        yield "\n".join(line.strip().lstrip("#") for line in block.splitlines())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's escapes
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _is_prose(sentence: str) -> bool:
    count = len(sentence.split())
    if not WORDS[0] <= count <= WORDS[1] or len(sentence) > 12 * count:
        return False
    return sum(char.isalpha() or char == " " for char in sentence) > 0.85 * len(sentence)


def gather(counts: Iterable[int]) -> list[list[str]]:
    """So many sentences for each of `counts`, none of them alike, each list from other files."""
    seen: set[str] = set()
    left = iter(files())
    found: list[list[str]] = []
    for count in counts:
        kept: list[str] = []
        while len(kept) < count and (path := next(left, None)):
            here = 0
            for sentence in sentences(path):
                key = _hash(_PLAIN.sub(" ", sentence.lower()))
                if key in seen:
                    continue
                seen.add(key)
                kept.append(sentence)
                here += 1
                if here == PER_FILE:
                    break
        found.append(kept[:count])
    return found


def _gathered(counts: Sequence[int], path: Path) -> list[list[str]]:
    """What was gathered before, where that is enough: packages come and go. The last list grows."""
    kept = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if len(kept) < sum(counts):
        lists = gather(counts)
        kept = [" ".join(sentence.split()) for one in lists for sentence in one]
        aside = path.with_suffix(".part")
        aside.write_text("\n".join(kept), encoding="utf-8", errors="replace")
        aside.replace(path)
    edges = np.cumsum([0, *counts]).tolist()
    return [kept[begin:end] for begin, end in pairwise(edges)]


def embeddings(
    count: int, *, held_out: tuple[int, int], cache: Path
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Vectors of two held out lists as float32, and of at most `count` stored ones as float16."""
    cache.mkdir(parents=True, exist_ok=True)
    first, second, stored = _gathered([*held_out, count], cache / "sentences.txt")
    encoder = _Cached(cache)
    return (
        encoder.encode(first).astype(np.float32),
        encoder.encode(second).astype(np.float32),
        encoder.encode(stored),
    )


class _Cached:
    """The text encoder of the preset `mini`, which finds what it did before in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._encoder: MiniLmEncoder | None = None

    def encode(self, texts: list[str]) -> FloatArray:
        """(n, 384) float16 unit rows."""
        parts = [texts[begin : begin + CHUNK] for begin in range(0, len(texts), CHUNK)]
        started, made = time.perf_counter(), 0
        found = []
        for part in parts:
            path = self._folder / f"{_hash(chr(10).join(part))}.npy"
            if not path.exists():
                vectors = self._open().encode(part).astype(np.float16)
                aside = path.with_suffix(".part.npy")
                np.save(aside, vectors)
                aside.replace(path)
                made += len(part)
                rate = made / (time.perf_counter() - started)
                print(f"\r{made:,} sentences, {rate:.0f}/s ", end="", file=sys.stderr, flush=True)
            found.append(np.load(path))
        if made:
            print(file=sys.stderr)
        joined: FloatArray = np.concatenate(found)
        return joined

    def _open(self) -> MiniLmEncoder:
        if self._encoder is None:
            from mmsearch.encoders.text.minilm import MiniLmEncoder
            from mmsearch.models.presets import MINI
            from mmsearch.models.provisioning import Runtime

            threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or None
            self._encoder = MiniLmEncoder.load(MINI.text, Runtime(threads=threads).create_context())
        return self._encoder


def main() -> None:
    from benchmarks.ann_data import Dataset

    data = Dataset("text", int(sys.argv[1]))
    print(f"{data.place}: {data.vectors().shape}")


if __name__ == "__main__":
    main()
