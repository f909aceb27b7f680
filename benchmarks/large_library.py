"""A library of a million vectors: cold search, an addition, a removal, a filter, a rebuilt index.

ROWS (default 1,000,000) text segments of ROWS / 10 files, whose vectors are drawn from the clusters
of `ann_data`, cut to the 384 dimensions of the preset `mini`. The tables are written as an
ingest run writes them, but without models. Nothing here says how good a model is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

import mmsearch
from benchmarks import ann_data, measure
from mmsearch.index.index_config import DEFAULT_INDEX_CONFIG
from mmsearch.library.library import Library
from mmsearch.snapshot import maintenance
from mmsearch.store.location import TABLES
from mmsearch.store.reader import Reader
from mmsearch.store.schema import (
    ASSETS_SCHEMA,
    FILES_SCHEMA,
    SEGMENTS_SCHEMA,
    make_vectors_schema,
)
from mmsearch.store.writer import Lock, Writer

ROWS = int(os.environ.get("ROWS", "1000000"))
ADDED = 1000
SEGMENTS_PER_FILE = 10
DIM = 384
CHUNK = 100_000
QUERY = "a quiet harbour at night"
FOLDERS = 100


def ids(rng: np.random.Generator, count: int) -> list[str]:
    """Random ids of 32 hex digits."""
    text = rng.bytes(16 * count).hex()
    return [text[at : at + 32] for at in range(0, 32 * count, 32)]


def write(library: Path, vectors: np.ndarray, rng: np.random.Generator, first: int) -> list[str]:
    """Files, assets, segments and vectors for (n, DIM) rows; returns the paths."""
    count = len(vectors)
    files = count // SEGMENTS_PER_FILE
    asset_ids = ids(rng, files)
    owners = np.repeat(np.array(asset_ids), SEGMENTS_PER_FILE).tolist()
    segment_ids = ids(rng, count)
    now = pa.scalar(0, pa.timestamp("us", tz="UTC"))
    paths = [
        f"/library/folder {number % FOLDERS:02d}/note {number:07d}.txt"
        for number in range(first, first + files)
    ]
    known = {
        "files": {"path": paths, "asset_id": asset_ids, "size_bytes": [1] * files,
                  "mtime_ns": [0] * files, "seen_at": [now.as_py()] * files},
        "assets": {"asset_id": asset_ids, "modality": ["text"] * files, "size_bytes": [1] * files,
                   "format": ["text"] * files, "indexed_at": [now.as_py()] * files},
        "segments": {"segment_id": segment_ids, "asset_id": owners, "kind": ["text"] * count,
                     "text": [f"passage {number}" for number in range(count)]},
        "vectors_text": {"segment_id": segment_ids, "asset_id": owners,
                         "vector": pa.FixedSizeListArray.from_arrays(
                             pa.array(vectors.astype(np.float16).reshape(-1)), DIM)},
    }  # fmt: skip
    schemas = {
        "files": FILES_SCHEMA,
        "assets": ASSETS_SCHEMA,
        "segments": SEGMENTS_SCHEMA,
        "vectors_text": make_vectors_schema(DIM),
    }
    for name in ("vectors_text", "segments", "assets", "files"):
        schema, columns = schemas[name], known[name]
        arrays = [
            pa.array(columns[field.name], field.type)
            if field.name in columns and not isinstance(columns[field.name], pa.Array)
            else columns.get(field.name, pa.nulls(len(next(iter(columns.values()))), field.type))
            for field in schema
        ]
        table = pa.Table.from_arrays(arrays, schema=schema)
        lance.write_dataset(table, str(library / TABLES / f"{name}.lance"), mode="append")
    return paths


def timed(what: str, run: Callable[[], object]) -> object:
    started = time.perf_counter()
    result = run()
    print(f"{what:<58} {time.perf_counter() - started:8.2f} s", flush=True)
    return result


def warm(opened: Library, what: str, **filters: object) -> None:
    """The median of searches by words, the encoder and all else included."""
    words = ("harbour", "rain on a roof", "a red car", "the sum of two numbers", "winter", "sea")
    times = []
    for query in words * 3:
        started = time.perf_counter()
        opened.search(query, min_score=0.0, **filters)  # type: ignore[arg-type]
        times.append((time.perf_counter() - started) * 1e3)
    print(f"{what:<58} {np.median(times):8.1f} ms", flush=True)


def main() -> None:
    rng = np.random.default_rng(7)
    source = ann_data.Dataset("made", ROWS).vectors()
    late = ann_data.Dataset("made", ROWS).additions()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        mmsearch.open(library).close()
        for begin in range(0, ROWS, CHUNK):
            end = min(begin + CHUNK, ROWS)
            write(library, cut(source[begin:end]), rng, begin // SEGMENTS_PER_FILE)
        print(f"{ROWS:,} vectors of {DIM} dimensions, {ROWS // SEGMENTS_PER_FILE:,} files")
        opened = mmsearch.open(library)
        snapshot = timed("arrays written, first time", opened.snapshot)
        timed("first search, exact", lambda: opened.search(QUERY, min_score=0.0))
        warm(opened, "exact search, warm")
        opened.close()
        opened = mmsearch.open(library)
        timed("index built and measured", lambda: maintenance.build_due_indexes(
            opened.snapshot(), DEFAULT_INDEX_CONFIG, on_event=tell))  # fmt: skip
        opened.close()
        opened = mmsearch.open(library)
        snapshot = timed("opened again, index checked and mapped", opened.snapshot)
        warm(opened, "search, warm")
        warm(opened, "search, warm, in one folder of a hundred", under=["/library/folder 07"])
        search = [*measure.MMSEARCH, "search", QUERY, "--library", str(library), "--json",
                  "--min-score", "0"]  # fmt: skip
        cold(search)

        def add() -> None:
            added = write(library, cut(late[:ADDED]), rng, ROWS // SEGMENTS_PER_FILE)
            hits = opened.search("note", min_score=0.0, under=[added[0]])
            if not hits or hits[0].path != added[0]:
                raise SystemExit("what was added is not found")

        timed(f"{ADDED:,} vectors added and found", add)
        timed("a hundred files removed", lambda: remove(library, ROWS // SEGMENTS_PER_FILE))
        timed("and not found any more", opened.snapshot)
        warm(opened, "search, warm, with a tail and a mask")
        print(
            f"{snapshot.reader.path.name}: {Reader.open(library).count_rows('vectors_text'):,} left"
        )  # type: ignore[attr-defined]
        opened.close()


def cut(vectors: np.ndarray) -> np.ndarray:
    """Fewer dimensions, of unit length again."""
    rows = np.asarray(vectors[:, :DIM], dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def remove(library: Path, files: int) -> None:
    gone = [
        f"/library/folder {number % FOLDERS:02d}/note {number:07d}.txt"
        for number in range(0, files, max(1, files // 100))
    ]
    with Lock(library):
        writer = Writer.open(library)
        writer.remove_files(gone)
        writer.sweep()
        writer.close()


def cold(search: list[str]) -> None:
    """Started by a small process: the peak of a child begins at what its parent holds."""
    script = (
        "import sys; from benchmarks import measure; one = measure.command(sys.argv[1:], runs=3);"
        "print(f'{one.seconds:8.2f} s, {one.peak_mb:.0f} MB')"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, *search], check=True, capture_output=True, text=True
    ).stdout
    print(f"{'cold search, a process of its own':<58} {said.strip():>8}", flush=True)


def tell(event: object) -> None:
    if isinstance(event, maintenance.IndexReady):
        print(f"  {event.kind}: recall@10 {event.measured.recall:.3f}, "
              f"{event.measured.latency_ms:.2f} ms a query, {event.seconds:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
