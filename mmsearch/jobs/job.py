"""A background job: its request, its progress and its end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

SHOWN_FAILURES = 200
MESSAGE_CHARS = 1_000
COUNTED = ("indexed", "updated", "moved", "skipped", "removed", "failed", "partial")
_RATE_AFTER_S = 0.2


class JobState(StrEnum):
    """The state of a job; the last three are its ends."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A file that could not be indexed; `seq` is the value of `Job.seq` after it."""

    path: str
    error: str
    message: str
    seq: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job at one moment; `seq` grows with every change.

    `done` and `total` count the files that need work; `total` is None until they are known.
    `counts` has what `mmsearch index` tells at its end, in files; `failures` are the first
    SHOWN_FAILURES of them. `step` says what is being done, `message` why a job failed.
    """

    id: str
    paths: tuple[str, ...]
    state: JobState
    seq: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    done: int = 0
    total: int | None = None
    rate_per_s: float | None = None
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    failures: tuple[JobFailure, ...] = ()
    step: str = ""
    message: str = ""

    @property
    def is_over(self) -> bool:
        """True when it has ended, well or not."""
        return self.state not in (JobState.QUEUED, JobState.RUNNING)


class JobRecord:
    """A job while it changes; guarded by the condition of its `Jobs`."""

    def __init__(self, paths: tuple[str, ...], options: tuple[str, ...]) -> None:
        self.id = secrets.token_hex(8)
        self.paths = paths
        self.options = options
        self.state = JobState.QUEUED
        self.seq = 1
        self.created_at = datetime.now(UTC)
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.done = 0
        self.total: int | None = None
        self.began: tuple[float, int] | None = None
        self.seen_s = 0.0
        self.counts = dict.fromkeys(COUNTED, 0)
        self.failures: list[JobFailure] = []
        self.step = "waiting"
        self.message = ""
        self.is_finished = False
        self.is_cancelled = False

    def snapshot(self) -> Job:
        """Returns the job as it is now."""
        rate = None
        if self.began is not None and self.seen_s - self.began[0] > _RATE_AFTER_S:
            rate = (self.done - self.began[1]) / (self.seen_s - self.began[0])
        return Job(
            id=self.id, paths=self.paths, state=self.state, seq=self.seq,
            created_at=self.created_at, started_at=self.started_at, finished_at=self.finished_at,
            done=self.done, total=self.total, rate_per_s=rate,
            counts=MappingProxyType(dict(self.counts)), failures=tuple(self.failures),
            step=self.step, message=self.message,
        )  # fmt: skip

    def update(self, event: Mapping[str, Any]) -> None:
        """Takes a line of `mmsearch index --json --progress` into account."""
        self.seq += 1
        name = event["event"]
        if name == "progress":
            self.done, self.total = int(event["done"]), int(event["total"])
            self.seen_s = time.monotonic()
            self.began = self.began or (self.seen_s, self.done)
            self.step = "indexing"
        elif name == "building":
            self.step = f"building the index of {event['space']}, {float(event['share']):.0%}"
        elif name == "finished":
            self.counts = {key: int(event[key]) for key in COUNTED}
            self.total = self.done if self.total is None else self.total
            self.is_finished = True
        elif name in COUNTED:
            self.counts[name] += 1
            self.counts["partial"] += bool(event.get("partial"))
            if name == "failed" and len(self.failures) < SHOWN_FAILURES:
                path, error, text = (str(event[key]) for key in ("path", "error", "message"))
                self.failures.append(JobFailure(path, error, text[:MESSAGE_CHARS], self.seq))

    def finish(self, state: JobState, message: str = "") -> None:
        """Records the end of the job."""
        self.seq += 1
        self.state, self.message, self.step = state, message[:MESSAGE_CHARS], ""
        self.finished_at = datetime.now(UTC)
