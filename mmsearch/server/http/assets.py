"""What the library has, by ids; what is in it; and whether the server lives."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from mmsearch import serialization
from mmsearch.server.http import answers, openapi, problems, requests
from mmsearch.server.http.backend import Backend
from mmsearch.server.http.links import asset_links
from mmsearch.server.http.problems import Problem

router = APIRouter()

MAX_SEGMENTS = 10_000
AssetId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The hash of its content.")]
SegmentId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


def as_json(value: Any) -> Response:
    """An answer that is built already."""
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, media_type="application/json")


@router.get(
    "/v1/assets/{asset_id}",
    summary="An asset: what it is, and where it lies",
    tags=["assets"],
    operation_id="asset",
    response_model=answers.Asset,
    responses=openapi.problems(problems.NO_SUCH_ASSET, problems.INVALID, waits=True),
)
async def asset(request: Request, asset_id: AssetId) -> Response:
    """The content of a file, by the hash of it; copies are one asset with several paths."""
    backend = Backend.of(request)
    found = await backend.search(request, lambda _ticket: backend.library.asset(asset_id))
    if found is None:
        raise _no_asset(asset_id)
    root = request.scope.get("root_path", "")
    shown = serialization.asset_object(found.asset, found.paths)
    return as_json(shown | asset_links(asset_id, found.asset.modality, root))


@router.get(
    "/v1/assets/{asset_id}/segments",
    summary="The segments of an asset: its transcript, its pictures, its passages",
    tags=["assets"],
    operation_id="segments",
    response_model=answers.Segments,
    responses=openapi.problems(problems.NO_SUCH_ASSET, problems.INVALID, waits=True),
)
async def segments(
    request: Request,
    asset_id: AssetId,
    kind: Annotated[
        list[requests.SegmentKind],
        Query(max_length=16, description="Only these; `speech` is the transcript."),
    ] = [],  # noqa: B006 - FastAPI copies it
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="So many are passed over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_SEGMENTS, description="At most so many.")] = 1000,
) -> Response:
    """In the order of time, page and place in the text."""
    backend = Backend.of(request)

    def read(_ticket: object) -> dict[str, Any] | None:
        found = backend.library.segments(asset_id)
        if not found and backend.library.asset(asset_id) is None:
            return None
        wanted = [one for one in found if not kind or one.kind.value in kind]
        return {
            "asset_id": asset_id,
            "total": len(wanted),
            "offset": offset,
            "segments": [
                serialization.segment_object(one) for one in wanted[offset : offset + limit]
            ],
        }

    told = await backend.search(request, read)
    if told is None:
        raise _no_asset(asset_id)
    return as_json(told)


@router.get(
    "/v1/segments/{segment_id}",
    summary="One segment, with its text and its tags",
    tags=["assets"],
    operation_id="segment",
    response_model=answers.Segment,
    responses=openapi.problems(problems.NO_SUCH_SEGMENT, problems.INVALID, waits=True),
)
async def segment(request: Request, segment_id: SegmentId) -> Response:
    """A part of an asset that can be a hit by itself."""
    backend = Backend.of(request)
    found = await backend.search(request, lambda _ticket: backend.library.segment(segment_id))
    if found is None:
        raise Problem(
            problems.NO_SUCH_SEGMENT,
            f"there is no segment {segment_id}: its file may have been indexed anew",
            segment_id=segment_id,
        )
    return as_json(serialization.segment_object(found))


@router.get(
    "/v1/status",
    summary="What is in the library",
    tags=["library"],
    operation_id="status",
    response_model=answers.Status,
    responses=openapi.problems(waits=True),
)
async def status(request: Request) -> Response:
    """Counts by kind, spaces and the models behind them, indexes and their measured recall."""
    backend = Backend.of(request)
    found = await backend.labour(request, lambda _ticket: backend.library.status())
    return as_json(serialization.status_object(found))


@router.get(
    "/healthz",
    summary="Whether the process lives",
    tags=["server"],
    operation_id="healthz",
    response_model=answers.Health,
)
async def healthz() -> Response:
    """Always, as long as it answers."""
    return as_json({"status": "ok"})


@router.get(
    "/readyz",
    summary="Whether the library is open and warm",
    tags=["server"],
    operation_id="readyz",
    response_model=answers.Health,
    responses=openapi.problems(problems.UNAVAILABLE),
)
async def readyz(request: Request) -> Response:
    """Before that, searches are answered too, only later."""
    backend = Backend.of(request)
    if not backend.ready.is_set():
        is_over = backend.tried.is_set()
        detail = "cannot be used: the server's log says why" if is_over else "is being warmed up"
        raise Problem(problems.UNAVAILABLE, f"the library {detail}", headers={"Retry-After": "1"})
    return as_json({"status": "ready"})


def _no_asset(asset_id: str) -> Problem:
    return Problem(
        problems.NO_SUCH_ASSET,
        f"there is no asset {asset_id}: it may have been taken out, or its file indexed anew",
        asset_id=asset_id,
    )
