"""What is asked of jobs and told of them over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmsearch.server.http.requests import Folder, Kind

if TYPE_CHECKING:
    from starlette.requests import Request

    from mmsearch.jobs import Failure, Job

MAX_PATHS = 100


class IndexRequest(BaseModel):
    """What to bring the library up to date with."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"paths": ["/home/me/photos"], "prune": True}]},
    )

    paths: list[Folder] = Field(
        min_length=1,
        max_length=MAX_PATHS,
        description="Folders and files of the server: absolute paths, below its roots.",
    )
    prune: bool = Field(
        default=False, description="Take out the files that are gone from these folders."
    )
    kinds: list[Kind] = Field(default=[], max_length=16, description="Only these kinds.")
    retry_failed: bool = Field(default=False, description="Try the files again that failed before.")


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FailureAnswer(_Told):
    """A file that could not be indexed."""

    path: str
    error: str
    message: str


class JobSummary(_Told):
    """A job as it is now. Times are ISO 8601 in UTC."""

    id: str
    url: str
    paths: list[str]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    seq: int = Field(description="Grows with every change; the id of its event.")
    created_at: str
    started_at: str | None
    finished_at: str | None
    done: int = Field(description="Files that are dealt with.")
    total: int | None = Field(description="Files that need work; null until it is known.")
    rate_per_s: float | None = Field(description="Files a second.")
    counts: dict[str, int] = Field(
        description="Files that were indexed, updated, moved, skipped, removed, failed."
    )
    step: str = Field(description="What is being done.")
    message: str = Field(description="Why it failed.")


class JobAnswer(JobSummary):
    """A job with the first files that it could not index; `counts` says how many there are."""

    failures: list[FailureAnswer]


class JobsAnswer(_Told):
    """The jobs that are remembered, the newest first."""

    jobs: list[JobSummary]


def summary(job: Job, request: Request) -> dict[str, Any]:
    """A `JobSummary`."""
    times = {"created_at": job.created_at, "started_at": job.started_at}
    times["finished_at"] = job.finished_at
    return {
        "id": job.id,
        "url": f"{request.scope.get('root_path', '')}/v1/jobs/{job.id}",
        "paths": list(job.paths),
        "state": job.state.value,
        "seq": job.seq,
        **{name: None if time is None else time.isoformat() for name, time in times.items()},
        "done": job.done,
        "total": job.total,
        "rate_per_s": None if job.rate_per_s is None else round(job.rate_per_s, 2),
        "counts": dict(job.counts),
        "step": job.step,
        "message": job.message,
    }


def whole(job: Job, request: Request) -> dict[str, Any]:
    """A `JobAnswer`."""
    return summary(job, request) | {"failures": [failure(one) for one in job.failures]}


def failure(failure: Failure) -> dict[str, Any]:
    """A `FailureAnswer`."""
    return {"path": failure.path, "error": failure.error, "message": failure.message}
