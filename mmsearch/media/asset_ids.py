"""Identifies the content of a file together with the files beside it that say more about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from mmsearch.media.files import hash_content
from mmsearch.media.sidecars import find_sidecars


def compute_asset_id(path: Path, *, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Returns the asset id of a file: 32 hex digits of BLAKE2b over its content and its sidecars.

    Two copies of one video with different subtitles are two assets. Raises DecodeError if the file
    cannot be read, CancelledError if asked to stop.
    """
    content = hash_content(path, is_stopped=is_stopped)
    return combine_asset_id(path, content, find_sidecars(path).paths)


def combine_asset_id(path: Path, content: str, sidecars: Sequence[Path]) -> str:
    """Returns the asset id of a file whose content has the hash `content`.

    Of the name of a sidecar only the part behind the name of the file counts.
    """
    if not sidecars:
        return content
    digest = hashlib.blake2b(content.encode(), digest_size=16)
    for sidecar in sidecars:
        digest.update(sidecar.name[len(path.stem) :].casefold().encode("utf-8", "surrogatepass"))
        digest.update(hash_content(sidecar).encode())
    return digest.hexdigest()


def make_refused_id(path: str, size_bytes: int, mtime_ns: int) -> str:
    """Returns the asset id of a file that cannot be read, which its name alone stands for."""
    text = f"refused {size_bytes} {mtime_ns} {path}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
