"""Routes that answer the files of a library and small pictures of them, by ids alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response
from starlette.routing import Route

from mmsearch.errors import MediaError, MediaGone, MmsearchError, PluginError
from mmsearch.previews import Busy
from mmsearch.server import problems
from mmsearch.server.media.file_responses import FileRangeResponse
from mmsearch.server.media.filetypes import (
    choose_content_type,
    format_content_disposition,
    is_playable,
)
from mmsearch.server.media.preview_query import (
    parse_preview_request,
    parse_switch,
    refuse_asset,
)
from mmsearch.server.media.ranges import ByteRange, FileVersion, UnsatisfiableRange, parse_range
from mmsearch.server.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from mmsearch.library.assets import OpenFile
    from mmsearch.library.library import Library
    from mmsearch.previews import Preview, Previews
    from mmsearch.types import Asset

__all__ = ["create_media_routes", "is_playable"]

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


def create_media_routes(
    library: Callable[[], Library], previews: Callable[[], Previews], prefix: str = ""
) -> list[Route]:
    """Creates the routes `{prefix}/assets/{asset_id}/thumbnail` and `.../media` for GET.

    `library` and `previews` are called for each request, in threads; their errors are answered.
    A thumbnail takes `t` (seconds) for films, `page` for images, `px`, and `kind`: `picture`, or
    `waveform` with `start_s` and `end_s`. Media takes ranges and `download=1`.
    """
    handlers = _MediaHandlers(library, previews)
    return [
        Route(f"{prefix}/assets/{{asset_id}}/thumbnail", handlers.thumbnail, methods=["GET"]),
        Route(f"{prefix}/assets/{{asset_id}}/media", handlers.media, methods=["GET"]),
    ]


class _MediaHandlers:
    """The handlers of the two routes, and the threads in which they read."""

    def __init__(self, library: Callable[[], Library], previews: Callable[[], Previews]) -> None:
        self._library = library
        self._previews = previews
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="media-lookup")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="media-reader")

    async def thumbnail(self, request: Request) -> Response:
        """Answers a small picture."""
        try:
            etag, rendering = await self._run_lookup(partial(self._start_preview, request))
            headers = {
                **_HEADERS,
                "ETag": etag,
                "Cache-Control": f"private, max-age={THUMBNAIL_AGE_S}",
            }
            if rendering is None:
                return Response(status_code=304, headers=headers)
            if not rendering.done():
                # Shielded: a client that leaves must not cancel it for others who wait for it.
                await asyncio.shield(asyncio.wrap_future(rendering))
            preview = rendering.result()
        except (MmsearchError, Problem) as exc:
            return _build_error_response(exc)
        headers["Content-Length"] = str(len(preview.data))
        body = b"" if request.method == "HEAD" else preview.data
        return Response(body, headers=headers, media_type=preview.media_type)

    async def media(self, request: Request) -> Response | FileRangeResponse:
        """Answers a file, or a part of it."""
        try:
            asset_id = _get_asset_id(request)
            is_attachment = parse_switch(request.query_params, "download")
            asset, file = await self._run_lookup(partial(self._open_file, asset_id))
        except (MmsearchError, Problem) as exc:
            return _build_error_response(exc)
        try:
            response = _build_file_response(
                request, asset, file, self._readers, is_attachment=is_attachment
            )
        except BaseException:
            file.stream.close()
            raise
        if not isinstance(response, FileRangeResponse):
            file.stream.close()
        return response

    async def _run_lookup(self, look_up: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._lookups, look_up)

    def _open_file(self, asset_id: str) -> tuple[Asset, OpenFile]:
        library = self._library()
        located = library.asset(asset_id)
        if located is None:
            raise refuse_asset()
        return located.asset, library.open_file(asset_id)

    def _start_preview(self, request: Request) -> tuple[str, Future[Preview] | None]:
        """Returns the entity tag of a preview and its rendering, None where the client has it."""
        asset_id, previews = _get_asset_id(request), self._previews()
        preview_request = parse_preview_request(previews, asset_id, request.query_params)
        version = FileVersion(preview_request.etag, 0.0)
        # A preview has no date: other conditions do not concern it.
        is_cached = version.matches_none(request.headers.get("if-none-match"))
        return version.etag, None if is_cached else previews.submit(preview_request)


def _build_file_response(
    request: Request, asset: Asset, file: OpenFile, readers: Executor, *, is_attachment: bool
) -> Response | FileRangeResponse:
    name, size_bytes = PurePath(file.path).name, file.size_bytes
    version = FileVersion(f'"{asset.id}-{size_bytes:x}"', file.mtime_ns / 1e9)
    content_type = choose_content_type(asset, name)
    headers = {
        **_HEADERS,
        "ETag": version.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        PLAYABLE: "?1" if is_playable(asset, name) else "?0",  # a boolean of RFC 9651
    }
    if version.last_modified is not None:
        headers["Last-Modified"] = version.last_modified
    status = version.evaluate_conditions(request.headers)
    if status != 200:
        return Response(status_code=status, headers=headers)
    byte_range = None
    if request.method == "GET" and version.matches_if_range(request.headers.get("if-range")):
        try:
            byte_range = parse_range(request.headers.get("range"), size_bytes)
        except UnsatisfiableRange:
            headers["Content-Range"] = f"bytes */{size_bytes}"
            problem = Problem(problems.NO_SUCH_PART, f"the file has {size_bytes} bytes")
            return problem.build_response(headers)
    headers["Content-Type"] = content_type.media_type
    headers["Content-Disposition"] = format_content_disposition(
        name, is_inline=content_type.is_inline and not is_attachment
    )
    if byte_range is not None:
        headers["Content-Range"] = byte_range.content_range(size_bytes)
        status = 206
    return FileRangeResponse(
        file, byte_range or ByteRange(0, size_bytes), readers, status=status, headers=headers
    )


def _get_asset_id(request: Request) -> str:
    asset_id: str = request.path_params["asset_id"]
    if _ID.fullmatch(asset_id) is None:
        raise refuse_asset()
    return asset_id


def _build_error_response(error: MmsearchError | Problem) -> Response:
    """Answers an error as a problem. No path of the server stands in it."""
    problem = error if isinstance(error, Problem) else _convert_error(error)
    retry = {"Retry-After": str(RETRY_AFTER_S)} if problem.type.status in (429, 503) else {}
    return problem.build_response({**_HEADERS, **retry})


def _convert_error(error: MmsearchError) -> Problem:
    match error:
        case MediaGone():
            return Problem(problems.GONE, error.reason)
        case MediaError():
            return Problem(problems.NO_SUCH_PICTURE, error.reason)
        case Busy():
            return Problem(problems.BUSY, str(error))
        case PluginError():
            return Problem(problems.NOT_INSTALLED, "a decoder of the server does not run")
    return problems.hide_error(error)
