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
from types import TracebackType

from mmsearch.errors import ConfigError, MmsearchError
from mmsearch.jobs.job import Job, Record, State
from mmsearch.jobs.process import Run
from mmsearch.store.location import Location

COMMAND = (sys.executable, "-P", "-m", "mmsearch")
AT_MOST_WAITING = 100
GRACE_S = 30.0
"""What a job has from an interrupt to its end, to write what is finished."""
_STRICT = 3  # the exit code of a run that is whole, with failed files, where `strict` is set


class TooManyJobs(MmsearchError):
    """As many jobs wait as may wait."""


class OutsideRoots(ConfigError):
    """What is asked for lies outside the folders that may be indexed."""


class Jobs:
    """Runs jobs on one library, `at_most` at a time, and remembers the last `kept` that are over.

    A job goes on whoever asked for it; `close` ends all. Any thread may call any method. Where
    there are `roots`, only what lies below them is indexed, wherever links lead.
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
        self._records: dict[str, Record] = {}
        self._waiting: deque[Record] = deque()
        self._running: dict[str, threading.Thread] = {}
        self._is_closed = False
        self._changed = threading.Condition()

    def __enter__(self) -> Jobs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        prune: bool = False,
        kinds: Iterable[str] = (),
        retry_failed: bool = False,
    ) -> Job:
        """Bring the library up to date with folders and files, now or when its turn comes.

        Raises ConfigError for a path that is not there, OutsideRoots, QueryError for a kind that
        there is not, TooManyJobs where too many wait.
        """
        # Here: whoever only looks at jobs does not need them.
        from mmsearch_indexers.discovery import check_roots

        from mmsearch.library.library import parse_kinds
        from mmsearch.media.files import absolute

        asked = [Path(absolute(Path(path))) for path in paths]
        if not asked:
            raise ConfigError("there is nothing to index: name a folder or a file")
        if self.roots:
            asked = [self._below_roots(path) for path in asked]
        check_roots(asked)
        wanted = sorted(kind.value for kind in parse_kinds(kinds))
        options = [f"--kinds={','.join(wanted)}"] if wanted else []
        options += ["--prune"] if prune else []
        options += ["--retry-failed"] if retry_failed else []
        # Followed again by the run, which comes later.
        options += [f"--within={root}" for root in self.roots]
        record = Record(tuple(map(str, asked)), tuple(options))
        with self._changed:
            if self._is_closed:
                raise ConfigError("no job can be started: this program is about to end")
            if len(self._waiting) >= AT_MOST_WAITING:
                raise TooManyJobs(f"{len(self._waiting)} jobs wait: let some of them end first")
            self._records[record.id] = record
            self._waiting.append(record)
            self._launch()
            return record.snapshot()

    def get(self, job_id: str) -> Job | None:
        """A job; None where there is none of that id, or it is long over."""
        with self._changed:
            record = self._records.get(job_id)
            return None if record is None else record.snapshot()

    def all(self) -> list[Job]:
        """All jobs that are remembered, the newest first."""
        with self._changed:
            return [record.snapshot() for record in reversed(self._records.values())]

    def wait_for_change(self, job_id: str, seq: int, timeout_s: float) -> Job | None:
        """A job once its `seq` is above the given one, or after the time, as it then is."""
        with self._changed:
            record = self._records.get(job_id)
            if record is not None:
                self._changed.wait_for(
                    lambda: record.seq > seq or record.finished_at is not None, timeout_s
                )
            return None if record is None else record.snapshot()

    def cancel(self, job_id: str) -> Job | None:
        """End a job; what it has finished is kept. Returns at once: see `wait_for_change`."""
        with self._changed:
            record = self._records.get(job_id)
            if record is not None and record.finished_at is None:
                self._cancel(record)
            return None if record is None else record.snapshot()

    def close(self) -> None:
        """End all jobs, and wait for their ends; what they have finished is kept."""
        with self._changed:
            self._is_closed = True
            for record in self._records.values():
                if record.finished_at is None:
                    self._cancel(record)
            threads = list(self._running.values())
        for thread in threads:
            thread.join(self._grace_s + 5.0)

    def _below_roots(self, path: Path) -> Path:
        """The path with its links followed; the same error whether or not something is there."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):  # a NUL
            real = None
        if real is None or not any(real.is_relative_to(root) for root in self.roots):
            listed = ", ".join(map(str, self.roots))
            raise OutsideRoots(f"{path} may not be indexed here: only what lies below {listed} may")
        return real

    def _cancel(self, record: Record) -> None:
        record.is_cancelled = True
        if record in self._waiting:
            self._waiting.remove(record)
            record.end(State.CANCELLED)
        else:
            record.seq += 1
            record.step = "stopping"
        self._changed.notify_all()

    def _launch(self) -> None:
        """Start what waits as far as it may; forget what is long over. The lock is held."""
        while self._waiting and len(self._running) < self._at_most:
            record = self._waiting.popleft()
            record.seq += 1
            record.state, record.step = State.RUNNING, "starting"
            record.started_at = datetime.now(UTC)
            thread = threading.Thread(target=self._run, args=(record,), daemon=True)
            self._running[record.id] = thread
            thread.start()
        over = [record.id for record in self._records.values() if record.finished_at is not None]
        for job_id in over[: max(0, len(over) - self._kept)]:
            del self._records[job_id]
        self._changed.notify_all()

    def _run(self, record: Record) -> None:
        state, message = State.FAILED, ""
        try:
            run = Run(
                [*self._command, "index", "--json", "--progress", "--library", str(self._library),
                 *record.options, "--", *record.paths],
                is_cancelled=lambda: record.is_cancelled,
                grace_s=self._grace_s,
            )  # fmt: skip
            for events in run.events():
                with self._changed:
                    for event in events:
                        with contextlib.suppress(KeyError, TypeError, ValueError):
                            record.take(event)
                    self._changed.notify_all()
            state, message = _verdict(record, run.code, run.told)
        except Exception as exc:  # whatever it was, the job must not look as if it still ran
            message = f"it could not be run: {exc}"
        finally:
            with self._changed:
                record.end(state, message)
                del self._running[record.id]
                self._launch()


def _verdict(record: Record, code: int, told: str) -> tuple[State, str]:
    if record.is_finished and code in (0, _STRICT):
        return State.DONE, ""
    if record.is_cancelled:
        return State.CANCELLED, "what was finished is kept"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        perhaps = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return State.FAILED, (
            f"its process was ended by {name}{perhaps}; what was finished is kept: start it again "
            f"to go on"
        )
    _, mark, said = told.rpartition("mmsearch: ")  # as the command tells its errors
    said = said.strip() if mark else (told.strip().splitlines() or [""])[-1]
    return State.FAILED, said or f"its process ended with code {code}, and said nothing"
