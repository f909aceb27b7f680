"""Files of the library in one zip, written while it is sent, within a limit."""

from __future__ import annotations

import io
import itertools
import os
import re
import secrets
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.errors import MediaGone
from mmsearch.export.file_placement import number_name
from mmsearch.formatting import format_size
from mmsearch_ui.hit_cards import make_displayable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from mmsearch.library.library import Library
    from mmsearch.types import Hit

MAX_BYTES = 4_000_000_000
MAX_FILES = 1_000
KEPT = 32
"""Zips on offer at a time; the oldest is dropped."""
BLOCK_BYTES = 1 << 18
LEFT_OUT = "left out.txt"
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file of a zip: its asset, and its name there."""

    asset_id: str
    name: str


def list_members(hits: Sequence[Hit]) -> list[ZipMember]:
    """Lists a file for each asset, in the order of the hits, under unique names."""
    members: dict[str, ZipMember] = {}
    names = {LEFT_OUT.casefold()}
    for hit in hits:
        if hit.asset.id not in members:
            name = _find_free_name(_plain_name(hit.path), names)
            names.add(name.casefold())
            members[hit.asset.id] = ZipMember(hit.asset.id, name)
    return list(members.values())


def _plain_name(path: str) -> str:
    """Returns the name of a file without characters that some systems forbid."""
    name = make_displayable(os.path.basename(path))  # noqa: PTH119 - Path drops a last slash
    return re.sub(r'[\\/:*?"<>|]', "_", name).strip(" .") or "file"


def _find_free_name(name: str, used: set[str]) -> str:
    candidates = (number_name(name, number) for number in itertools.count(1))
    return next(candidate for candidate in candidates if candidate.casefold() not in used)


def explain_too_large(hits: Sequence[Hit]) -> str:
    """Explains why the files are too many or too large for a zip; empty if they fit."""
    sizes = {hit.asset.id: hit.asset.size_bytes for hit in hits}
    if len(sizes) > MAX_FILES:
        return f"A zip holds at most {MAX_FILES:,} files: select fewer."
    total = sum(sizes.values())
    if total > MAX_BYTES:
        limit, size = format_size(MAX_BYTES), format_size(total)
        return f"A zip holds at most {limit}, and these are {size}: select fewer."
    return ""


class ZipBundles:
    """The zips on offer, each under an address that cannot be guessed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: OrderedDict[str, tuple[ZipMember, ...]] = OrderedDict()

    def offer(self, members: Sequence[ZipMember]) -> str:
        """Returns the name under which files can be fetched; the same for the same files."""
        with self._lock:
            for name, offered in self._members.items():
                if offered == tuple(members):
                    self._members.move_to_end(name)
                    return name
            name = secrets.token_urlsafe(16)
            self._members[name] = tuple(members)
            while len(self._members) > KEPT:
                self._members.popitem(last=False)
            return name

    def find(self, name: str) -> tuple[ZipMember, ...] | None:
        """Returns the files of a name; None for an unknown one."""
        with self._lock:
            return self._members.get(name)


BUNDLES = ZipBundles()


class _OutputBuffer(io.RawIOBase):
    """A buffer that is written by the zip and emptied by the response."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        block = bytes(data)  # type: ignore[call-overload]
        self._parts.append(block)
        return len(block)

    def take(self) -> bytes:
        """Returns the bytes since the last call."""
        block = b"".join(self._parts)
        self._parts.clear()
        return block


def stream_zip(
    library: Library, members: Sequence[ZipMember], max_bytes: int = MAX_BYTES
) -> Iterator[bytes]:
    """Yields an uncompressed zip of the files as they were indexed, a block at a time.

    A text at its end names the files that are gone, have changed, or would pass the limit.
    """
    buffer = _OutputBuffer()
    left_out: list[str] = []
    room_bytes = max_bytes
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            try:
                opened = library.open_file(member.asset_id)
            except MediaGone as exc:
                left_out.append(f"{member.name}: {exc.reason}")
                continue
            with opened.stream as stream:
                if opened.size_bytes > room_bytes:
                    left_out.append(f"{member.name}: with it the zip would be too large")
                    continue
                room_bytes -= opened.size_bytes
                info = zipfile.ZipInfo(member.name, _TIME)
                info.file_size = opened.size_bytes
                info.external_attr = 0o644 << 16
                rest_bytes = opened.size_bytes
                with archive.open(info, "w", force_zip64=opened.size_bytes >= 1 << 31) as entry:
                    while rest_bytes and (block := stream.read(min(BLOCK_BYTES, rest_bytes))):
                        rest_bytes -= len(block)
                        entry.write(block)
                        yield buffer.take()
        if left_out:
            archive.writestr(zipfile.ZipInfo(LEFT_OUT, _TIME), "\n".join([*left_out, ""]))
    yield buffer.take()


def build_route(library: Callable[[], Library], prefix: str) -> Route:
    """Builds the route of offered zips."""
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    def send(request: Request) -> Response:
        members = BUNDLES.find(request.path_params["name"])
        if members is None:
            return PlainTextResponse("this zip is offered no more: ask anew\n", status_code=404)
        headers = {
            "Content-Disposition": 'attachment; filename="mmsearch.zip"',
            "Cache-Control": "no-store",
        }
        blocks = stream_zip(library(), members)
        return StreamingResponse(blocks, media_type="application/zip", headers=headers)

    return Route(f"{prefix}/zip/{{name}}", send, methods=["GET"])
