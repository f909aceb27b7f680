"""Files that are sent with a search: streamed to a private folder, never under their names."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmsearch.media.signatures import AV_SUFFIXES, IMAGE_SUFFIXES
from mmsearch.server.http import problems
from mmsearch.server.http.bodies import JSON_BYTES
from mmsearch.server.http.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks
    from starlette.requests import Request

MAX_FILES = 8
REQUEST = "request"
"""The part that holds the search itself."""
LOOSE = "file"
"""Parts of this name are looked for, whether or not a term names them."""
_OVERHEAD_BYTES = 64 * 1024
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent: the name of its part, what it is called, and where it lies now.

    Several may come under one name, and under none.
    """

    part: str
    called: str
    path: Path


@dataclass(frozen=True, slots=True)
class Received:
    """A request in parts: the search as JSON, and the files."""

    request: bytes
    uploads: tuple[Upload, ...]


async def receive(request: Request, folder: Path, *, max_bytes: int) -> Received:
    """Read a multipart request; its files lie in `folder`, together of at most `max_bytes`.

    Raises Problem for what is no multipart request, or too much of one.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    _, parameters = parse_options_header(request.headers["content-type"])
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise Problem(problems.MALFORMED, "the multipart body has no boundary")
    reading = _Reading(folder, max_bytes)
    total = 0
    try:
        parser = MultipartParser(boundary, reading.callbacks())
        async for chunk in request.stream():
            total += len(chunk)
            if total > max_bytes + JSON_BYTES + _OVERHEAD_BYTES:
                raise _too_large("the files", max_bytes)
            parser.write(chunk)
            await reading.store()
        parser.finalize()
        await reading.store()
    except FormParserError as exc:
        raise Problem(problems.MALFORMED, "the multipart body is broken") from exc
    finally:
        reading.close()
    if not reading.is_whole:
        raise Problem(problems.MALFORMED, "the multipart body ends too early")
    if not reading.has_request:
        raise Problem(
            problems.INVALID,
            f"the part {REQUEST!r} is missing: {{}} looks for the files as they are",
        )
    if not reading.uploads:
        raise Problem(problems.INVALID, "there is no file among the parts: send JSON instead")
    return Received(bytes(reading.request), tuple(reading.uploads))


class _Reading:
    """The state of a parser: what it calls back is kept until it is stored."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.request = bytearray()
        self.uploads: list[Upload] = []
        self.is_whole = False
        self._folder = folder
        self._max_bytes = max_bytes
        self._field = b""
        self._value = b""
        self._disposition = b""
        self.has_request = False
        self._file: IO[bytes] | None = None
        self._size_bytes = 0
        self._waiting: list[tuple[IO[bytes], bytes]] = []
        self._opened: list[IO[bytes]] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_field,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._add,
            "on_end": self._end,
        }

    async def store(self) -> None:
        """Write what has come, where it does not hold up other requests."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            await asyncio.to_thread(_write, waiting)

    def close(self) -> None:
        for file in self._opened:
            file.close()

    def _begin(self) -> None:
        self._disposition = b""
        self._file = None

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _open(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._disposition)
        part = options.get(b"name", b"").decode("utf-8", "replace")
        if part == REQUEST:
            if self.has_request:
                raise Problem(problems.MALFORMED, f"there are two parts {REQUEST!r}")
            self.has_request = True
            return
        if len(self.uploads) == MAX_FILES:
            raise Problem(problems.TOO_LARGE, f"at most {MAX_FILES} files may be sent at once")
        name = options.get(b"filename", b"").decode("utf-8", "replace")
        # Of its name only an ending that is known is kept: some formats have no other mark.
        suffix = Path(name.replace("\\", "/")).suffix.lower() if "\0" not in name else ""
        ending = suffix if suffix in IMAGE_SUFFIXES | AV_SUFFIXES else ""
        path = self._folder / f"upload-{len(self.uploads)}{ending}"
        self._file = path.open("xb")
        self._opened.append(self._file)
        self.uploads.append(Upload(part, _shown(name or part), path))

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self.request += data[start:end]
            if len(self.request) > JSON_BYTES:
                raise _too_large(f"the part {REQUEST!r}", JSON_BYTES)
            return
        self._size_bytes += end - start
        if self._size_bytes > self._max_bytes:
            raise _too_large("the files", self._max_bytes)
        self._waiting.append((self._file, data[start:end]))

    def _end(self) -> None:
        self.is_whole = True


def _write(waiting: list[tuple[IO[bytes], bytes]]) -> None:
    for file, data in waiting:
        file.write(data)


def _too_large(what: str, most: int) -> Problem:
    return Problem(
        problems.TOO_LARGE, f"{what} may have {most:,} bytes in one request", limit_bytes=most
    )


def _shown(name: str) -> str:
    """A name that somebody else chose, fit to be quoted."""
    return _UNSEEN.sub(" ", name)[:_SHOWN_CHARS].strip() or "the file"
