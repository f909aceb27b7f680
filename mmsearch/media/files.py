"""Paths as they are stored, and hashes of file contents."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mmsearch.errors import DecodeError

HASH_BYTES = 1 << 20


def make_absolute(path: Path) -> str:
    """Returns the absolute path as a library stores it: without `..`, links not followed."""
    return os.path.abspath(path.expanduser())  # noqa: PTH100 - Path.absolute keeps `..`


def make_storable(path: str) -> str:
    r"""Returns a path as text for tables and terminals, with non-UTF-8 bytes as `\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_gone(path: str) -> bool:
    """Returns True if a path certainly does not exist; False in a folder that denies access."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def hash_content(path: Path, *, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Returns the asset id of a file: 32 hex digits of BLAKE2b over its content.

    Raises DecodeError if the file cannot be read, CancelledError if asked to stop.
    """
    try:
        with path.open("rb") as stream:
            return hash_stream(stream, is_stopped=is_stopped)
    except OSError as exc:
        raise DecodeError(path, f"cannot be read: {exc.strerror or exc}") from exc


def hash_stream(stream: BinaryIO, *, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Hashes an open file from its position on; raises OSError and CancelledError."""
    digest = hashlib.blake2b(digest_size=16)
    while block := stream.read(HASH_BYTES):
        if is_stopped():
            # Imported here: path functions alone must not load the decoding modules.
            from mmsearch.media.isolation import CancelledError

            raise CancelledError
        digest.update(block)
    return digest.hexdigest()
