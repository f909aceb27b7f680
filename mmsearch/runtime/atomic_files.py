"""Writes files whole or not at all, and waits until folders are on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def link_or_copy(source: Path, target: Path) -> None:
    """Makes a hard link to a file, or a copy where that fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a small file whole or not at all; a link at the path is replaced, not followed."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    part = Path(temporary)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_links(folder: Path) -> None:
    """Replaces every symbolic link below a folder by the file that it leads to."""
    for path in [path for path in folder.rglob("*") if path.is_symlink()]:
        source = path.resolve(strict=True)
        path.unlink()
        link_or_copy(source, path)


def sync_folder(folder: Path) -> None:
    """Waits until a folder and everything in it is on the disk."""
    for path in (folder, *folder.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
