"""Indexing over HTTP: jobs are started, watched and ended, where that is allowed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mmsearch.errors import ConfigError, MmsearchError
from mmsearch.jobs import Job, OutsideRoots, TooManyJobs
from mmsearch.server.guard.runner import STOPPING
from mmsearch.server.http import job_answers, openapi, problems
from mmsearch.server.http.bodies import read_json
from mmsearch.server.http.job_answers import IndexRequest, JobAnswer, JobsAnswer
from mmsearch.server.http.problems import Problem

if TYPE_CHECKING:
    from mmsearch.jobs import Jobs

LOOK_S = 0.25
"""How often a job that is watched is looked at."""
HEARTBEAT_S = 15.0
RETRY_MS = 2000
MAX_ID_DIGITS = 18
EVENT_STREAM = "text/event-stream"

NO_WRITING = problems.Kind("no-writing", 403, "This server changes nothing")
OUTSIDE = problems.Kind("outside-roots", 403, "This may not be indexed")
NO_SUCH_PATH = problems.Kind("no-such-path", 422, "There is nothing to index")
NO_SUCH_JOB = problems.Kind("no-such-job", 404, "There is no such job")
TOO_MANY = problems.Kind("too-many-jobs", 429, "Too many jobs wait already")

JobId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="As the start of a job gave it.")]


def router(jobs: Callable[[], Jobs], *, allow_write: bool) -> APIRouter:
    """The routes over the jobs of a library; nothing starts where these have no roots."""
    routes = APIRouter(tags=["library"])

    def check_writing() -> None:
        if not allow_write or not jobs().roots:
            raise Problem(
                NO_WRITING,
                "whoever runs it can allow it: mmsearch serve --allow-write --root DIR",
            )

    @routes.post(
        "/v1/index",
        status_code=202,
        summary="Bring the library up to date with folders or files",
        operation_id="index",
        response_model=JobAnswer,
        responses=openapi.problems(NO_WRITING, OUTSIDE, NO_SUCH_PATH, TOO_MANY, body=True)
        | {202: {"headers": {"Location": {"schema": {"type": "string"}}}}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": IndexRequest.model_json_schema()}},
            }
        },
    )
    async def index(request: Request) -> Response:
        """A job in the background, which goes on whoever leaves; unchanged files cost nothing."""
        check_writing()
        asked = await read_json(request, IndexRequest)

        def start() -> Job:
            return jobs().start(
                asked.paths,
                prune=asked.prune,
                kinds=asked.kinds,
                retry_failed=asked.retry_failed,
            )

        try:
            job = await to_thread.run_sync(start)
        except MmsearchError as exc:
            raise _refused(exc) from exc
        told = job_answers.whole(job, request)
        return _json(told, status=202, headers={"Location": told["url"]})

    @routes.get(
        "/v1/jobs",
        summary="The jobs of this server",
        operation_id="jobs",
        response_model=JobsAnswer,
        responses=openapi.problems(),
    )
    async def listed(request: Request) -> Response:
        """Those that run and wait, and the last that are over; the newest first."""
        return _json({"jobs": [job_answers.summary(job, request) for job in jobs().all()]})

    @routes.get(
        "/v1/jobs/{job_id}",
        summary="A job: how far it is, or how it ended",
        operation_id="job",
        response_model=JobAnswer,
        responses=openapi.problems(NO_SUCH_JOB, problems.INVALID)
        | {
            200: {
                "content": {
                    EVENT_STREAM: {
                        "schema": {"type": "string"},
                        "example": 'event: job\nid: 7\ndata: {"state": "running", "done": 3}\n\n',
                    }
                }
            },
            204: {"description": "To a client that comes again when the job is over."},
        },
    )
    async def one(request: Request, job_id: JobId) -> Response:
        """As JSON, or with `Accept: text/event-stream` as server-sent events.

        `job` comes with each change, without failures, `failure` with each of them, and `end` last,
        with all there is to tell. A client that comes again with `Last-Event-ID` misses nothing.
        """
        job = jobs().get(job_id)
        if job is None:
            raise _no_job(job_id)
        vary = {"Vary": "Accept"}
        if not _wants_events(request.headers.get("accept", "")):
            return _json(job_answers.whole(job, request), headers=vary)
        since = _last_seen(request.headers.get("last-event-id", ""))
        if job.is_over and since >= job.seq:
            return Response(status_code=204, headers=vary)  # a browser comes no more
        return StreamingResponse(
            _events(jobs(), job_id, since, request),
            media_type=EVENT_STREAM,
            headers=vary | {"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.delete(
        "/v1/jobs/{job_id}",
        summary="End a job; what it has finished is kept",
        operation_id="cancel_job",
        response_model=JobAnswer,
        responses=openapi.problems(NO_WRITING, NO_SUCH_JOB, problems.INVALID),
    )
    async def cancel(request: Request, job_id: JobId) -> Response:
        """Answered at once: its `state` tells when it has ended. One that is over stays so."""
        check_writing()
        job = jobs().cancel(job_id)
        if job is None:
            raise _no_job(job_id)
        return _json(job_answers.whole(job, request))

    return routes


async def _events(jobs: Jobs, job_id: str, since: int, request: Request) -> AsyncIterator[str]:
    """Server-sent events until the job is over, or the server stops."""
    is_stopping = request.scope.get("extensions", {}).get(STOPPING, lambda: False)
    yield f"retry: {RETRY_MS}\n\n"
    told_s = time.monotonic()
    while (job := jobs.get(job_id)) is not None:
        if job.seq > since:
            for failure in job.failures:
                if failure.seq > since:
                    yield _event("failure", failure.seq, job_answers.failure(failure))
            if job.is_over:
                yield _event("end", job.seq, job_answers.whole(job, request))
                return
            yield _event("job", job.seq, job_answers.summary(job, request))
            since, told_s = job.seq, time.monotonic()
        elif time.monotonic() - told_s > HEARTBEAT_S:
            yield ": still there\n\n"
            told_s = time.monotonic()
        if is_stopping():
            return
        await asyncio.sleep(LOOK_S)


def _event(name: str, seq: int, data: dict[str, Any]) -> str:
    # JSON has no line breaks of its own, so that it is one line of data.
    return f"event: {name}\nid: {seq}\ndata: {_text(data)}\n\n"


def _wants_events(accept: str) -> bool:
    for wanted in accept.lower().split(","):
        kind, *parameters = [part.strip() for part in wanted.split(";")]
        if kind == EVENT_STREAM:
            return not any(part in ("q=0", "q=0.0") for part in parameters)
    return False


def _last_seen(written: str) -> int:
    is_number = written.isascii() and written.isdigit() and len(written) <= MAX_ID_DIGITS
    return int(written) if is_number else 0


def _refused(error: MmsearchError) -> Exception:
    match error:
        case TooManyJobs():
            return Problem(TOO_MANY, str(error), headers={"Retry-After": "10"}, retry_after_s=10)
        case OutsideRoots():
            return Problem(OUTSIDE, str(error))
        case ConfigError():
            return Problem(NO_SUCH_PATH, str(error))
    return error


def _no_job(job_id: str) -> Problem:
    detail = f"there is no job {job_id}: it is long over, or of another run of this server"
    return Problem(NO_SUCH_JOB, detail, job_id=job_id)


def _text(value: Any) -> str:
    # Bytes of a path that are no UTF-8 cannot be sent as they are.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


def _json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        _text(value), status_code=status, headers=headers, media_type="application/json"
    )
