"""Finds how many rows at once are best, and computes any number of rows in such batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from mmsearch.errors import ModelError

MOST = 1024
"""No batch grows beyond so many rows."""
WORTH = 1.05
"""A doubled batch is kept where it computes more than so many times the rows a second."""
TRIALS = 2
"""A size is judged by the best of so many batches, after one that is not counted."""

_Begun = TypeVar("_Begun")
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


class GrowingBatch:
    """How many rows at once: doubled while that pays, halved when memory is full.

    Pure: it is told what happened, and says what to do next. `size` is how many rows to compute at
    once, `ceiling` the most there may be.
    """

    def __init__(self, first: int, *, most: int = MOST) -> None:
        self.ceiling = max(1, most)
        self.size = max(1, min(first, self.ceiling))
        self.is_settled = False
        self._rate_before = 0.0
        self._size_before = self.size
        self._rates: list[float] = []

    def took(self, rows: int, rate: float, *, has_room: bool = True) -> None:
        """Tell that a batch was computed at `rate` rows (or any measure of work) a second.

        `has_room` is whether memory allows for twice as much. Only full batches say something.
        """
        if self.is_settled or rows != self.size:
            return
        self._rates.append(rate)
        if len(self._rates) <= TRIALS:
            return
        best = max(self._rates[1:])
        self._rates = []
        if best <= self._rate_before * WORTH:
            self.size, self.is_settled = self._size_before, True
        elif not has_room or self.size >= self.ceiling:
            self.is_settled = True
        else:
            self._rate_before, self._size_before = best, self.size
            self.size = min(2 * self.size, self.ceiling)

    def overflowed(self, rows: int) -> None:
        """Tell that memory was full with so many rows, at least two: from now on half of them."""
        self.ceiling = max(1, min(self.ceiling, rows // 2))
        self.size = min(self.size, self.ceiling)
        self._size_before = min(self._size_before, self.size)
        self._rates = []
        # What was measured belongs to a size that is not there any more.
        self._rate_before = 0.0
        self.is_settled = self.is_settled or self.size == self.ceiling


class Steps(Protocol[_Begun, _Result_co]):
    """One batch on a device: begun, which may return before it is computed, and fetched."""

    depth: int
    """How many batches are begun before the first is fetched, so that the device never waits."""

    def begin(self, start: int, stop: int) -> _Begun:
        """Bring these rows over and start to compute them."""
        ...

    def fetch(self, begun: _Begun) -> _Result_co:
        """Wait for them."""
        ...

    def is_overflow(self, error: BaseException) -> bool:
        """Whether an error of the two above says that memory is full."""
        ...

    def release(self) -> None:
        """Give back all memory that can be."""
        ...

    def has_room(self) -> bool:
        """Whether memory allows for twice the rows of the largest batch so far."""
        ...

    def advice(self) -> str:
        """What to tell a person when memory is too small for one row."""
        ...


def compute(
    total: int,
    batch: GrowingBatch,
    steps: Steps[_Begun, _Result],
    *,
    work_per_row: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[_Result]:
    """The results of rows 0 to `total`, in order and each row once, in batches of `batch.size`.

    A batch that memory is too small for is repeated in halves. Raises ModelError where it is too
    small for one row, with the device's error as its cause.
    """
    results: list[_Result] = []
    flying: deque[tuple[int, int, _Begun]] = deque()
    row = 0
    since = clock()
    is_draining = False
    while row < total or flying:
        if is_draining and not flying:
            steps.release()
            is_draining = False
        begins = row < total and len(flying) < steps.depth and not is_draining
        stop = min(row + batch.size, total)
        try:
            if begins:
                flying.append((row, stop, steps.begin(row, stop)))
                row = stop
            else:
                results.append(steps.fetch(flying[0][2]))
        except Exception as exc:  # what a device raises is known to the steps alone
            if not steps.is_overflow(exc):
                raise
            # Its traceback holds the very tensors that memory is too small for.
            overflow = exc.with_traceback(None)
        else:
            if not begins:
                start, stop, _ = flying.popleft()
                before, since = since, clock()
                rate = (stop - start) * work_per_row / max(since - before, 1e-9)
                batch.took(stop - start, rate, has_room=batch.is_settled or steps.has_room())
            continue
        if not begins:  # nothing of it is kept, so what follows it is begun again as well
            row, stop, _ = flying[0]
            flying.clear()
        if stop - row > 1:
            batch.overflowed(stop - row)
        elif not flying:
            raise ModelError(steps.advice()) from overflow
        # What is on its way is fetched first: it is in order, and its memory comes back.
        is_draining = True
    return results
