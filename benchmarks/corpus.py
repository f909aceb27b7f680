"""Libraries and folders of a given size, for measuring what does not depend on their content."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

from mmsearch.encoders.bundle import Encoders
from mmsearch.models import presets
from mmsearch.models.provisioning import Runtime
from mmsearch.store.manifest import Manifest
from mmsearch.store.rows import EncodedAsset, EncodedSegment, FileRow
from mmsearch.store.writer import Lock, Writer, create
from mmsearch.types import (
    Asset,
    Box,
    Metadata,
    Modality,
    Place,
    Segment,
    SegmentKind,
    Span,
    Tag,
    Vectors,
    segment_id,
)

IMAGE_VECTORS = 6
WORDS = Path(__file__).read_text().split()


def _unit(generator: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    values = generator.standard_normal((rows, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def library(path: Path, segments: int) -> None:
    """A library of so many segments: half pictures of six vectors, a third text, the rest sound.

    The vectors are random directions: exact search takes as long for them as for any other.
    """
    encoders = Encoders(presets.find_preset(presets.DEFAULT_PRESET), Runtime().create_context())
    create(path, Manifest(presets.DEFAULT_PRESET, encoders.preset.speech.source, encoders.spaces))
    generator = np.random.default_rng(7)
    words = random.Random(7)
    assets = []
    made = 0
    with Lock(path):
        writer = Writer.open(path)
        while made < segments:
            number = len(assets)
            name = hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()
            kind = (Modality.IMAGE, Modality.TEXT, Modality.IMAGE, Modality.AUDIO)[number % 4]
            count = 1 if kind is Modality.IMAGE else 8
            parts = [_segment(name, kind, i, encoders, generator, words) for i in range(count)]
            asset = Asset(name, kind, 1000, Metadata(format="made"))
            assets.append(EncodedAsset(asset, tuple(parts)))
            made += count
        for begin in range(0, len(assets), 500):
            writer.add_assets(assets[begin : begin + 500])
        rows = [
            FileRow(f"/made/{words.choice(WORDS)}/{i}.bin", one.asset.id, 1000, i)
            for i, one in enumerate(assets)
        ]
        writer.add_files(rows)
        writer.close()


def _segment(
    asset: str,
    modality: Modality,
    number: int,
    encoders: Encoders,
    generator: np.random.Generator,
    words: random.Random,
) -> EncodedSegment:
    text = None
    tags: tuple[Tag, ...] = ()
    if modality is Modality.IMAGE:
        kind, place, space, rows = SegmentKind.IMAGE, Place(), "image", IMAGE_VECTORS
        tags = (Tag("made", 0.5),)
    elif modality is Modality.TEXT:
        kind, place, space, rows = SegmentKind.TEXT, Place(chars=(number, number + 1)), "text", 1
        text = " ".join(words.choices(WORDS, k=80))
    else:
        span = Span(10.0 * number, 10.0 * number + 10.0)
        kind, place, space, rows = SegmentKind.SOUND, Place(span=span), "sound", 1
    values = _unit(generator, rows, encoders.get_space(space).dim)
    boxes = tuple(Box(0.0, 0.0, 1.0, 1.0) for _ in range(rows)) if space == "image" else None
    segment = Segment(segment_id(asset, kind, place), asset, kind, place, text, tags)
    return EncodedSegment(segment, (Vectors(space, values, boxes),))


def text_files(folder: Path, count: int) -> None:
    """So many small text files, a hundred a folder."""
    words = random.Random(7)
    for number in range(count):
        below = folder / f"{number // 100:04d}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"note_{number:05d}.txt").write_text(" ".join(words.choices(WORDS, k=12)))


def library_in_child(path: Path, segments: int) -> None:
    """The same from a process of its own: a child's peak memory starts at its parent's."""
    subprocess.run([sys.executable, "-m", "benchmarks.corpus", path, str(segments)], check=True)


if __name__ == "__main__":
    library(Path(sys.argv[1]), int(sys.argv[2]))
