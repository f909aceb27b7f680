"""A built index in a folder of its own: header, keys, rows, and the file of FAISS."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from mmsearch.errors import StoreError
from mmsearch.index.array_folders import PART, put_in_place, save_array
from mmsearch.index.base import NO_ROW, RowArray, RowMask
from mmsearch.index.faiss_index import FaissIndex, faiss_version, is_available
from mmsearch.index.live_index import BuiltIndex, CandidateIndex
from mmsearch.index.recipes import Recipe
from mmsearch.index.vector_matrix import Column

FORMAT_VERSION = 1
PREFIX = "ann-"
HEADER = "header.json"
INDEX = "index.faiss"
KEYS = "keys.npy"
ROWS = "rows.npy"
READ_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class MeasuredRecall:
    """The measured recall@10 of an index against exact search, and its ms for one query.

    `queries` is the number of held-out vectors; `wanted` is the required recall.
    """

    recall: float
    latency_ms: float
    queries: int
    wanted: float


@dataclass(frozen=True, slots=True)
class IndexHeader:
    """The header of an index, as its folder stores it.

    `kind` is that of the recipe; "lance" for an index that Lance stores with its table, with its
    `effort`; "exact" if none reached the recall: none is tried again before there are more vectors.
    `count` and `dim` are of the vectors it was built over; `store_version` is that of their table;
    `seconds` is the build time.
    """

    space: str
    kind: str
    count: int
    dim: int
    store_version: int
    measured: MeasuredRecall
    seconds: float
    recipe: Recipe | None = None
    effort: tuple[int, int] = (0, 0)
    size_bytes: int = 0
    checksum: str = ""
    made_with: str = ""

    def to_json(self) -> str:
        """Returns it as text."""
        recipe = None if self.recipe is None else self.recipe.to_json()
        return json.dumps({"form": FORMAT_VERSION, **asdict(self), "recipe": recipe}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> IndexHeader:
        """Parses the text of `to_json`; raises ValueError, KeyError, TypeError or StoreError."""
        values: dict[str, Any] = json.loads(text)
        if values.pop("form") != FORMAT_VERSION:
            raise ValueError(text)
        recipe = values.pop("recipe")
        probes, refine = values.pop("effort")
        return cls(
            measured=MeasuredRecall(**values.pop("measured")),
            recipe=None if recipe is None else Recipe.from_json(recipe),
            effort=(int(probes), int(refine)),
            **values,
        )


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """The folder of an index: `keys` are those of all rows at the time of the build."""

    folder: Path
    header: IndexHeader
    keys: NDArray[np.uint64]
    rows: NDArray[np.int32]


def save(
    parent: Path,
    header: IndexHeader,
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
    write: Callable[[Path], None] | None,
) -> str:
    """Writes an index completely or not at all; returns the name of its folder.

    `keys` are those of all rows of the table; `rows` has the row of the table for each of the
    index. `write` writes the index to the path that it is given; None if there is none.
    """
    parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    try:
        save_array(part / KEYS, keys)
        save_array(part / ROWS, rows)
        if write is not None:
            write(part / INDEX)
            _sync(part / INDEX)
            header = replace(
                header, size_bytes=(part / INDEX).stat().st_size, made_with=faiss_version()
            )
        header = replace(header, checksum=_compute_checksum(part))
        (part / HEADER).write_text(header.to_json())
        _sync(part / HEADER)
        digest = xxhash.xxh3_64(header.to_json().encode())
        digest.update(np.ascontiguousarray(keys).tobytes())
        name = f"{PREFIX}{header.space}-{digest.hexdigest()}"
        put_in_place(part, parent / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return name


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _compute_checksum(folder: Path) -> str:
    """Returns XXH3 (128 bits) of the files: against damage, not against malice; 10 GB a second."""
    digest = xxhash.xxh3_128()
    for name in (KEYS, ROWS, INDEX):
        if (folder / name).exists():
            with (folder / name).open("rb") as stream:
                while data := stream.read(READ_BYTES):
                    digest.update(data)
    return digest.hexdigest()


def find(parent: Path, space: str) -> StoredIndex | None:
    """Finds the newest intact index of a space; None if there is none."""
    stored = (_read_folder(parent / name) for name in _list_names_of(parent, space))
    intact = (index for index in stored if index is not None)
    return max(intact, key=lambda index: index.header.store_version, default=None)


def list_names(parent: Path) -> list[str]:
    """Lists the folders of all indexes, intact or not, in order."""
    try:
        return sorted(path.name for path in parent.iterdir() if path.name.startswith(PREFIX))
    except OSError:
        return []


def _list_names_of(parent: Path, space: str) -> list[str]:
    return [name for name in list_names(parent) if name.rpartition("-")[0] == PREFIX + space]


def drop(parent: Path, space: str, *, but: str) -> None:
    """Removes the other indexes of a space; a reader that has one open keeps it."""
    for name in _list_names_of(parent, space):
        if name != but:
            shutil.rmtree(parent / name, ignore_errors=True)


def _read_folder(folder: Path) -> StoredIndex | None:
    try:
        header = IndexHeader.from_json((folder / HEADER).read_text())
        keys = np.load(folder / KEYS, mmap_mode="r", allow_pickle=False)
        rows = np.load(folder / ROWS, mmap_mode="r", allow_pickle=False)
        if header.recipe is not None and (folder / INDEX).stat().st_size != header.size_bytes:
            return None
        is_sound = keys.dtype == np.uint64 and rows.dtype == np.int32 and len(keys) == header.count
        return StoredIndex(folder, header, keys, rows) if is_sound else None
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, StoreError):
        return None


def open_index(stored: StoredIndex, *, device: str = "cpu") -> FaissIndex | None:
    """Opens the index for reading; None if it is damaged, or cannot be read on this machine.

    Every byte is checked first: a damaged graph would make FAISS read out of bounds.
    """
    recipe = stored.header.recipe
    if recipe is None or not is_available():
        return None
    try:
        is_same_version = stored.header.made_with == faiss_version()
        if not is_same_version or _compute_checksum(stored.folder) != stored.header.checksum:
            return None
        return FaissIndex.open(stored.folder / INDEX, recipe, device=device)
    except (OSError, StoreError):
        return None


def bind_to_rows(
    stored: StoredIndex, index: CandidateIndex, recipe: Recipe, keys: Column
) -> BuiltIndex:
    """Binds an index to the rows of a table that has changed since."""
    table_keys, index_keys = keys.to_array(), np.asarray(stored.keys)
    count = len(table_keys)
    rows: RowArray = stored.rows.astype(np.int64)
    if count < len(index_keys) or not np.array_equal(table_keys[: len(index_keys)], index_keys):
        # Fragments of the table were merged: its rows have other numbers.
        new_rows = np.full(len(index_keys), NO_ROW)
        if count:
            order = np.argsort(table_keys)
            position = np.searchsorted(table_keys, index_keys, sorter=order)
            nearest = order[np.minimum(position, count - 1)]
            new_rows = np.where(table_keys[nearest] == index_keys, nearest, NO_ROW)
        rows = new_rows[rows]
    is_indexed: RowMask = np.zeros(count, dtype=np.bool_)
    is_indexed[rows[rows != NO_ROW]] = True
    return BuiltIndex(index, recipe.refine, rows, np.flatnonzero(~is_indexed))
