"""Files of the library in one zip, written while it is sent, and never larger than was allowed."""

from __future__ import annotations

import io
import os
import secrets
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.errors import MediaGone
from mmsearch.export.file_placement import numbered
from mmsearch_ui.hit_cards import shown, size

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from mmsearch.library.library import Library
    from mmsearch.types import Hit

MAX_BYTES = 4_000_000_000
MAX_FILES = 1_000
KEPT = 32
"""So many may be asked for at a time; the oldest is forgotten."""
BLOCK_BYTES = 1 << 18
LEFT_OUT = "left out.txt"
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a zip: whose content it is, and its name there."""

    asset_id: str
    name: str


def members(hits: Sequence[Hit]) -> list[Member]:
    """A file for each asset, in the order of the hits, under names that differ."""
    found: dict[str, Member] = {}
    taken = {LEFT_OUT.casefold()}
    for hit in hits:
        if hit.asset.id not in found:
            name = _free(_plain(hit.path), taken)
            taken.add(name.casefold())
            found[hit.asset.id] = Member(hit.asset.id, name)
    return list(found.values())


def _plain(path: str) -> str:
    """The name of a file as it can stand in an archive that any system unpacks."""
    name = shown(os.path.basename(path))  # noqa: PTH119 - Path drops a last slash
    kept = "".join("_" if one in '\\/:*?"<>|' else one for one in name).strip(" .")
    return kept or "file"


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while numbered(name, number).casefold() in taken:
        number += 1
    return numbered(name, number)


def too_large(hits: Sequence[Hit]) -> str:
    """Why these files make no zip; empty where they do."""
    sizes = {hit.asset.id: hit.asset.size_bytes for hit in hits}
    if len(sizes) > MAX_FILES:
        return f"A zip holds at most {MAX_FILES:,} files: select fewer."
    total = sum(sizes.values())
    if total > MAX_BYTES:
        return f"A zip holds at most {size(MAX_BYTES)}, and these are {size(total)}: select fewer."
    return ""


class Bundles:
    """What may be fetched as a zip, each under an address that cannot be guessed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Member, ...]] = OrderedDict()

    def offer(self, wanted: Sequence[Member]) -> str:
        """The name under which these can be fetched; the same for the same."""
        with self._lock:
            for name, known in self._known.items():
                if known == tuple(wanted):
                    self._known.move_to_end(name)
                    return name
            name = secrets.token_urlsafe(16)
            self._known[name] = tuple(wanted)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return name

    def find(self, name: str) -> tuple[Member, ...] | None:
        """What was offered under a name; None where nothing is."""
        with self._lock:
            return self._known.get(name)


BUNDLES = Bundles()


class _Outgoing(io.RawIOBase):
    """Takes what is written, and gives it away in between."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        block = bytes(data)  # type: ignore[call-overload]
        self._parts.append(block)
        return len(block)

    def taken(self) -> bytes:
        """All since it was last called."""
        block = b"".join(self._parts)
        self._parts.clear()
        return block


def zipped(
    library: Library, wanted: Sequence[Member], max_bytes: int = MAX_BYTES
) -> Iterator[bytes]:
    """A zip of the files as they were indexed, a block at a time, stored as they are.

    What is gone, has changed, or would pass the limit is named in a text at the end.
    """
    outgoing = _Outgoing()
    left_out: list[str] = []
    room = max_bytes
    with zipfile.ZipFile(outgoing, "w", zipfile.ZIP_STORED) as archive:
        for member in wanted:
            try:
                opened = library.open_file(member.asset_id)
            except MediaGone as exc:
                left_out.append(f"{member.name}: {exc.reason}")
                continue
            with opened.stream as stream:
                if opened.size_bytes > room:
                    left_out.append(f"{member.name}: with it the zip would be too large")
                    continue
                room -= opened.size_bytes
                info = zipfile.ZipInfo(member.name, _TIME)
                info.file_size = opened.size_bytes
                info.external_attr = 0o644 << 16
                rest = opened.size_bytes
                with archive.open(info, "w", force_zip64=opened.size_bytes >= 1 << 31) as entry:
                    while rest and (block := stream.read(min(BLOCK_BYTES, rest))):
                        rest -= len(block)
                        entry.write(block)
                        yield outgoing.taken()
        if left_out:
            archive.writestr(zipfile.ZipInfo(LEFT_OUT, _TIME), "\n".join([*left_out, ""]))
    yield outgoing.taken()


def route(library: Callable[[], Library], prefix: str) -> Route:
    """Where zips are fetched that were offered."""
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    def send(request: Request) -> Response:
        wanted = BUNDLES.find(request.path_params["name"])
        if wanted is None:
            return PlainTextResponse("this zip is offered no more: ask anew\n", status_code=404)
        headers = {
            "Content-Disposition": 'attachment; filename="mmsearch.zip"',
            "Cache-Control": "no-store",
        }
        blocks = zipped(library(), wanted)
        return StreamingResponse(blocks, media_type="application/zip", headers=headers)

    return Route(f"{prefix}/zip/{{name}}", send, methods=["GET"])
