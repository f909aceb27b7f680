"""The private folder in which the files of requests lie while they are answered."""

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

    It goes when it is closed. One whose server was killed goes when the next is made: each holds a
    lock as long as it lives.
    """

    def __init__(self) -> None:
        sweep(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = FileLock(self._folder / LOCK)
        self._lock.acquire()
        self.path = self._folder / FILES
        self.path.mkdir()

    def close(self) -> None:
        """Remove it and all that is in it."""
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove the folders that were left behind there; those of others are not touched."""
    for folder in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError, Timeout):
            known = folder.lstat()
            # One without a lock is being made at this moment.
            if known.st_uid != os.getuid() or folder.is_symlink() or not (folder / LOCK).is_file():
                continue
            with FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder)
