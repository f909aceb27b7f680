"""Jobs run in processes of their own: they go on, end, are ended, and tell what happened."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmsearch_indexers.discovery import FileSelection, discover_files

from mmsearch.errors import ConfigError, QueryError
from mmsearch.jobs import Job, Jobs, JobState, OutsideRoots, TooManyJobs
from mmsearch.jobs.job import SHOWN_FAILURES, JobRecord
from mmsearch.jobs.process import LINE_BYTES, JobProcess, LineSplitter
from mmsearch.jobs.runner import AT_MOST_WAITING
from mmsearch.library.library import Library
from mmsearch.store.writer import Lock
from tests.fakes import write_picture, write_text
from tests.patience import HANG_S, wait_until

WAIT_S = HANG_S
Started = Callable[..., Jobs]
MANY = 1000
"""Files enough for a run to be going still when it is cancelled, on any machine."""


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    for number in range(4):
        write_text(folder / f"{number}.txt", f"Story {number}: a lantern in the window.")
    return folder


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Started]:
    """Makes `Jobs` whose process is the given Python program instead of the command."""
    made: list[Jobs] = []

    def make(program: str, **options: float) -> Jobs:
        command = (sys.executable, "-c", program)
        made.append(Jobs(tmp_path / "library", command=command, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()


def ended(jobs: Jobs, job: Job) -> Job:
    return until(jobs, job, lambda now: now.is_over)


def until(jobs: Jobs, job: Job, is_so: Callable[[Job], bool]) -> Job:
    deadline = time.monotonic() + WAIT_S
    now: Job | None = job
    while now is not None and not is_so(now):
        assert time.monotonic() < deadline, now
        now = jobs.wait_for_change(job.id, now.seq, 1.0)
    assert now is not None
    return now


def printing(*events: dict[str, object]) -> str:
    """A program that prints these events and then sleeps for a long time."""
    lines = "\n".join(json.dumps(event) for event in events)
    return f"import time; print({lines!r}, flush=True); time.sleep(100)"


FINISHED = {"event": "finished", "indexed": 2, "updated": 0, "moved": 0, "skipped": 0,
            "removed": 0, "failed": 0, "partial": 0, "seconds": 1.0}  # fmt: skip


def test_a_job_indexes_a_folder_and_tells_how(texts: Path, tmp_path: Path) -> None:
    (texts / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 50)
    with Jobs(tmp_path / "library") as jobs:
        job = jobs.start([texts])
        assert job.state is JobState.RUNNING
        done = ended(jobs, job)

    assert done.state is JobState.DONE, done.message
    assert (done.done, done.total) == (5, 5)
    assert done.counts["indexed"] == 4
    assert done.counts["failed"] == 1
    (failure,) = done.failures
    assert failure.path == str(texts / "broken.png")
    assert failure.error == "DecodeError"
    assert done.finished_at is not None
    assert done.started_at is not None
    assert done.started_at <= done.finished_at
    with Library.open(tmp_path / "library", create=False) as library:
        assert library.status().files == 4


@pytest.mark.slow
def test_options_reach_the_run(texts: Path, tmp_path: Path) -> None:
    write_picture(texts / "red.png", "red")
    with Jobs(tmp_path / "library") as jobs:
        first = ended(jobs, jobs.start([texts], kinds=["image"]))
        assert first.counts["indexed"] == 1
        ended(jobs, jobs.start([texts]))
        (texts / "0.txt").unlink()
        again = ended(jobs, jobs.start([texts], prune=True, retry_failed=True))

    assert again.counts["removed"] == 1
    assert again.counts["skipped"] == 4


def test_names_that_look_like_options_are_files(tmp_path: Path) -> None:
    folder = tmp_path / "--prune"
    write_text(folder / "-rf; touch $HOME.txt", "A lantern in the window.")
    with Jobs(tmp_path / "library") as jobs:
        done = ended(jobs, jobs.start([folder]))

    assert done.state is JobState.DONE, done.message
    assert done.counts["indexed"] == 1


def test_a_locked_library_is_told_as_the_command_tells_it(texts: Path, tmp_path: Path) -> None:
    Library.open(tmp_path / "library").close()
    with Lock(tmp_path / "library"), Jobs(tmp_path / "library") as jobs:
        job = ended(jobs, jobs.start([texts]))

    assert job.state is JobState.FAILED
    assert "another process" in job.message
    assert not job.message.startswith("mmsearch:")


@pytest.mark.parametrize(
    ("paths", "options", "error"),
    [
        ([], {}, ConfigError),
        (["/nonexistent/folder"], {}, ConfigError),
        (["nul\0byte"], {}, ConfigError),
        (["/"], {"kinds": ["smell"]}, QueryError),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(
    paths: list[str], options: dict[str, list[str]], error: type[Exception], tmp_path: Path
) -> None:
    with Jobs(tmp_path / "library") as jobs:
        with pytest.raises(error):
            jobs.start(paths, **options)  # type: ignore[arg-type]
        assert jobs.all() == []


@pytest.mark.slow
def test_a_cancelled_job_keeps_what_it_has_finished(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for number in range(MANY):
        write_text(folder / f"{number:03}.txt", f"Story {number}. " + "A lantern again. " * 20)
    with Jobs(tmp_path / "library") as jobs:
        job = jobs.start([folder])
        until(jobs, job, lambda now: now.done > 0 or now.is_over)
        jobs.cancel(job.id)
        job = ended(jobs, job)

        assert job.state is JobState.CANCELLED
        assert job.total == MANY
        assert 0 < job.done < MANY
        rest = ended(jobs, jobs.start([folder]))  # neither locked nor broken

    assert rest.state is JobState.DONE, rest.message
    assert rest.counts["skipped"] + rest.counts["indexed"] == MANY
    assert rest.counts["skipped"] > 0


def test_a_process_that_dies_is_a_failed_job(running: Started, texts: Path) -> None:
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    job = ended(jobs := running(killed), jobs.start([texts]))

    assert job.state is JobState.FAILED
    assert "SIGKILL" in job.message
    assert "memory" in job.message


def test_a_process_that_ends_early_is_a_failed_job(running: Started, texts: Path) -> None:
    silent = ended(jobs := running("pass"), jobs.start([texts]))
    crashed = ended(jobs := running("raise RuntimeError('so what')"), jobs.start([texts]))
    missing = Jobs(texts / "library", command=("/nonexistent/program",))
    unborn = ended(missing, missing.start([texts]))

    assert {job.state for job in (silent, crashed, unborn)} == {JobState.FAILED}
    assert "code 0" in silent.message
    assert crashed.message == "RuntimeError: so what"
    assert "/nonexistent/program" in unborn.message


def test_garbage_on_its_output_harms_nothing(running: Started, texts: Path) -> None:
    program = f"""
import sys
for line in ("no JSON", "[1, 2]", "{{}}", '{{"event": 5}}', '{{"event": "progress"}}',
             '{{"event": "failed"}}', '{{"event": "progress", "done": "x", "total": []}}',
             "y" * {3 * LINE_BYTES}, '{json.dumps(FINISHED)}'):
    print(line)
sys.stderr.write("noise " * 100_000)
"""
    job = ended(jobs := running(program), jobs.start([texts]))

    assert job.state is JobState.DONE, job.message
    assert job.counts["indexed"] == 2
    assert job.failures == ()


def test_failures_and_messages_are_bounded(running: Started, texts: Path) -> None:
    program = f"""
import itertools
import json
for n in range({3 * SHOWN_FAILURES}):
    print(json.dumps({{"event": "failed", "path": str(n), "error": "E", "message": "m" * 9000}}))
raise SystemExit("mmsearch: " + "e" * 100_000)
"""
    job = ended(jobs := running(program), jobs.start([texts]))

    assert job.counts["failed"] == 3 * SHOWN_FAILURES
    assert len(job.failures) == SHOWN_FAILURES
    assert max(len(failure.message) for failure in job.failures) == 1000
    assert len(job.message) == 1000
    assert [failure.seq for failure in job.failures] == sorted(
        {failure.seq for failure in job.failures}
    )


def test_progress_and_rate_are_told_while_it_runs(running: Started, texts: Path) -> None:
    program = """
import json, time
for done in range(50):
    print(json.dumps({"event": "progress", "done": done + 1, "total": 50}), flush=True)
    time.sleep(0.02)
print(json.dumps({"event": "building", "space": "text", "vectors": 9, "share": 0.25}), flush=True)
time.sleep(100)
"""
    jobs = running(program)
    job = until(
        jobs, jobs.start([texts]), lambda now: now.step.startswith("building") or now.is_over
    )

    assert (job.done, job.total, job.state) == (50, 50, JobState.RUNNING)
    assert job.step == "building the index of text, 25%"
    assert job.rate_per_s is not None
    assert 5 < job.rate_per_s < 60


def test_one_runs_and_the_others_wait_their_turn(running: Started, texts: Path) -> None:
    jobs = running(printing({"event": "progress", "done": 1, "total": 9}))
    first, second, third = (jobs.start([texts]) for _ in range(3))
    until(jobs, first, lambda now: now.done == 1)

    assert [job.id for job in jobs.all()] == [third.id, second.id, first.id]
    assert (second.state, third.state) == (JobState.QUEUED, JobState.QUEUED)
    cancelled = jobs.cancel(second.id)
    assert cancelled is not None
    assert cancelled.state is JobState.CANCELLED  # at once: it had not begun
    jobs.cancel(first.id)
    assert ended(jobs, first).state is JobState.CANCELLED
    until(jobs, third, lambda now: now.state is JobState.RUNNING)


def test_only_so_many_wait_and_only_so_many_are_kept(running: Started, texts: Path) -> None:
    jobs = running(printing(), kept=3)
    first = jobs.start([texts])
    waiting = [jobs.start([texts]) for _ in range(AT_MOST_WAITING)]
    with pytest.raises(TooManyJobs, match="wait"):
        jobs.start([texts])

    for job in waiting:
        jobs.cancel(job.id)
    jobs.start([texts])

    kept = {job.id for job in jobs.all()}
    assert first.id in kept  # what runs is never forgotten
    assert len(kept) == 1 + 3 + 1
    assert jobs.get(waiting[0].id) is None


def test_an_unknown_job_is_none(tmp_path: Path) -> None:
    with Jobs(tmp_path / "library") as jobs:
        assert jobs.get("../../etc/passwd") is None
        assert jobs.cancel("") is None
        assert jobs.wait_for_change("none", 0, 10.0) is None


def test_a_process_that_heeds_no_interrupt_is_killed_with_its_children(
    running: Started, texts: Path
) -> None:
    program = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
print('{"event": "progress", "done": %d, "total": 1}' % child.pid, flush=True)
time.sleep(100)
"""
    jobs = running(program, grace_s=0.5)
    job = until(jobs, jobs.start([texts]), lambda now: now.done > 0)
    jobs.cancel(job.id)

    assert ended(jobs, job).state is JobState.CANCELLED
    wait_until(lambda: not is_alive(job.done))


def test_close_ends_all_and_nothing_starts_afterwards(running: Started, texts: Path) -> None:
    """It interrupts what runs: who waited for it to be killed would wait for hours."""
    options = {"grace_s": 10_000.0}
    jobs = running(printing({"event": "progress", "done": os.getpid(), "total": 1}), **options)
    first, second = jobs.start([texts]), jobs.start([texts])
    until(jobs, first, lambda now: now.done > 0)
    closing = threading.Thread(target=jobs.close, daemon=True)
    closing.start()
    closing.join(WAIT_S)

    assert not closing.is_alive()
    assert {job.state for job in jobs.all()} == {JobState.CANCELLED}
    assert jobs.get(second.id) is not None
    with pytest.raises(ConfigError, match="about to end"):
        jobs.start([texts])


def test_a_job_inherits_no_socket_and_no_secret(
    running: Started, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server's: its port would stay taken for as long as the job runs."""
    monkeypatch.setenv("MMSEARCH_TOKEN", "a secret of the server")
    program = """
import json, os
held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")]
said = f"{[name for name in held if 'socket' in name]} {'MMSEARCH_TOKEN' in os.environ}"
print(json.dumps({"event": "failed", "path": said, "error": "", "message": ""}))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        job = ended(jobs := running(program), jobs.start([texts]))

    assert job.failures[0].path == "[] False"


def test_a_job_gives_way_to_searches(running: Started, texts: Path) -> None:
    program = """
import json, os, time
while os.nice(0) < 10:
    time.sleep(0.01)
print(json.dumps({"event": "progress", "done": os.nice(0), "total": 1}), flush=True)
time.sleep(100)
"""
    jobs = running(program)
    job = until(jobs, jobs.start([texts]), lambda now: now.total is not None or now.is_over)

    assert job.done >= 10


def test_ctrl_c_reaches_a_job_only_through_its_owner(running: Started, texts: Path) -> None:
    jobs = running("import os, time; print('{\"event\": \"progress\", \"done\": %d, \"total\": 1}'"
                   " % os.getsid(0), flush=True); time.sleep(100)")  # fmt: skip
    job = until(jobs, jobs.start([texts]), lambda now: now.done > 0)

    assert job.done != os.getsid(0)


def test_waiting_for_a_change_ends_with_the_time(running: Started, texts: Path) -> None:
    jobs = running(printing())
    job = jobs.start([texts])
    began = time.monotonic()
    same = jobs.wait_for_change(job.id, job.seq, 0.3)

    assert same is not None
    assert same.seq == job.seq
    assert 0.25 < time.monotonic() - began < WAIT_S


@given(
    lines=st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=8),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_lines_are_the_same_however_they_come(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    cutter = LineSplitter()
    found = [line for a, b in itertools.pairwise(edges) for line in cutter.feed(data[a:b])]

    assert found == lines


def test_a_line_without_end_takes_no_memory() -> None:
    cutter = LineSplitter()
    for _ in range(100):
        assert cutter.feed(b"x" * LINE_BYTES) == []
    assert sum(len(part) for part in (cutter._begun,)) <= LINE_BYTES
    assert cutter.feed(b"\nshort\n") == [b"short"]


EVENTS = st.one_of(
    st.fixed_dictionaries(
        {
            "event": st.sampled_from(
                ["indexed", "updated", "moved", "skipped", "removed", "failed"]
            ),
            "path": st.text(max_size=5),
            "error": st.just("DecodeError"),
            "message": st.text(max_size=5),
        }
    ),
    st.fixed_dictionaries(
        {"event": st.just("progress"), "done": st.integers(0, 9), "total": st.integers(0, 9)}
    ),
)


@given(st.lists(EVENTS, max_size=30))
def test_counts_are_those_of_the_events_and_seq_grows(events: list[dict[str, object]]) -> None:
    record = JobRecord(("/",), ())
    last = record.snapshot()
    for event in events:
        record.update(event)
        now = record.snapshot()
        assert now.seq > last.seq
        last = now

    for name, count in last.counts.items():
        assert count == sum(event["event"] == name for event in events)
    assert [failure.path for failure in last.failures] == [
        event["path"] for event in events if event["event"] == "failed"
    ]


def test_a_run_that_is_given_up_leaves_no_process() -> None:
    """As when the thread that reads it fails."""
    run = JobProcess(
        command(f"import os; {PID_AND_SLEEP}"), is_cancelled=lambda: False, grace_s=1.0
    )
    events = run.events()
    (event,) = next(events)
    events.close()  # type: ignore[attr-defined]

    assert not is_alive(int(event["pid"]))


PID_AND_SLEEP = "print('{\"pid\": %d}' % os.getpid(), flush=True); import time; time.sleep(100)"


def command(program: str) -> Sequence[str]:
    return [sys.executable, "-c", program]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_no_link_is_followed_out_of_the_folders_that_are_meant(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_text(root / "deep" / "own.txt", "mine")
    write_text(outside / "other.txt", "not meant")
    (root / "own link.txt").symlink_to(root / "deep" / "own.txt")
    (root / "file.txt").symlink_to(outside / "other.txt")
    (root / "deep" / "folder").symlink_to(outside)
    (root / "chain").symlink_to(root / "deep" / "folder" / "other.txt")
    (root / "dangling").symlink_to(outside / "none")
    (tmp_path / "way in").symlink_to(root / "deep")

    def names(within: tuple[str, ...], *roots: Path) -> set[str]:
        return {Path(one.path).name for one in discover_files(roots, FileSelection(within=within))}

    assert names((str(root),), root) == {"own.txt", "own link.txt"}
    assert names((str(root), str(outside)), root) > {"own.txt", "own link.txt", "file.txt"}
    assert names((str(root),), tmp_path / "way in") == {"own.txt"}
    for way_out in (outside, root / "deep" / "folder", tmp_path, root / "file.txt"):
        with pytest.raises(ConfigError, match="leads out"):
            names((str(root),), way_out)


def test_roots_bound_what_is_indexed(tmp_path: Path, texts: Path) -> None:
    (texts / "link").symlink_to(tmp_path)
    with Jobs(tmp_path / "library", roots=[texts], command=(sys.executable, "-c", "pass")) as jobs:
        for path in (tmp_path, texts / ".." / "x", texts / "link", f"{texts}2", "/", "nul\0byte"):
            with pytest.raises(OutsideRoots, match="may not be indexed"):
                jobs.start([texts, path])
        assert jobs.all() == []
        assert jobs.start([texts / "link" / "texts" / "0.txt"]).paths == (str(texts / "0.txt"),)


def test_signal_names_are_told(running: Started, texts: Path) -> None:
    program = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    job = ended(jobs := running(program), jobs.start([texts]))

    assert "SIGSEGV" in job.message
