"""Routes that give the files of a library and small pictures of them, by ids alone."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response
from starlette.routing import Route

from mmsearch.errors import MediaError, MediaGone, MmsearchError, PluginError
from mmsearch.previews import Busy
from mmsearch.server.guard.refusals import MEDIA_TYPE, PROBLEM
from mmsearch.server.media.file_responses import FilePart
from mmsearch.server.media.filetypes import disposition, playable, served_as
from mmsearch.server.media.preview_query import Problem, no_such_asset, preview, switch
from mmsearch.server.media.ranges import Part, Unsatisfiable, Version, part_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from mmsearch.library.assets import OpenFile
    from mmsearch.library.library import Library
    from mmsearch.previews import Preview, Previews
    from mmsearch.types import Asset

__all__ = ["playable", "routes"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
THUMBNAIL_AGE_S = 24 * 3600
RETRY_AFTER_S = 2
PLAYABLE = "Mmsearch-Playable"
_READERS = 8
_LOOKUPS = 4
_ID = re.compile(r"[0-9a-f]{32}")
# A file that is opened as a page may be seen and heard, and do nothing: no script, no form, no
# other address. It keeps its origin, or Chromium does not load a film into the page that it is.
_HEADERS = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox allow-same-origin; default-src 'none'; "
        "img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)


def routes(
    library: Callable[[], Library], previews: Callable[[], Previews], prefix: str = ""
) -> list[Route]:
    """`GET {prefix}/assets/{asset_id}/thumbnail` and `GET {prefix}/assets/{asset_id}/media`.

    `library` and `previews` are called for each request, in threads; what they raise is answered.
    A thumbnail takes `t` (seconds) for films, `page` for images, `px`, and `kind`: `picture`, or
    `waveform` with `start_s` and `end_s`. Media takes ranges and `download=1`.
    """
    shown = _Shown(library, previews)
    return [
        Route(f"{prefix}/assets/{{asset_id}}/thumbnail", shown.thumbnail, methods=["GET"]),
        Route(f"{prefix}/assets/{{asset_id}}/media", shown.media, methods=["GET"]),
    ]


class _Shown:
    """What the two routes do."""

    def __init__(self, library: Callable[[], Library], previews: Callable[[], Previews]) -> None:
        self._library = library
        self._previews = previews
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="media-lookup")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="media-reader")

    async def thumbnail(self, request: Request) -> Response:
        """A small picture."""
        try:
            asset_id = _asset_id(request)
            asked = dict(request.query_params)
            tags = _tags(request)
            etag, coming = await self._aside(lambda: self._begun(asset_id, asked, tags))
            headers = {
                **_HEADERS,
                "ETag": etag,
                "Cache-Control": f"private, max-age={THUMBNAIL_AGE_S}",
            }
            if coming is None:
                return Response(status_code=304, headers=headers)
            if not coming.done():
                # Whoever leaves must not take it from others who wait for the same.
                await asyncio.shield(asyncio.wrap_future(coming))
            made = coming.result()
        except (MmsearchError, Problem) as exc:
            return _answer(exc)
        headers["Content-Length"] = str(len(made.data))
        body = b"" if request.method == "HEAD" else made.data
        return Response(body, headers=headers, media_type=made.media_type)

    async def media(self, request: Request) -> Response | FilePart:
        """A file, or a part of it."""
        try:
            asset_id = _asset_id(request)
            is_kept = switch(dict(request.query_params), "download")
            asset, opened = await self._aside(lambda: self._opened(asset_id))
        except (MmsearchError, Problem) as exc:
            return _answer(exc)
        try:
            return self._file(request, asset, opened, is_kept=is_kept)
        except BaseException:
            opened.stream.close()
            raise

    def _file(
        self, request: Request, asset: Asset, opened: OpenFile, *, is_kept: bool
    ) -> Response | FilePart:
        name, size = PurePath(opened.path).name, opened.size_bytes
        version = Version(f'"{asset.id}-{size:x}"', opened.mtime_ns / 1e9)
        served = served_as(asset, name)
        headers = {
            **_HEADERS,
            "ETag": version.etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            PLAYABLE: "?1" if playable(asset, name) else "?0",  # a boolean of RFC 9651
        }
        if version.last_modified is not None:
            headers["Last-Modified"] = version.last_modified
        status = version.status_for(request.headers)
        if status != 200:
            opened.stream.close()
            return Response(status_code=status, headers=headers)
        part = None
        if request.method == "GET" and version.has_part_of(request.headers.get("if-range")):
            try:
                part = part_of(request.headers.get("range"), size)
            except Unsatisfiable:
                opened.stream.close()
                outside = Problem(
                    416, "no-such-part", "There is no such part", f"the file has {size} bytes"
                )
                return _answer(outside, {**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Type"] = served.media_type
        headers["Content-Disposition"] = disposition(
            name, is_inline=served.is_inline and not is_kept
        )
        if part is None:
            return FilePart(opened, Part(0, size), self._readers, status=200, headers=headers)
        headers["Content-Range"] = part.content_range(size)
        return FilePart(opened, part, self._readers, status=206, headers=headers)

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._lookups, work)

    def _opened(self, asset_id: str) -> tuple[Asset, OpenFile]:
        library = self._library()
        shelved = library.asset(asset_id)
        if shelved is None:
            raise no_such_asset()
        return shelved.asset, library.open_file(asset_id)

    def _begun(
        self, asset_id: str, asked: Mapping[str, str], tags: Mapping[str, str]
    ) -> tuple[str, Future[Preview] | None]:
        """The entity tag of a preview, and the preview to come; none where the client has it."""
        previews = self._previews()
        wanted = preview(previews, asset_id, asked)
        has_it = Version(wanted.etag, 0.0).status_for(tags) == 304
        return wanted.etag, None if has_it else previews.soon(wanted)


def _asset_id(request: Request) -> str:
    found: str = request.path_params["asset_id"]
    if _ID.fullmatch(found) is None:
        raise no_such_asset()
    return found


def _tags(request: Request) -> Mapping[str, str]:
    """The conditions of a request that a thumbnail has to do with: it has no date."""
    value = request.headers.get("if-none-match")
    return {} if value is None else {"if-none-match": value}


def _answer(
    error: MmsearchError | Problem, headers: Mapping[str, str] = MappingProxyType({})
) -> Response:
    """An error as problem details (RFC 9457). No path of the server stands in it."""
    problem = error if isinstance(error, Problem) else _problem_of(error)
    shown = {
        "type": PROBLEM + problem.name,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    more = {"Retry-After": str(RETRY_AFTER_S)} if problem.status in (429, 503) else {}
    return Response(
        json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace"),
        status_code=problem.status,
        headers={**_HEADERS, **headers, **more, "Content-Type": MEDIA_TYPE},
    )


def _problem_of(error: MmsearchError) -> Problem:
    match error:
        case MediaGone():
            title = "The file is not there any more as it was indexed"
            return Problem(410, "media-gone", title, error.reason)
        case MediaError():
            return Problem(404, "no-such-picture", "There is no such picture", error.reason)
        case Busy():
            return Problem(429, "busy", "Too many requests wait already", str(error))
        case PluginError():
            title = "A part that this takes is not installed"
            return Problem(501, "not-installed", title, "a decoder of the server does not run")
    # What other errors say names folders of the server.
    logger.warning("%s: %s", type(error).__name__, error)
    detail = "the library cannot be used: the server's log says why"
    return Problem(503, "unavailable", "Not now", detail)
