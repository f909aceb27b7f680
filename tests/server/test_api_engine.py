"""The pool behind the API: bounded at work, bounded waiting, bounded in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mmsearch.server.http import worker_pool
from mmsearch.server.http.worker_pool import CancellationToken, WorkerPool
from tests.patience import HANG_S


class Seen:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.ends = 0
        self.reasons: list[str] = []

    def record_start(self, waited_s: float) -> None:
        self.waits.append(waited_s)

    def record_end(self) -> None:
        self.ends += 1

    def record_refusal(self, reason: str) -> None:
        self.reasons.append(reason)


async def never() -> None:
    await asyncio.Event().wait()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def run(make: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(make(), HANG_S)

    return asyncio.run(main())


def test_what_work_gives_and_raises_comes_back() -> None:
    pool = WorkerPool("test", threads=1, queue=1, timeout_s=HANG_S)

    def broken(ticket: CancellationToken) -> None:
        raise KeyError(ticket.is_stopped())

    async def both() -> None:
        assert (
            await pool.run(lambda ticket: ticket.is_stopped(), wait_for_disconnect=never) is False
        )
        with pytest.raises(KeyError, match="False"):
            await pool.run(broken, wait_for_disconnect=never)

    run(both)
    assert pool.pending_count == 0
    pool.close()


def test_no_more_than_threads_are_at_work_and_no_more_than_the_queue_wait() -> None:
    seen = Seen()
    pool = WorkerPool("test", threads=2, queue=3, timeout_s=HANG_S, observer=seen)
    at_work, most = 0, 0
    lock, release = threading.Lock(), threading.Event()

    def work(ticket: CancellationToken) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        release.wait(HANG_S)
        with lock:
            at_work -= 1
        return 1

    async def flood() -> list[Any]:
        tasks = [
            asyncio.ensure_future(pool.run(work, wait_for_disconnect=never)) for _ in range(12)
        ]
        await until(lambda: len(seen.reasons) == 7)
        release.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(flood)
    assert results.count(1) == 5
    refused = [one for one in results if isinstance(one, worker_pool.QueueFull)]
    assert len(refused) == 7
    assert all(1 <= one.retry_after_s <= worker_pool.MAX_RETRY_S for one in refused)
    assert most == 2
    assert seen.reasons == ["full"] * 7
    assert seen.ends == 5
    assert pool.pending_count == 0
    pool.close()


def test_work_whose_turn_comes_too_late_never_begins() -> None:
    seen = Seen()
    pool = WorkerPool("test", threads=1, queue=5, timeout_s=0.2, observer=seen)
    release = threading.Event()
    begun: list[str] = []

    async def two() -> list[Any]:
        first = asyncio.ensure_future(
            pool.run(lambda _: release.wait(HANG_S), wait_for_disconnect=never)
        )
        await until(lambda: seen.waits)
        second = asyncio.ensure_future(
            pool.run(lambda _: begun.append("second"), wait_for_disconnect=never)
        )
        found = await asyncio.gather(first, second, return_exceptions=True)
        release.set()
        await until(lambda: pool.pending_count == 0)
        return found

    slow, late = run(two)
    assert isinstance(slow, worker_pool.WorkTimeout)
    assert isinstance(late, worker_pool.QueueTimeout)
    assert not begun
    assert seen.reasons == ["late"]
    pool.close()


def test_work_is_told_when_nobody_waits() -> None:
    pool = WorkerPool("test", threads=1, queue=5, timeout_s=HANG_S)
    begun, stopped = threading.Event(), threading.Event()

    def work(ticket: CancellationToken) -> None:
        begun.set()
        while not ticket.is_stopped():
            time.sleep(0.005)
        stopped.set()

    async def leave() -> None:
        leaving = asyncio.Event()
        task = asyncio.ensure_future(pool.run(work, wait_for_disconnect=leaving.wait))
        waiting = asyncio.ensure_future(pool.run(work, wait_for_disconnect=leaving.wait))
        await until(begun.is_set)
        leaving.set()
        for one in (task, waiting):
            with pytest.raises(worker_pool.ClientGone):
                await one
        await until(lambda: pool.pending_count == 0)

    run(leave)
    assert stopped.is_set()
    pool.close()


def test_work_is_told_when_its_task_is_cancelled() -> None:
    pool = WorkerPool("test", threads=1, queue=0, timeout_s=HANG_S)
    tickets: list[CancellationToken] = []

    def work(ticket: CancellationToken) -> None:
        tickets.append(ticket)
        while not ticket.is_stopped():
            time.sleep(0.005)

    async def cancel() -> None:
        task = asyncio.ensure_future(pool.run(work, wait_for_disconnect=never))
        await until(lambda: tickets)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: pool.pending_count == 0)

    run(cancel)
    pool.close()


def test_work_knows_when_its_time_is_over() -> None:
    ticket = CancellationToken(0.05)
    assert not ticket.is_stopped()
    time.sleep(0.06)
    assert ticket.is_stopped()


def test_closing_lets_nothing_in_and_ends_what_is_there() -> None:
    seen = Seen()
    pool = WorkerPool("test", threads=1, queue=5, timeout_s=HANG_S, observer=seen)
    begun = threading.Event()

    def work(ticket: CancellationToken) -> str:
        begun.set()
        while not ticket.is_stopped():
            time.sleep(0.005)
        return "stopped"

    async def close() -> list[Any]:
        first = asyncio.ensure_future(pool.run(work, wait_for_disconnect=never))
        second = asyncio.ensure_future(pool.run(work, wait_for_disconnect=never))
        await until(begun.is_set)
        await asyncio.to_thread(pool.close, HANG_S)
        found = await asyncio.gather(first, second, return_exceptions=True)
        with pytest.raises(worker_pool.PoolClosing):
            await pool.run(work, wait_for_disconnect=never)
        return found

    first, second = run(close)
    assert first == "stopped"
    assert isinstance(second, worker_pool.PoolClosing)
    assert seen.reasons == ["stopping"] * 2


def test_when_to_come_back_grows_with_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(worker_pool, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    seen = Seen()
    pool = WorkerPool("test", threads=1, queue=30, timeout_s=20, observer=seen)
    release = threading.Event()

    def work(_: CancellationToken) -> None:
        now_s[0] += 0.1

    async def flood() -> int:
        for _ in range(30):  # the pool learns what a run takes
            await pool.run(work, wait_for_disconnect=never)
        tasks = [
            asyncio.ensure_future(
                pool.run(lambda _: release.wait(HANG_S), wait_for_disconnect=never)
            )
            for _ in range(31)
        ]
        await until(lambda: pool.pending_count == 31)
        with pytest.raises(worker_pool.QueueFull) as caught:
            await pool.run(lambda _: None, wait_for_disconnect=never)
        release.set()
        await asyncio.gather(*tasks)
        return caught.value.retry_after_s

    assert 2 <= run(flood) <= 5
    pool.close()
