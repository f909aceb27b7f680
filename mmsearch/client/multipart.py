"""A request with files, as multipart/form-data (RFC 7578), read from disk while it is sent."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from mmsearch.client.http import Body
from mmsearch.errors import QueryError

REQUEST = "request"
CHUNK = 1 << 18


def plain(request: Mapping[str, Any]) -> Body:
    """A request without files."""
    written = json.dumps(request).encode()
    return Body("application/json", (written,), len(written))


def with_files(request: Mapping[str, Any], files: Mapping[str, Path], stack: ExitStack) -> Body:
    """A request with files by the names of their parts, which `stack` closes.

    Raises QueryError for a file that cannot be read.
    """
    boundary = secrets.token_hex(16)
    pieces: list[bytes | tuple[BinaryIO, int, Path]] = [
        _head(boundary, f'name="{REQUEST}"', "application/json"),
        json.dumps(request).encode(),
    ]
    for part, path in files.items():
        stream, size_bytes = _opened(path, stack)
        named = f'name="{part}"; filename="{_name(path)}"'
        pieces += [
            b"\r\n" + _head(boundary, named, "application/octet-stream"),
            (stream, size_bytes, path),
        ]
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    total = sum(len(one) if isinstance(one, bytes) else one[1] for one in pieces)
    return Body(f"multipart/form-data; boundary={boundary}", _sent(pieces), total)


def _head(boundary: str, disposition: str, media_type: str) -> bytes:
    return (
        f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
        f"Content-Type: {media_type}\r\n\r\n"
    ).encode()


def _name(path: Path) -> str:
    """The name of a file as browsers write it there (WHATWG HTML, multipart/form-data)."""
    name = os.fsencode(path.name).decode("utf-8", "replace")
    for char, written in (("\n", "%0A"), ("\r", "%0D"), ('"', "%22")):
        name = name.replace(char, written)
    return name


def _opened(path: Path, stack: ExitStack) -> tuple[BinaryIO, int]:
    try:
        # Not to wait for a pipe that bears the name of a file.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        stream = open(os.open(path, flags), "rb")  # noqa: PTH123, SIM115 - a descriptor
        stack.enter_context(stream)
        info = os.fstat(stream.fileno())
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise QueryError(f"{path} cannot be searched by: {reason}") from exc
    if not stat.S_ISREG(info.st_mode):
        raise QueryError(f"there is no file {path}: name a file to search by")
    return stream, info.st_size


def _sent(pieces: list[bytes | tuple[BinaryIO, int, Path]]) -> Iterator[bytes]:
    for one in pieces:
        if isinstance(one, bytes):
            yield one
            continue
        stream, left, path = one
        while left:
            chunk = stream.read(min(CHUNK, left))
            if not chunk:
                raise QueryError(f"{path} became shorter while it was sent: search again")
            left -= len(chunk)
            yield chunk
