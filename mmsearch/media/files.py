"""Files by their paths: the name under which they are stored, and the hash of their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from mmsearch.errors import DecodeError

HASH_BYTES = 1 << 20


def absolute(path: Path) -> str:
    """The absolute path without `..` and without following links: what the library stores."""
    return os.path.abspath(path.expanduser())  # noqa: PTH100 - Path.absolute keeps `..`


def storable(path: str) -> str:
    r"""A path as text for tables and terminals; bytes that are no UTF-8 become `\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_gone(path: str) -> bool:
    """Whether nothing lies at a path; no where it cannot be told, as in a closed folder."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def content_hash(path: Path, *, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """The asset id of a file: 32 hex digits of BLAKE2b over its content.

    Raises DecodeError when the file cannot be read, Stopped when asked to stop.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as stream:
            while block := stream.read(HASH_BYTES):
                if is_stopped():
                    # Here: who asks for a name alone does not wait for what decodes.
                    from mmsearch.media.isolation import Stopped

                    raise Stopped
                digest.update(block)
    except OSError as exc:
        raise DecodeError(path, f"cannot be read: {exc.strerror or exc}") from exc
    return digest.hexdigest()
