"""Folders of arrays: written once under a name that tells what they hold, then mapped."""

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

FORM = 3
"""Counts up when the arrays change: older folders are then written anew."""
HEADER = "header.json"
PART = ".part-"
SMALL_BYTES = 64 << 10
"""Smaller arrays are read: a mapping holds a file open as long as it lives, and systems allow few
(macOS 256), while a library that grew by small additions has hundreds of small arrays. An empty one
cannot be mapped at all."""
ABANDONED_S = 3600.0

Arrays = Mapping[str, NDArray[Any]]


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy, to the disk."""
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())


class Draft:
    """Arrays that are being written into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shapes: dict[str, list[int]] = {}
        self._rooms: list[str] = []

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Write a whole array, to the disk."""
        save_array(self._path(name), array)
        self._shapes[name] = [*array.shape]

    def room(self, name: str, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """An array on the disk, to be filled a part at a time and flushed by `close`."""
        self._shapes[name] = [*shape]
        self._rooms.append(name)
        return np.lib.format.open_memmap(self._path(name), mode="w+", dtype=dtype, shape=shape)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def close(self) -> None:
        """Write the header: without it a folder is not whole."""
        for name in self._rooms:
            with self._path(name).open("rb") as stream:
                os.fsync(stream.fileno())
        header = json.dumps({"form": FORM, "shapes": self._shapes})
        (self.folder / HEADER).write_text(header)


def mapped(folder: Path) -> Arrays | None:
    """The arrays of a folder, memory-mapped; None where it is missing, torn or of another form."""
    try:
        header = json.loads((folder / HEADER).read_text())
        if header["form"] != FORM:
            return None
        return {name: _mapped(folder, name, shape) for name, shape in header["shapes"].items()}
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _mapped(folder: Path, name: str, shape: list[int]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    mode: Literal["r"] | None = "r" if path.stat().st_size > SMALL_BYTES else None
    array: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    if [*array.shape] != shape:
        raise ValueError(name)
    return array


def made(parent: Path, name: str, write: Callable[[Draft], None]) -> tuple[Arrays, bool]:
    """The arrays of the folder `name`, and whether they had to be written for that.

    Written under a temporary name and renamed, so that a folder is whole or not there; mapped
    before that, for a process that sees another version may drop it as soon as it is in its place.
    Where the library cannot be written to, the arrays have no place: they live as long as the
    mapping.
    """
    found = mapped(parent / name)
    if found is not None:
        return found, False
    try:
        parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    except OSError:
        part = Path(tempfile.mkdtemp(prefix="mmsearch-index-"))
    try:
        draft = Draft(part)
        write(draft)
        draft.close()
        found = mapped(part)
        if found is None:
            raise AssertionError(f"{part} was just written and cannot be read")
        if part.parent == parent:
            put_in_place(part, parent / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found, True


def put_in_place(part: Path, target: Path) -> None:
    """Rename a folder that was written whole; another process may have been quicker."""
    if target.exists():  # torn, or written by another process in the meantime
        shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(OSError):  # the other process won: its folder says the same
        part.rename(target)


def drop_others(parent: Path, kept: Collection[str]) -> None:
    """Remove folders that are not used any more, and what killed processes left half written.

    Readers that have one mapped keep it until they let go.
    """
    with contextlib.suppress(OSError):
        for other in parent.iterdir():
            is_part = other.name.startswith(PART)
            if other.name not in kept and (not is_part or _is_abandoned(other)):
                shutil.rmtree(other, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        age_s = time.time() - folder.stat().st_mtime
    except OSError:
        return False
    return age_s > ABANDONED_S
