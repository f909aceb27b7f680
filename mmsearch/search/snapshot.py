"""The search side of a library: indexes and look-up arrays for one version of its tables."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsearch.index.exact import ExactIndex
from mmsearch.index.words import WordIndex
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS, FILES, SEGMENTS, vectors_table
from mmsearch.types import Modality

FORM = 1
"""Counts up when the arrays below change: older folders are then rebuilt."""
FOLDER = "index"
HEADER = "header.json"
PART = ".part-"
OWNERS = ".assets.npy"
NPY_HEADER_BYTES = 128
ABANDONED_S = 3600.0
MODALITIES = tuple(Modality)
SCAN_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class SpaceArrays:
    """What is known of each vector row of a space, and the index over them."""

    index: ExactIndex
    segment_rows: NDArray[np.int32]
    assets: NDArray[np.int32]
    boxes: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a search needs besides the rows it shows, memory-mapped.

    An asset is known by its row in `assets`: `modalities` has one entry for each, and the files of
    asset i are `file_rows[file_offsets[i]:file_offsets[i + 1]]`, rows of `files`. `segment_assets`
    has one entry for each row of `segments`.
    """

    reader: Reader
    spaces: dict[str, SpaceArrays]
    segment_assets: NDArray[np.int32]
    modalities: NDArray[np.uint8]
    file_offsets: NDArray[np.int64]
    file_rows: NDArray[np.int32]
    words: WordIndex

    @property
    def filled(self) -> frozenset[str]:
        """The spaces that have vectors."""
        return frozenset(name for name, arrays in self.spaces.items() if arrays.index.count)

    def asset_row(self, asset_id: str) -> int | None:
        """The row of an asset, None where it is not there or no file leads to it."""
        ids = self.reader.column(ASSETS, "asset_id").column("asset_id").to_pylist()
        row = ids.index(asset_id) if asset_id in ids else -1
        is_listed = row >= 0 and self.file_offsets[row + 1] > self.file_offsets[row]
        return row if is_listed else None

    def paths(self, assets: Sequence[int]) -> list[list[str]]:
        """Where each asset lies, in the order of the paths; all are read at once."""
        ranges = [
            range(int(self.file_offsets[asset]), int(self.file_offsets[asset + 1]))
            for asset in assets
        ]
        rows = [int(self.file_rows[at]) for places in ranges for at in places]
        found = iter(self.reader.file_paths(rows))
        return [sorted(islice(found, len(places))) for places in ranges]


def open_snapshot(reader: Reader) -> Snapshot:
    """Map the arrays for the versions that the reader sees, building them where they are missing.

    A folder that is torn, or of another form or version, is built anew, never trusted.
    """
    snapshot = _map(reader, reader.path / FOLDER / _name(reader))
    return build(reader) if snapshot is None else snapshot


def filled_spaces(library: Path) -> frozenset[str] | None:
    """Which spaces had vectors when the arrays were last written; None where that is not known.

    Told by the sizes of files, before anything of the library is opened: good for a guess at which
    models a query will need.
    """
    folders = list((library / FOLDER).glob("exact-*"))
    if len(folders) != 1:
        return None
    try:
        sizes = {path.name: path.stat().st_size for path in folders[0].glob(f"*{OWNERS}")}
    except OSError:  # another process has just put new ones in their place
        return None
    return frozenset(
        name.removesuffix(OWNERS) for name, size in sizes.items() if size > NPY_HEADER_BYTES
    )


def _name(reader: Reader) -> str:
    text = json.dumps([FORM, sorted(reader.versions.items())])
    return f"exact-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def build(reader: Reader) -> Snapshot:
    """Write and map the arrays for what the reader sees, and drop those of other versions.

    Written under a temporary name and renamed, so that a folder is whole or not there; mapped
    before that, for a process that sees another version may drop it as soon as it is in its place.
    Where the library cannot be written to, the arrays have no place: they live as long as the
    mapping.
    """
    parent = reader.path / FOLDER
    try:
        parent.mkdir(exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    except OSError:
        part = Path(tempfile.mkdtemp(prefix="mmsearch-index-"))
    try:
        _write(reader, part)
        snapshot = _map(reader, part)
        if snapshot is None:
            raise AssertionError(f"{part} was just built and cannot be read")
        if part.parent == parent:
            _put_in_place(part, parent / _name(reader))
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return snapshot


def _put_in_place(part: Path, target: Path) -> None:
    if target.exists():  # torn, or written by another process in the meantime
        shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(OSError):  # the other process won: its folder says the same
        part.rename(target)
    for other in target.parent.iterdir():
        # Readers that have an old one mapped keep it until they let go.
        if other != target and (other.name.startswith("exact-") or _is_abandoned(other)):
            shutil.rmtree(other, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether a process was killed while it wrote this."""
    try:
        age_s = time.time() - folder.stat().st_mtime
    except OSError:
        return False
    return folder.name.startswith(PART) and age_s > ABANDONED_S


def _write(reader: Reader, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    assets = reader.column(ASSETS, "asset_id", "modality", "title", "artist", "album", "camera")
    asset_ids = assets.column("asset_id").combine_chunks()
    files = reader.column(FILES, "path", "asset_id")
    segments = reader.column(SEGMENTS, "segment_id", "asset_id")
    segment_ids = segments.column("segment_id").combine_chunks()

    def rows_of(ids: Any, among: Any) -> NDArray[np.int32]:
        found = pc.index_in(ids, value_set=among)
        return np.asarray(pc.fill_null(found, -1), dtype=np.int32)

    sizes: dict[str, list[int]] = {}

    def save(name: str, array: NDArray[Any]) -> None:
        with (folder / f"{name}.npy").open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        sizes[name] = [*array.shape]

    file_assets = rows_of(files.column("asset_id"), asset_ids)
    order = np.argsort(file_assets, kind="stable").astype(np.int32)
    order = order[file_assets[order] >= 0]
    per_asset = np.bincount(file_assets[order], minlength=len(asset_ids))
    modality_of = {modality.value: code for code, modality in enumerate(MODALITIES)}
    modalities = [modality_of[name] for name in assets.column("modality").to_pylist()]
    save("modalities", np.array(modalities, dtype=np.uint8))
    save("file_rows", order)
    save("file_offsets", np.concatenate([[0], np.cumsum(per_asset)]).astype(np.int64))

    segment_assets = rows_of(segments.column("asset_id"), asset_ids)
    save("segment_assets", segment_assets)

    for space in reader.manifest.spaces:
        table = vectors_table(space.name)
        count = reader.count(table)
        target = folder / f"{space.name}.vectors.npy"
        vectors = np.lib.format.open_memmap(
            target, mode="w+", dtype=np.float16, shape=(count, space.dim)
        )
        segment_rows = np.empty(count, dtype=np.int32)
        boxes = np.full((count, 4), np.nan, dtype=np.float32)
        at = 0
        columns = ("segment_id", "box", "vector")
        for batch in reader.batches(table, *columns, batch_size=SCAN_ROWS):
            end = at + batch.num_rows
            flat = batch.column("vector").flatten()
            vectors[at:end] = np.asarray(flat).reshape(-1, space.dim)
            segment_rows[at:end] = rows_of(batch.column("segment_id"), segment_ids)
            has_box = np.asarray(pc.is_valid(batch.column("box")))
            if has_box.any():
                kept = batch.column("box").filter(pa.array(has_box))
                boxes[at:end][has_box] = np.asarray(kept.flatten()).reshape(-1, 4)
            at = end
        vectors.flush()
        del vectors
        sizes[f"{space.name}.vectors"] = [count, space.dim]
        save(f"{space.name}.segment_rows", segment_rows)
        of_rows = np.where(segment_rows >= 0, np.append(segment_assets, -1)[segment_rows], -1)
        # An asset without a file is being removed, or was never finished: it is not found.
        listed = np.append(per_asset > 0, False)
        save(f"{space.name}.assets", np.where(listed[of_rows], of_rows, -1).astype(np.int32))
        save(f"{space.name}.boxes", boxes)

    words = WordIndex.build(_texts(files, file_assets, assets), len(asset_ids))
    save("vocabulary", words.vocabulary)
    save("word_offsets", words.offsets)
    save("postings", words.postings)
    header = {"form": FORM, "versions": reader.versions, "shapes": sizes}
    (folder / HEADER).write_text(json.dumps(header))


def _texts(files: Any, file_assets: NDArray[np.int32], assets: Any) -> Any:
    for path, asset in zip(files.column("path").to_pylist(), file_assets.tolist(), strict=True):
        if asset >= 0:
            pure = PurePath(path)
            yield asset, " ".join([*pure.parts[:-1], pure.stem])
    listed = set(file_assets.tolist())
    for name in ("title", "artist", "album", "camera"):
        for asset, value in enumerate(assets.column(name).to_pylist()):
            if value and asset in listed:
                yield asset, value


def _map(reader: Reader, folder: Path) -> Snapshot | None:
    try:
        header = json.loads((folder / HEADER).read_text())
        if header["form"] != FORM or header["versions"] != reader.versions:
            return None
        shapes = header["shapes"]

        def load(name: str) -> NDArray[Any]:
            # An empty array cannot be memory-mapped.
            mode: Literal["r"] | None = "r" if 0 not in shapes[name] else None
            array = np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)
            if [*array.shape] != shapes[name]:
                raise ValueError(name)  # noqa: TRY301 - a torn file, like any other
            return array  # type: ignore[no-any-return]  # NumPy types np.load as Any

        spaces = {
            name: SpaceArrays(
                index=ExactIndex(load(f"{name}.vectors")),
                segment_rows=load(f"{name}.segment_rows"),
                assets=load(f"{name}.assets"),
                boxes=load(f"{name}.boxes"),
            )
            for name in reader.space_names
        }
        words = WordIndex(
            load("vocabulary"), load("word_offsets"), load("postings"), shapes["modalities"][0]
        )
        return Snapshot(
            reader=reader,
            spaces=spaces,
            segment_assets=load("segment_assets"),
            modalities=load("modalities"),
            file_offsets=load("file_offsets"),
            file_rows=load("file_rows"),
            words=words,
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
