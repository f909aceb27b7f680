"""Declares the JSON of indexing jobs over HTTP, and builds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from mmsearch.jobs import Job, JobFailure
from mmsearch.jobs.job import JobState
from mmsearch.serialization.json_format import JsonObject, to_plain
from mmsearch.server.http.links import get_root_path
from mmsearch.server.http.requests import Folder, Kind

MAX_PATHS = 100


class IndexRequest(BaseModel):
    """The folders and files to bring the library up to date with."""

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


@dataclass(frozen=True, slots=True)
class FailureAnswer(JsonObject):
    """A file that could not be indexed."""

    path: str
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class JobSummary(JsonObject):
    """A job as it is now. Times are ISO 8601 in UTC."""

    id: str
    url: str
    paths: tuple[str, ...]
    state: JobState
    seq: int = field(metadata={"description": "Grows with every change; the id of its event."})
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    done: int = field(metadata={"description": "Files that are dealt with."})
    total: int | None = field(
        metadata={"description": "Files that need work; null until it is known."}
    )
    rate_per_s: float | None = field(metadata={"description": "Files a second."})
    counts: Mapping[str, int] = field(
        metadata={
            "description": "Files that were indexed, updated, moved, skipped, removed, failed."
        }
    )
    step: str = field(metadata={"description": "What is being done."})
    message: str = field(metadata={"description": "Why it failed."})


@dataclass(frozen=True, slots=True)
class JobAnswer(JobSummary):
    """A job with the first files that it could not index; `counts` says how many there are."""

    failures: tuple[FailureAnswer, ...]


@dataclass(frozen=True, slots=True)
class JobsAnswer(JsonObject):
    """The jobs that are remembered, the newest first."""

    jobs: tuple[JobSummary, ...]


def summarize_job(job: Job, request: Request) -> JobSummary:
    """Builds a job without its failures; its URL is that of the server of `request`."""
    members: dict[str, Any] = to_plain(job)
    del members["failures"]
    url = f"{get_root_path(request)}/v1/jobs/{job.id}"
    rate_per_s = None if job.rate_per_s is None else round(job.rate_per_s, 2)
    return JobSummary(**members | {"url": url, "rate_per_s": rate_per_s})


def build_job(job: Job, request: Request) -> JobAnswer:
    """Builds a job with the first of its failures."""
    failures = tuple(map(build_failure, job.failures))
    return JobAnswer(**to_plain(summarize_job(job, request)), failures=failures)


def build_failure(failure: JobFailure) -> FailureAnswer:
    """Builds a file that could not be indexed."""
    return FailureAnswer(failure.path, failure.error, failure.message)
