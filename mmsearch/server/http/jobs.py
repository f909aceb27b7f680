"""Routes that start, watch and end indexing jobs, where that is allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mmsearch.errors import ConfigError, MmsearchError
from mmsearch.jobs import Job, OutsideRoots, TooManyJobs
from mmsearch.serialization.json_format import JsonObject, write_json_bytes
from mmsearch.server import problems
from mmsearch.server.guard.runner import STOPPING
from mmsearch.server.http import job_answers, openapi
from mmsearch.server.http.bodies import read_json, write_response
from mmsearch.server.http.job_answers import IndexRequest, JobAnswer, JobsAnswer
from mmsearch.server.problems import Problem

if TYPE_CHECKING:
    from mmsearch.jobs import Jobs

POLL_S = 0.25
"""The interval at which a watched job is read."""
HEARTBEAT_S = 15.0
RETRY_MS = 2000
MAX_ID_DIGITS = 18
EVENT_STREAM = "text/event-stream"

JobId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="As the start of a job gave it.")]


def create_router(jobs: Callable[[], Jobs], *, allow_write: bool) -> APIRouter:
    """Creates the routes over the jobs of a library; nothing starts where these have no roots."""
    routes = APIRouter(tags=["library"])

    def check_writing() -> None:
        if not allow_write or not jobs().roots:
            raise Problem(
                problems.NO_WRITING,
                "whoever runs it can allow it: mmsearch serve --allow-write --root DIR",
            )

    @routes.post(
        "/v1/index",
        status_code=202,
        summary="Bring the library up to date with folders or files",
        operation_id="index",
        response_model=JobAnswer,
        responses=openapi.problems(
            problems.NO_WRITING,
            problems.OUTSIDE_ROOTS,
            problems.NO_SUCH_PATH,
            problems.TOO_MANY_JOBS,
            body=True,
        )
        | {202: {"headers": {"Location": {"schema": {"type": "string"}}}}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": IndexRequest.model_json_schema()}},
            }
        },
    )
    async def index(request: Request) -> Response:
        """Starts a job in the background, which goes on whoever leaves; skips unchanged files."""
        check_writing()
        body = await read_json(request, IndexRequest)
        start = partial(
            jobs().start,
            body.paths,
            prune=body.prune,
            kinds=body.kinds,
            retry_failed=body.retry_failed,
        )
        try:
            job = await to_thread.run_sync(start)
        except MmsearchError as exc:
            raise _convert_error(exc) from exc
        answer = job_answers.build_job(job, request)
        return write_response(answer, status=202, headers={"Location": answer.url})

    @routes.get(
        "/v1/jobs",
        summary="The jobs of this server",
        operation_id="jobs",
        response_model=JobsAnswer,
        responses=openapi.problems(),
    )
    async def list_jobs(request: Request) -> Response:
        """Lists jobs that run and wait, and the last that are over; the newest first."""
        summaries = [job_answers.summarize_job(job, request) for job in jobs().all()]
        return write_response(JobsAnswer(tuple(summaries)))

    @routes.get(
        "/v1/jobs/{job_id}",
        summary="A job: how far it is, or how it ended",
        operation_id="job",
        response_model=JobAnswer,
        responses=openapi.problems(problems.NO_SUCH_JOB, problems.INVALID)
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
    async def get_job(request: Request, job_id: JobId) -> Response:
        """Answers JSON, or with `Accept: text/event-stream` as server-sent events.

        `job` comes with each change, without failures, `failure` with each of them, and `end` last,
        with all there is to tell. A client that comes again with `Last-Event-ID` misses nothing.
        """
        job = _check_job(jobs().get(job_id), job_id)
        vary = {"Vary": "Accept"}
        if not _wants_events(request.headers.get("accept", "")):
            return write_response(job_answers.build_job(job, request), headers=vary)
        since = _parse_event_id(request.headers.get("last-event-id", ""))
        if job.is_over and since >= job.seq:
            return Response(status_code=204, headers=vary)  # a browser comes no more
        return StreamingResponse(
            _stream_events(jobs(), job_id, since, request),
            media_type=EVENT_STREAM,
            headers=vary | {"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.delete(
        "/v1/jobs/{job_id}",
        summary="End a job; what it has finished is kept",
        operation_id="cancel_job",
        response_model=JobAnswer,
        responses=openapi.problems(problems.NO_WRITING, problems.NO_SUCH_JOB, problems.INVALID),
    )
    async def cancel(request: Request, job_id: JobId) -> Response:
        """Answers at once: `state` tells when the job has ended. One that is over stays so."""
        check_writing()
        job = _check_job(jobs().cancel(job_id), job_id)
        return write_response(job_answers.build_job(job, request))

    return routes


async def _stream_events(
    jobs: Jobs, job_id: str, since: int, request: Request
) -> AsyncIterator[str]:
    """Streams server-sent events until the job is over, or the server stops."""
    is_stopping = request.scope.get("extensions", {}).get(STOPPING, lambda: False)
    yield f"retry: {RETRY_MS}\n\n"
    sent_s = time.monotonic()
    while (job := jobs.get(job_id)) is not None:
        if job.seq > since:
            for failure in job.failures:
                if failure.seq > since:
                    yield _format_event("failure", failure.seq, job_answers.build_failure(failure))
            if job.is_over:
                yield _format_event("end", job.seq, job_answers.build_job(job, request))
                return
            yield _format_event("job", job.seq, job_answers.summarize_job(job, request))
            since, sent_s = job.seq, time.monotonic()
        elif time.monotonic() - sent_s > HEARTBEAT_S:
            yield ": still there\n\n"
            sent_s = time.monotonic()
        if is_stopping():
            return
        await asyncio.sleep(POLL_S)


def _format_event(name: str, seq: int, data: JsonObject) -> str:
    # JSON has no line breaks of its own, so that it is one line of data.
    return f"event: {name}\nid: {seq}\ndata: {write_json_bytes(data).decode()}\n\n"


def _wants_events(accept: str) -> bool:
    for media_range in accept.lower().split(","):
        kind, *parameters = [part.strip() for part in media_range.split(";")]
        if kind == EVENT_STREAM:
            return not any(part in ("q=0", "q=0.0") for part in parameters)
    return False


def _parse_event_id(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_ID_DIGITS
    return int(text) if is_number else 0


def _convert_error(error: MmsearchError) -> Exception:
    match error:
        case TooManyJobs():
            return Problem(
                problems.TOO_MANY_JOBS,
                str(error),
                headers={"Retry-After": "10"},
                retry_after_s=10,
            )
        case OutsideRoots():
            return Problem(problems.OUTSIDE_ROOTS, str(error))
        case ConfigError():
            return Problem(problems.NO_SUCH_PATH, str(error))
    return error


def _check_job(job: Job | None, job_id: str) -> Job:
    if job is None:
        raise Problem(
            problems.NO_SUCH_JOB,
            f"there is no job {job_id}: it is long over, or of another run of this server",
            job_id=job_id,
        )
    return job
