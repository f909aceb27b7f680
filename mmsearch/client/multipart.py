"""Builds the bodies of requests: JSON, or multipart/form-data (RFC 7578) read while it is sent."""

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


def build_json_body(request: Mapping[str, Any]) -> Body:
    """Builds the body of a request without files."""
    content = json.dumps(request).encode()
    return Body("application/json", (content,), len(content))


def build_multipart_body(
    request: Mapping[str, Any], files: Mapping[str, Path], stack: ExitStack
) -> Body:
    """Builds the body of a request with files by the names of their parts.

    `stack` closes the files. Raises QueryError for a file that cannot be read.
    """
    boundary = secrets.token_hex(16)
    pieces: list[bytes | tuple[BinaryIO, int, Path]] = [
        _format_head(boundary, f'name="{REQUEST}"', "application/json"),
        json.dumps(request).encode(),
    ]
    for part, path in files.items():
        stream, size_bytes = _open_file(path, stack)
        disposition = f'name="{part}"; filename="{_quote_name(path)}"'
        pieces += [
            b"\r\n" + _format_head(boundary, disposition, "application/octet-stream"),
            (stream, size_bytes, path),
        ]
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    total = sum(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)
    return Body(f"multipart/form-data; boundary={boundary}", _read_pieces(pieces), total)


def _format_head(boundary: str, disposition: str, media_type: str) -> bytes:
    return (
        f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
        f"Content-Type: {media_type}\r\n\r\n"
    ).encode()


def _quote_name(path: Path) -> str:
    """Writes the name of a file as browsers do (WHATWG HTML, multipart/form-data)."""
    name = os.fsencode(path.name).decode("utf-8", "replace")
    for char, escape in (("\n", "%0A"), ("\r", "%0D"), ('"', "%22")):
        name = name.replace(char, escape)
    return name


def _open_file(path: Path, stack: ExitStack) -> tuple[BinaryIO, int]:
    try:
        # O_NONBLOCK: a pipe with the name of a file would be waited for.
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


def _read_pieces(pieces: list[bytes | tuple[BinaryIO, int, Path]]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        stream, remaining, path = piece
        while remaining:
            chunk = stream.read(min(CHUNK, remaining))
            if not chunk:
                raise QueryError(f"{path} became shorter while it was sent: search again")
            remaining -= len(chunk)
            yield chunk
