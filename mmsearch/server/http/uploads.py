"""Receives files that are sent with a search into a private folder, never under their names."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mmsearch.media.signatures import AV_SUFFIXES, IMAGE_SUFFIXES
from mmsearch.server import problems
from mmsearch.server.http.bodies import JSON_BYTES
from mmsearch.server.problems import Problem

if TYPE_CHECKING:
    from starlette.formparsers import MultipartPart
    from starlette.requests import Request

MAX_FILES = 8
REQUEST_PART = "request"
"""Name of the part that holds the search itself."""
FILE_PART = "file"
"""Name of the parts that are looked for though no term names them."""
_OVERHEAD_BYTES = 64 * 1024
_CONTROL_CHARS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A file that was sent: the name of its form field, its own name, and its path here.

    Several may come under one name, and under none.
    """

    field_name: str
    file_name: str
    path: Path


@dataclass(frozen=True, slots=True)
class MultipartSearch:
    """A search in parts: the request as JSON, and the files."""

    request: bytes
    parts: tuple[UploadedPart, ...]


async def read_multipart(request: Request, folder: Path, *, max_bytes: int) -> MultipartSearch:
    """Reads a multipart request, with files of at most `max_bytes` together into `folder`.

    Raises Problem for a body that is no multipart request, or too large.
    """
    parser = _Parser(request, folder, max_bytes)
    try:
        await parser.parse()
    except MultiPartException as exc:
        raise Problem(
            problems.MALFORMED, f"the multipart body cannot be read: {exc.message}"
        ) from exc
    finally:
        parser.close()
    if not parser.is_complete:
        raise Problem(problems.MALFORMED, "the multipart body ends too early")
    if parser.request is None:
        raise Problem(
            problems.INVALID,
            f"the part {REQUEST_PART!r} is missing: {{}} looks for the files as they are",
        )
    if not parser.uploads:
        raise Problem(problems.INVALID, "there is no file among the parts: send JSON instead")
    return MultipartSearch(bytes(parser.request.data), tuple(parser.uploads))


class _Parser(MultiPartParser):
    """Starlette's parser, with files at paths and limits that hold while the body comes in.

    Errors of its own limits differ from those of a broken body by their texts alone, and its files
    have no path, which decoders need.
    """

    def __init__(self, request: Request, folder: Path, max_bytes: int) -> None:
        super().__init__(request.headers, self._stream_limited(request), max_part_size=JSON_BYTES)
        self.request: MultipartPart | None = None
        self.uploads: list[UploadedPart] = []
        self.is_complete = False
        self._folder = folder
        self._max_bytes = max_bytes
        self._files_bytes = 0
        self._opened: list[IO[bytes]] = []

    def close(self) -> None:
        """Closes the files, also those of parts that broke off."""
        for file in self._opened:
            file.close()

    async def _stream_limited(self, request: Request) -> AsyncGenerator[bytes, None]:
        total_bytes = 0
        async for chunk in request.stream():
            total_bytes += len(chunk)
            if total_bytes > self._max_bytes + JSON_BYTES + _OVERHEAD_BYTES:
                raise _refuse_size("the files", self._max_bytes)
            yield chunk

    def on_headers_finished(self) -> None:
        part = self._current_part
        _, options = parse_options_header(part.content_disposition)
        part.field_name = options.get(b"name", b"").decode("utf-8", "replace")
        if part.field_name == REQUEST_PART:
            if self.request is not None:
                raise Problem(problems.MALFORMED, f"there are two parts {REQUEST_PART!r}")
            self.request = part
            return
        if len(self.uploads) == MAX_FILES:
            raise Problem(problems.TOO_LARGE, f"at most {MAX_FILES} files may be sent at once")
        name = options.get(b"filename", b"").decode("utf-8", "replace")
        # Of the name only a known suffix is kept: some formats have no other mark.
        suffix = Path(name.replace("\\", "/")).suffix.lower() if "\0" not in name else ""
        if suffix not in IMAGE_SUFFIXES | AV_SUFFIXES:
            suffix = ""
        path = self._folder / f"upload-{len(self.uploads)}{suffix}"
        file = path.open("xb")
        self._opened.append(file)
        part.file = UploadFile(cast(BinaryIO, file))
        self.uploads.append(
            UploadedPart(part.field_name, _clean_name(name or part.field_name), path)
        )

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._current_part
        if part.file is not None:
            self._files_bytes += end - start
            if self._files_bytes > self._max_bytes:
                raise _refuse_size("the files", self._max_bytes)
        elif len(part.data) + end - start > JSON_BYTES:
            raise _refuse_size(f"the part {REQUEST_PART!r}", JSON_BYTES)
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        self.is_complete = True


def _refuse_size(content: str, max_bytes: int) -> Problem:
    return Problem(
        problems.TOO_LARGE,
        f"{content} may have {max_bytes:,} bytes in one request",
        limit_bytes=max_bytes,
    )


def _clean_name(name: str) -> str:
    """Makes a name that somebody else chose fit to be quoted."""
    return _CONTROL_CHARS.sub(" ", name)[:_MAX_NAME_CHARS].strip() or "the file"
