"""A built index in a folder of its own: what it was built from, how good it is, and its file."""

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
from mmsearch.index.live_index import Built, Candidates
from mmsearch.index.recipes import Recipe
from mmsearch.index.vector_matrix import Column

FORM = 1
PREFIX = "ann-"
HEADER = "header.json"
INDEX = "index.faiss"
KEYS = "keys.npy"
ROWS = "rows.npy"
READ_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Measured:
    """What an index was found to do: recall@10 against exact search, and ms for one query.

    `queries` is on how many held-out vectors; `wanted` is the recall that was asked for.
    """

    recall: float
    latency_ms: float
    queries: int
    wanted: float


@dataclass(frozen=True, slots=True)
class Header:
    """What the folder of an index says of it.

    `kind` is that of the recipe; "lance" for an index that Lance keeps with its table, whose
    `effort` is then here; "exact" where none was good enough: none is tried again before there is
    more. `count` and `dim` are of the vectors it was built over; `store_version` is that of their
    table; `seconds` is what building took.
    """

    space: str
    kind: str
    count: int
    dim: int
    store_version: int
    measured: Measured
    seconds: float
    recipe: Recipe | None = None
    effort: tuple[int, int] = (0, 0)
    size_bytes: int = 0
    checksum: str = ""
    made_with: str = ""

    def to_json(self) -> str:
        """As text."""
        told = asdict(self) | {"recipe": None if self.recipe is None else self.recipe.to_json()}
        return json.dumps({"form": FORM, **told}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Header:
        """What `to_json` wrote; raises ValueError, KeyError, TypeError or StoreError."""
        told: dict[str, Any] = json.loads(text)
        if told.pop("form") != FORM:
            raise ValueError(text)
        recipe = told.pop("recipe")
        probes, refine = told.pop("effort")
        return cls(
            measured=Measured(**told.pop("measured")),
            recipe=None if recipe is None else Recipe.from_json(recipe),
            effort=(int(probes), int(refine)),
            **told,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """An index that was found in its folder: `keys` has those of all rows when it was built."""

    folder: Path
    header: Header
    keys: NDArray[np.uint64]
    rows: NDArray[np.int32]


def save(
    parent: Path,
    header: Header,
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
    write: Callable[[Path], None] | None,
) -> str:
    """Write an index whole or not at all; returns the name of its folder.

    `keys` are those of all rows that there were; `rows` says for each row of the index which of
    them it is. `write` writes the index to the path that it is given; None where there is none.
    """
    parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    try:
        save_array(part / KEYS, keys)
        save_array(part / ROWS, rows)
        if write is not None:
            write(part / INDEX)
            _to_disk(part / INDEX)
            header = replace(
                header, size_bytes=(part / INDEX).stat().st_size, made_with=faiss_version()
            )
        header = replace(header, checksum=_checksum(part))
        (part / HEADER).write_text(header.to_json())
        _to_disk(part / HEADER)
        name = f"{PREFIX}{header.space}-{_digest(header, keys)}"
        put_in_place(part, parent / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return name


def _to_disk(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _digest(header: Header, keys: NDArray[np.uint64]) -> str:
    digest = xxhash.xxh3_64(header.to_json().encode())
    digest.update(np.ascontiguousarray(keys).tobytes())
    return digest.hexdigest()


def _checksum(folder: Path) -> str:
    """XXH3 (128 bits) over the files: against damage, not against malice; 10 GB a second."""
    digest = xxhash.xxh3_128()
    for name in (KEYS, ROWS, INDEX):
        if (folder / name).exists():
            with (folder / name).open("rb") as stream:
                while data := stream.read(READ_BYTES):
                    digest.update(data)
    return digest.hexdigest()


def find(parent: Path, space: str) -> Kept | None:
    """The newest index of a space that is whole; None where there is none."""
    found = (_kept(parent / name) for name in _names_of(parent, space))
    whole = [kept for kept in found if kept is not None]
    return max(whole, key=lambda kept: kept.header.store_version, default=None)


def names(parent: Path) -> list[str]:
    """The folders of all indexes, whole or not, in order."""
    try:
        return sorted(one.name for one in parent.iterdir() if one.name.startswith(PREFIX))
    except OSError:
        return []


def _names_of(parent: Path, space: str) -> list[str]:
    return [name for name in names(parent) if name.rpartition("-")[0] == PREFIX + space]


def drop(parent: Path, space: str, *, but: str) -> None:
    """Remove the other indexes of a space; who has one open keeps it until it is let go."""
    for name in _names_of(parent, space):
        if name != but:
            shutil.rmtree(parent / name, ignore_errors=True)


def _kept(folder: Path) -> Kept | None:
    try:
        header = Header.from_json((folder / HEADER).read_text())
        keys = np.load(folder / KEYS, mmap_mode="r", allow_pickle=False)
        rows = np.load(folder / ROWS, mmap_mode="r", allow_pickle=False)
        if header.recipe is not None and (folder / INDEX).stat().st_size != header.size_bytes:
            return None
        is_sound = keys.dtype == np.uint64 and rows.dtype == np.int32 and len(keys) == header.count
        return Kept(folder, header, keys, rows) if is_sound else None
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, StoreError):
        return None


def opened(kept: Kept, *, device: str = "cpu") -> FaissIndex | None:
    """The index itself, for reading; None where it is damaged, or cannot be read here.

    Every byte is checked first: a damaged graph would take FAISS out of bounds.
    """
    recipe = kept.header.recipe
    if recipe is None or not is_available():
        return None
    try:
        is_ours = kept.header.made_with == faiss_version()
        if not is_ours or _checksum(kept.folder) != kept.header.checksum:
            return None
        return FaissIndex.open(kept.folder / INDEX, recipe, device=device)
    except (OSError, StoreError):
        return None


def bound(kept: Kept, index: Candidates, recipe: Recipe, keys: Column) -> Built:
    """The index as it stands to the rows of a table that went on since."""
    now = keys.whole()
    known = np.asarray(kept.keys)
    where: RowArray = kept.rows.astype(np.int64)
    if len(now) < len(known) or not np.array_equal(now[: len(known)], known):
        # Parts of the table were merged: its rows have other numbers.
        order = np.argsort(now)
        at = np.minimum(np.searchsorted(now, known, sorter=order), max(len(now) - 1, 0))
        rows = order[at] if len(now) else np.full(len(known), NO_ROW)
        is_it = now[rows] == known if len(now) else np.zeros(len(known), dtype=np.bool_)
        where = np.where(is_it, rows, NO_ROW)[where]
    in_index: RowMask = np.zeros(len(now), dtype=np.bool_)
    in_index[where[where != NO_ROW]] = True
    return Built(index, recipe.refine, where, np.flatnonzero(~in_index))
