"""Answers assets, segments, the state of the library and the health of the server."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from mmsearch.serialization.answers import AssetAnswer, SegmentAnswer, build_asset, build_segment
from mmsearch.server import problems
from mmsearch.server.http import answers, openapi, requests
from mmsearch.server.http.backend import Backend
from mmsearch.server.http.bodies import write_response
from mmsearch.server.http.links import build_asset_links, get_root_path
from mmsearch.server.problems import Problem

router = APIRouter()

MAX_SEGMENTS = 10_000
AssetId = Annotated[str, Path(pattern=requests.ID_PATTERN, description="The hash of its content.")]
SegmentId = Annotated[str, Path(pattern=requests.ID_PATTERN)]


@router.get(
    "/v1/assets/{asset_id}",
    summary="An asset: what it is, and where it lies",
    tags=["assets"],
    operation_id="asset",
    response_model=AssetAnswer,
    responses=openapi.problems(problems.NO_SUCH_ASSET, problems.INVALID, waits=True),
)
async def asset(request: Request, asset_id: AssetId) -> Response:
    """Answers the content of a file by its hash; copies are one asset with several paths."""
    backend = Backend.get(request)
    located = await backend.run_quick(request, lambda _token: backend.library.asset(asset_id))
    if located is None:
        raise _refuse_asset(asset_id)
    links = build_asset_links(asset_id, located.asset.modality, get_root_path(request))
    return write_response(build_asset(located.asset, located.paths, links))


@router.get(
    "/v1/assets/{asset_id}/segments",
    summary="The segments of an asset: its transcript, its pictures, its passages",
    tags=["assets"],
    operation_id="segments",
    response_model=answers.SegmentsAnswer,
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
    """Lists segments in the order of time, page and place in the text."""
    backend = Backend.get(request)

    def read(_token: object) -> answers.SegmentsAnswer | None:
        parts = backend.library.segments(asset_id)
        if not parts and backend.library.asset(asset_id) is None:
            return None
        listed = [part for part in parts if not kind or part.kind.value in kind]
        page = tuple(map(build_segment, listed[offset : offset + limit]))
        return answers.SegmentsAnswer(asset_id, len(listed), offset, page)

    answer = await backend.run_quick(request, read)
    if answer is None:
        raise _refuse_asset(asset_id)
    return write_response(answer)


@router.get(
    "/v1/segments/{segment_id}",
    summary="One segment, with its text and its tags",
    tags=["assets"],
    operation_id="segment",
    response_model=SegmentAnswer,
    responses=openapi.problems(problems.NO_SUCH_SEGMENT, problems.INVALID, waits=True),
)
async def segment(request: Request, segment_id: SegmentId) -> Response:
    """Answers a part of an asset that can be a hit by itself."""
    backend = Backend.get(request)
    part = await backend.run_quick(request, lambda _token: backend.library.segment(segment_id))
    if part is None:
        raise Problem(
            problems.NO_SUCH_SEGMENT,
            f"there is no segment {segment_id}: its file may have been indexed anew",
            segment_id=segment_id,
        )
    return write_response(build_segment(part))


@router.get(
    "/v1/status",
    summary="What is in the library",
    tags=["library"],
    operation_id="status",
    response_model=answers.StatusAnswer,
    responses=openapi.problems(waits=True),
)
async def status(request: Request) -> Response:
    """Answers counts by kind, spaces with their models, indexes with their measured recall."""
    backend = Backend.get(request)
    return write_response(await backend.run_slow(request, lambda _token: backend.library.status()))


@router.get(
    "/healthz",
    summary="Whether the process lives",
    tags=["server"],
    operation_id="healthz",
    response_model=answers.HealthAnswer,
)
async def healthz() -> Response:
    """Answers as long as the process lives."""
    return write_response(answers.HealthAnswer("ok"))


@router.get(
    "/readyz",
    summary="Whether the library is open and warm",
    tags=["server"],
    operation_id="readyz",
    response_model=answers.HealthAnswer,
    responses=openapi.problems(problems.UNAVAILABLE),
)
async def readyz(request: Request) -> Response:
    """Answers when the library is warm; before that searches are only slower."""
    backend = Backend.get(request)
    if not backend.warm_up_succeeded.is_set():
        is_over = backend.warm_up_ended.is_set()
        detail = "cannot be used: the server's log says why" if is_over else "is being warmed up"
        raise Problem(problems.UNAVAILABLE, f"the library {detail}", headers={"Retry-After": "1"})
    return write_response(answers.HealthAnswer("ready"))


def _refuse_asset(asset_id: str) -> Problem:
    return Problem(
        problems.NO_SUCH_ASSET,
        f"there is no asset {asset_id}: it may have been taken out, or its file indexed anew",
        asset_id=asset_id,
    )
