"""Finds the fastest batch size and computes any number of rows in such batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from mmsearch.errors import ModelError

MAX_ROWS = 1024
"""The limit of a batch that grows."""
MIN_SPEEDUP = 1.05
"""A doubled batch is kept if it computes more than so many times the rows a second."""
TRIALS = 2
"""Batches of a size whose best counts, after one that does not."""

_Batch = TypeVar("_Batch")
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


class BatchSizer:
    """A batch size that doubles while that pays and halves when memory is full.

    Pure: it only records events. `size` is the rows to compute at once, `max_size` their limit.
    """

    def __init__(self, first: int, *, most: int = MAX_ROWS) -> None:
        self.max_size = max(1, most)
        self.size = max(1, min(first, self.max_size))
        self.is_settled = False
        self._rate_before = 0.0
        self._size_before = self.size
        self._rates: list[float] = []

    def record_batch(self, rows: int, rate: float, *, has_room: bool = True) -> None:
        """Records that a batch was computed at `rate` rows (or any measure of work) a second.

        `has_room` tells if memory allows for twice as much. Only full batches count.
        """
        if self.is_settled or rows != self.size:
            return
        self._rates.append(rate)
        if len(self._rates) <= TRIALS:
            return
        best = max(self._rates[1:])
        self._rates = []
        if best <= self._rate_before * MIN_SPEEDUP:
            self.size, self.is_settled = self._size_before, True
        elif not has_room or self.size >= self.max_size:
            self.is_settled = True
        else:
            self._rate_before, self._size_before = best, self.size
            self.size = min(2 * self.size, self.max_size)

    def record_overflow(self, rows: int) -> None:
        """Records that memory was full with so many rows, at least two, and halves the limit."""
        self.max_size = max(1, min(self.max_size, rows // 2))
        self.size = min(self.size, self.max_size)
        self._size_before = min(self._size_before, self.size)
        self._rates = []
        self._rate_before = 0.0  # measured at a size that is no longer allowed
        self.is_settled = self.is_settled or self.size == self.max_size


class BatchDevice(Protocol[_Batch, _Result_co]):
    """A device that computes batches: `begin` may return before the batch is computed."""

    depth: int
    """Batches that are begun before the first is fetched, so that the device never waits."""

    def begin(self, start: int, stop: int) -> _Batch:
        """Copies these rows over and starts to compute them."""
        ...

    def fetch(self, batch: _Batch) -> _Result_co:
        """Waits for the rows and returns them."""
        ...

    def is_overflow(self, error: BaseException) -> bool:
        """Tests if an error of the two above means that memory is full."""
        ...

    def release(self) -> None:
        """Releases unused memory."""
        ...

    def has_room(self) -> bool:
        """Tests if memory allows for twice the rows of the largest batch so far."""
        ...

    def format_advice(self) -> str:
        """Returns the message for a user whose memory is too small for one row."""
        ...


def compute_in_batches(
    total: int,
    batch: BatchSizer,
    device: BatchDevice[_Batch, _Result],
    *,
    work_per_row: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[_Result]:
    """Computes rows 0 to `total`, in order and each once, in batches of `batch.size`.

    A batch that memory is too small for is repeated in halves. Raises ModelError if memory is too
    small for one row, with the device's error as its cause.
    """
    results: list[_Result] = []
    in_flight: deque[tuple[int, int, _Batch]] = deque()
    row = 0
    since = clock()
    is_draining = False
    while row < total or in_flight:
        if is_draining and not in_flight:
            device.release()
            is_draining = False
        begins = row < total and len(in_flight) < device.depth and not is_draining
        stop = min(row + batch.size, total)
        try:
            if begins:
                in_flight.append((row, stop, device.begin(row, stop)))
                row = stop
            else:
                results.append(device.fetch(in_flight[0][2]))
        except Exception as exc:  # only the device knows its errors
            if not device.is_overflow(exc):
                raise
            # Its traceback holds the very tensors that memory is too small for.
            overflow = exc.with_traceback(None)
        else:
            if not begins:
                start, stop, _ = in_flight.popleft()
                before, since = since, clock()
                rate = (stop - start) * work_per_row / max(since - before, 1e-9)
                batch.record_batch(
                    stop - start, rate, has_room=batch.is_settled or device.has_room()
                )
            continue
        if not begins:  # it failed, so the batches behind it are begun again as well
            row, stop, _ = in_flight[0]
            in_flight.clear()
        if stop - row > 1:
            batch.record_overflow(stop - row)
        elif not in_flight:
            raise ModelError(device.format_advice()) from overflow
        # Batches in flight are fetched first: they are in order, and free memory.
        is_draining = True
    return results
