"""Runs jobs on a library, a few at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mmsearch.errors import ConfigError, MmsearchError
from mmsearch.jobs.job import Job, JobRecord, JobState
from mmsearch.jobs.process import JobProcess
from mmsearch.runtime.closing import Closing
from mmsearch.store.location import Location

COMMAND = (sys.executable, "-P", "-m", "mmsearch")
AT_MOST_WAITING = 100
GRACE_S = 30.0
"""Seconds from an interrupt to a kill, in which a job writes its finished files."""
_STRICT = 3  # the exit code of a complete run with failed files, with `--strict`


class TooManyJobs(MmsearchError):
    """The queue of jobs is full."""


class OutsideRoots(ConfigError):
    """A path lies outside the folders that may be indexed."""


class Jobs(Closing):
    """Runs jobs on one library, `at_most` at a time, and remembers the last `kept` ended ones.

    A job goes on after the request that started it; `close` ends all. Any thread may call any
    method. With `roots`, only paths that lie below one of them, links resolved, are indexed.
    """

    def __init__(
        self,
        library: str | os.PathLike[str] | Location,
        *,
        at_most: int = 1,
        kept: int = 50,
        roots: Iterable[str | os.PathLike[str]] = (),
        command: Sequence[str] = COMMAND,
        grace_s: float = GRACE_S,
    ) -> None:
        self._library = Location.parse(library)
        self._at_most = at_most
        self._kept = kept
        self.roots = tuple(Path(os.path.realpath(Path(root).expanduser())) for root in roots)
        self._command = tuple(command)
        self._grace_s = grace_s
        self._records: dict[str, JobRecord] = {}
        self._waiting: deque[JobRecord] = deque()
        self._running: dict[str, threading.Thread] = {}
        self._is_closed = False
        self._changed = threading.Condition()

    def start(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        prune: bool = False,
        kinds: Iterable[str] = (),
        retry_failed: bool = False,
    ) -> Job:
        """Starts indexing folders and files, now or when its turn comes.

        Raises ConfigError for a path that is not there, OutsideRoots, QueryError for a kind that
        there is not, TooManyJobs where too many wait.
        """
        # Here: whoever only looks at jobs does not need them.
        from mmsearch_indexers.discovery import check_roots

        from mmsearch.media.files import make_absolute
        from mmsearch.query.request import parse_kinds

        targets = [Path(make_absolute(Path(path))) for path in paths]
        if not targets:
            raise ConfigError("there is nothing to index: name a folder or a file")
        if self.roots:
            targets = [self._check_roots(path) for path in targets]
        check_roots(targets)
        kind_names = sorted(kind.value for kind in parse_kinds(kinds))
        options = [f"--kinds={','.join(kind_names)}"] if kind_names else []
        options += ["--prune"] if prune else []
        options += ["--retry-failed"] if retry_failed else []
        # Followed again by the run, which comes later.
        options += [f"--within={root}" for root in self.roots]
        record = JobRecord(tuple(map(str, targets)), tuple(options))
        with self._changed:
            if self._is_closed:
                raise ConfigError("no job can be started: this program is about to end")
            if len(self._waiting) >= AT_MOST_WAITING:
                raise TooManyJobs(f"{len(self._waiting)} jobs wait: let some of them end first")
            self._records[record.id] = record
            self._waiting.append(record)
            self._start_waiting()
            return record.snapshot()

    def get(self, job_id: str) -> Job | None:
        """Returns a job; None for an unknown id, or a job that ended long ago."""
        with self._changed:
            record = self._records.get(job_id)
            return None if record is None else record.snapshot()

    def all(self) -> list[Job]:
        """Returns all remembered jobs, the newest first."""
        with self._changed:
            return [record.snapshot() for record in reversed(self._records.values())]

    def wait_for_change(self, job_id: str, seq: int, timeout_s: float) -> Job | None:
        """Returns a job once its `seq` is above the given one, or after the time, as it then is."""
        with self._changed:
            record = self._records.get(job_id)
            if record is not None:
                self._changed.wait_for(
                    lambda: record.seq > seq or record.finished_at is not None, timeout_s
                )
            return None if record is None else record.snapshot()

    def cancel(self, job_id: str) -> Job | None:
        """Ends a job, keeping what it finished. Returns at once: see `wait_for_change`."""
        with self._changed:
            record = self._records.get(job_id)
            if record is not None and record.finished_at is None:
                self._cancel(record)
            return None if record is None else record.snapshot()

    def close(self) -> None:
        """Ends all jobs and waits for their ends; what they finished is kept."""
        with self._changed:
            self._is_closed = True
            for record in self._records.values():
                if record.finished_at is None:
                    self._cancel(record)
            threads = list(self._running.values())
        for thread in threads:
            thread.join(self._grace_s + 5.0)

    def _check_roots(self, path: Path) -> Path:
        """Resolves the links of a path; the error does not reveal if the path exists."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):  # a NUL
            real = None
        if real is None or not any(real.is_relative_to(root) for root in self.roots):
            roots = ", ".join(map(str, self.roots))
            raise OutsideRoots(f"{path} may not be indexed here: only what lies below {roots} may")
        return real

    def _cancel(self, record: JobRecord) -> None:
        record.is_cancelled = True
        if record in self._waiting:
            self._waiting.remove(record)
            record.finish(JobState.CANCELLED)
        else:
            record.seq += 1
            record.step = "stopping"
        self._changed.notify_all()

    def _start_waiting(self) -> None:
        """Starts waiting jobs as far as allowed; forgets old ones. The lock is held."""
        while self._waiting and len(self._running) < self._at_most:
            record = self._waiting.popleft()
            record.seq += 1
            record.state, record.step = JobState.RUNNING, "starting"
            record.started_at = datetime.now(UTC)
            thread = threading.Thread(target=self._run, args=(record,), daemon=True)
            self._running[record.id] = thread
            thread.start()
        over = [record.id for record in self._records.values() if record.finished_at is not None]
        for job_id in over[: max(0, len(over) - self._kept)]:
            del self._records[job_id]
        self._changed.notify_all()

    def _run(self, record: JobRecord) -> None:
        state, message = JobState.FAILED, ""
        try:
            run = JobProcess(
                [*self._command, "index", "--json", "--progress", "--library", str(self._library),
                 *record.options, "--", *record.paths],
                is_cancelled=lambda: record.is_cancelled,
                grace_s=self._grace_s,
            )  # fmt: skip
            for events in run.events():
                with self._changed:
                    for event in events:
                        with contextlib.suppress(KeyError, TypeError, ValueError):
                            record.update(event)
                    self._changed.notify_all()
            state, message = _judge_end(record, run.code, run.stderr_tail)
        except Exception as exc:  # whatever it was, the job must not look as if it still ran
            message = f"it could not be run: {exc}"
        finally:
            with self._changed:
                record.finish(state, message)
                del self._running[record.id]
                self._start_waiting()


def _judge_end(record: JobRecord, code: int, stderr: str) -> tuple[JobState, str]:
    if record.is_finished and code in (0, _STRICT):
        return JobState.DONE, ""
    if record.is_cancelled:
        return JobState.CANCELLED, "what was finished is kept"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        guess = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return JobState.FAILED, (
            f"its process was ended by {name}{guess}; what was finished is kept: start it again "
            f"to go on"
        )
    _, mark, reason = stderr.rpartition("mmsearch: ")  # as the command tells its errors
    reason = reason.strip() if mark else (stderr.strip().splitlines() or [""])[-1]
    return JobState.FAILED, reason or f"its process ended with code {code}, and said nothing"
