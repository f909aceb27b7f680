"""A cache of file hashes, so that large files are hashed again only if they change."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from mmsearch.config import cache_dir
from mmsearch.models.weights import hash_file
from mmsearch.runtime.atomic_files import write_atomically

HASH_CACHE_NAME = ".checked"


class HashCache:
    """Hashes of files by name, each with the size, time of change and inode of the file then.

    A file in another state is hashed again, and so is a copy.
    """

    def __init__(self, path: Path, states: dict[str, list[object]]) -> None:
        self._path = path
        self._states = states
        self._is_changed = False

    @classmethod
    def open(cls, folder: Path, *, inside: bool) -> HashCache:
        """Opens that of a folder: inside it if it can be written to, else in the cache folder."""
        path = folder / HASH_CACHE_NAME
        if not inside or not os.access(folder, os.W_OK):
            digest = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:24]
            path = cache_dir() / "checked" / f"{digest}.json"
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            read = {}
        return cls(path, read if isinstance(read, dict) else {})

    def compute_sha256(self, path: Path, name: str) -> str:
        """Returns the sha256 of a file as hex; computes it if the file has changed."""
        stat = path.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        cached = self._states.get(name)
        if isinstance(cached, list) and cached[:-1] == state and isinstance(cached[-1], str):
            return cached[-1]
        digest = hash_file(path)
        self._states[name] = [*state, digest]
        self._is_changed = True
        return digest

    def clear(self) -> None:
        """Forgets all hashes."""
        self._states = {}

    def save(self) -> None:
        """Writes the cache; if that fails, the files are hashed again next time."""
        if not self._is_changed:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._states, sort_keys=True))
        except OSError:
            return
        self._is_changed = False
