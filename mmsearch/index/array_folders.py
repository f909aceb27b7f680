"""Folders of arrays: written once under a name that identifies their content, then mapped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 3
"""Counts up with a change of the arrays: older folders are then written anew."""
HEADER = "header.json"
PART = ".part-"
SMALL_BYTES = 64 << 10
"""Smaller arrays are read: a mapping holds a file open as long as it lives, and systems allow few
(macOS 256), while a library that grew by small additions has hundreds of small arrays. An empty one
cannot be mapped at all."""
ABANDONED_S = 3600.0

Arrays = Mapping[str, NDArray[Any]]


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array as .npy, to the disk."""
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())


class ArrayDraft:
    """Arrays that are being written into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shapes: dict[str, list[int]] = {}
        self._allocated: list[str] = []

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Writes an array in one go, to the disk."""
        save_array(self._path(name), array)
        self._shapes[name] = [*array.shape]

    def allocate(self, name: str, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Returns an array on the disk, to be filled in parts; `close` flushes it."""
        self._shapes[name] = [*shape]
        self._allocated.append(name)
        return np.lib.format.open_memmap(self._path(name), mode="w+", dtype=dtype, shape=shape)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def close(self) -> None:
        """Writes the header, without which a folder is incomplete."""
        for name in self._allocated:
            with self._path(name).open("rb") as stream:
                os.fsync(stream.fileno())
        header = json.dumps({"form": FORMAT_VERSION, "shapes": self._shapes})
        (self.folder / HEADER).write_text(header)


def map_arrays(folder: Path) -> Arrays | None:
    """Maps the arrays of a folder; None if it is missing, torn or of another version."""
    try:
        header = json.loads((folder / HEADER).read_text())
        if header["form"] != FORMAT_VERSION:
            return None
        return {name: _map_array(folder, name, shape) for name, shape in header["shapes"].items()}
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _map_array(folder: Path, name: str, shape: list[int]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    mode: Literal["r"] | None = "r" if path.stat().st_size > SMALL_BYTES else None
    array: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    if [*array.shape] != shape:
        raise ValueError(name)
    return array


def load_or_write(
    parent: Path, name: str, write: Callable[[ArrayDraft], None]
) -> tuple[Arrays, bool]:
    """Returns the arrays of the folder `name`, and True if they had to be written first.

    They are written under a temporary name that is then changed, so that a folder is complete or
    absent, and mapped before that: a process that sees another version may drop the folder as soon
    as it is in place. In a library that cannot be written to the arrays live as long as the
    mapping.
    """
    arrays = map_arrays(parent / name)
    if arrays is not None:
        return arrays, False
    try:
        parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    except OSError:
        part = Path(tempfile.mkdtemp(prefix="mmsearch-index-"))
    try:
        draft = ArrayDraft(part)
        write(draft)
        draft.close()
        arrays = map_arrays(part)
        if arrays is None:
            raise AssertionError(f"{part} was just written and cannot be read")
        if part.parent == parent:
            put_in_place(part, parent / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return arrays, True


def put_in_place(part: Path, target: Path) -> None:
    """Renames a complete folder; another process may have been quicker."""
    if target.exists():  # torn, or written by another process in the meantime
        shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(OSError):  # the other process won: its folder has the same content
        part.rename(target)


def remove_others(parent: Path, kept: Collection[str]) -> None:
    """Removes folders that are no longer used, and the unfinished ones of killed processes.

    Readers that have one mapped keep it until they close it.
    """
    abandoned_before_s = time.time() - ABANDONED_S
    with contextlib.suppress(OSError):
        for folder in parent.iterdir():
            if folder.name in kept:
                continue
            with contextlib.suppress(OSError):
                is_part = folder.name.startswith(PART)
                if not is_part or folder.stat().st_mtime < abandoned_before_s:
                    shutil.rmtree(folder, ignore_errors=True)
