"""Files that are there in whole or not at all, and folders that outlast a power cut."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def place(source: Path, target: Path) -> None:
    """Put a file where it is wanted without a second copy where that can be: a hard link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that it is there in whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    part = Path(temporary)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def make_links_files(folder: Path) -> None:
    """Replace every symbolic link below a folder by the file that it leads to."""
    for path in [path for path in folder.rglob("*") if path.is_symlink()]:
        source = path.resolve(strict=True)
        path.unlink()
        place(source, path)


def sync(folder: Path) -> None:
    """Wait until the disk has a folder and all that is in it."""
    for path in (folder, *folder.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
