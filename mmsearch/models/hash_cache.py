"""What was hashed, so that large files are hashed again only when they have changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from mmsearch.config import cache_dir
from mmsearch.models.weights import hash_file
from mmsearch.runtime.atomic_files import write_whole

CHECKED = ".checked"


class Stamps:
    """What was hashed, and in which state each file was then: only what changed is hashed again.

    A state is size, time of change and inode, so that a copy is hashed anew.
    """

    def __init__(self, path: Path, states: dict[str, list[object]]) -> None:
        self._path = path
        self._states = states
        self._is_changed = False

    @classmethod
    def of(cls, folder: Path, *, inside: bool) -> Stamps:
        """Those of a folder, kept inside it where it can be written to, else in the cache."""
        path = folder / CHECKED
        if not inside or not os.access(folder, os.W_OK):
            digest = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:24]
            path = cache_dir() / "checked" / f"{digest}.json"
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            read = {}
        return cls(path, read if isinstance(read, dict) else {})

    def sha256(self, path: Path, name: str) -> str:
        """The sha256 of a file as hex, computed where the file is not as it was."""
        stat = path.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        noted = self._states.get(name)
        if isinstance(noted, list) and noted[:-1] == state and isinstance(noted[-1], str):
            return noted[-1]
        digest = hash_file(path)
        self._states[name] = [*state, digest]
        self._is_changed = True
        return digest

    def afresh(self) -> Stamps:
        """In the same place, with everything to be hashed anew."""
        return Stamps(self._path, {})

    def save(self) -> None:
        """Keep what was found; where that cannot be, the files are hashed again next time."""
        if not self._is_changed:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(self._states, sort_keys=True))
        except OSError:
            return
        self._is_changed = False
