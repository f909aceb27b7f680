"""A private folder for the files of requests while these are answered."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "mmsearch-uploads-"
LOCK, FILES = "lock", "files"


class Spool:
    """A folder that nobody else can read, in the folder for temporary files.

    It is removed when it is closed. The folder of a server that was killed is removed by the next:
    each holds a lock as long as it lives.
    """

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = FileLock(self._folder / LOCK)
        self._lock.acquire()
        self.path = self._folder / FILES
        self.path.mkdir()

    def close(self) -> None:
        """Removes the folder with its files."""
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Removes the spools of servers that were killed; those of other users are not touched."""
    for folder in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError, Timeout):
            info = folder.lstat()
            # One without a lock is being made at this moment.
            if info.st_uid != os.getuid() or folder.is_symlink() or not (folder / LOCK).is_file():
                continue
            with FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder)
