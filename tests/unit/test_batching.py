"""Batches grow while it pays, shrink when memory is full, and never lose a row."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.errors import ModelError
from mmsearch.runtime.batching import TRIALS, BatchSizer, compute_in_batches


class Full(Exception):
    """Memory is full."""


class Rows:
    """Computes rows as themselves; `fails(rows, company)` tells when memory is full."""

    def __init__(
        self,
        *,
        depth: int = 1,
        fails: Callable[[int, int], bool] = lambda _rows, _company: False,
        fetch_fails: Callable[[int], bool] = lambda _rows: False,
        room: int = 10**9,
    ) -> None:
        self.depth = depth
        self.begun: list[range] = []
        self.released = 0
        self.most_flying = 0
        self._flying = 0
        self._fails = fails
        self._fetch_fails = fetch_fails
        self._room = room

    def begin(self, start: int, stop: int) -> range:
        if self._fails(stop - start, self._flying):
            raise Full
        self.begun.append(range(start, stop))
        self._flying += 1
        self.most_flying = max(self.most_flying, self._flying)
        return range(start, stop)

    def fetch(self, begun: range) -> list[int]:
        if self._fetch_fails(len(begun)):
            self._flying = 0
            raise Full
        self._flying -= 1
        return list(begun)

    def is_overflow(self, error: BaseException) -> bool:
        return isinstance(error, Full)

    def release(self) -> None:
        assert self._flying == 0
        self.released += 1

    def has_room(self) -> bool:
        return max(map(len, self.begun)) * 2 <= self._room

    def format_advice(self) -> str:
        return "take a smaller model"


def joined(parts: list[list[int]]) -> list[int]:
    return [row for part in parts for row in part]


def grow(batch: BatchSizer, rate: Callable[[int], float]) -> list[int]:
    """The sizes that a batch goes through until it settles."""
    sizes = [batch.size]
    for _ in range(200):
        if batch.is_settled:
            return sizes
        batch.record_batch(batch.size, rate(batch.size))
        if batch.size != sizes[-1]:
            sizes.append(batch.size)
    pytest.fail("it never settles")


# Growth


def test_a_batch_doubles_while_that_pays_and_goes_back_to_the_last_that_did() -> None:
    batch = BatchSizer(8)

    sizes = grow(batch, lambda size: min(size, 64))

    assert sizes == [8, 16, 32, 64, 128, 64]


@pytest.mark.parametrize(("gain", "size"), [(1.04, 16), (1.06, 32)])
def test_a_gain_of_a_few_percent_is_worth_no_memory(gain: float, size: int) -> None:
    batch = BatchSizer(16, most=32)

    grow(batch, lambda size: 100 * (gain if size > 16 else 1))

    assert batch.size == size


def test_the_first_batch_of_a_size_is_not_counted() -> None:
    """It pays for what is set up once."""
    batch = BatchSizer(8)
    batch.record_batch(8, 1000.0)
    for _ in range(TRIALS):
        batch.record_batch(8, 10.0)
    batch.record_batch(16, 1.0)
    for _ in range(TRIALS):
        batch.record_batch(16, 20.0)

    assert batch.size == 32


def test_batches_that_are_not_full_say_nothing() -> None:
    batch = BatchSizer(8)
    for _ in range(50):
        batch.record_batch(5, 1000.0)

    assert batch.size == 8
    assert not batch.is_settled


def test_a_batch_does_not_grow_without_room() -> None:
    batch = BatchSizer(8)
    for _ in range(10):
        batch.record_batch(8, 10.0, has_room=False)

    assert batch.size == 8
    assert batch.is_settled


def test_a_batch_does_not_grow_beyond_the_most() -> None:
    batch = BatchSizer(8, most=20)

    assert grow(batch, float) == [8, 16, 20]


def test_a_batch_that_begins_beyond_the_most_begins_there() -> None:
    assert BatchSizer(64, most=20).size == 20
    assert BatchSizer(0).size == 1


def test_full_memory_halves_a_batch_for_good() -> None:
    batch = BatchSizer(8)
    for _ in range(TRIALS + 1):
        batch.record_batch(8, 10.0)
    assert batch.size == 16

    batch.record_overflow(16)
    for _ in range(10):
        batch.record_batch(8, 1000.0)

    assert (batch.size, batch.max_size) == (8, 8)
    assert batch.is_settled


@given(
    first=st.integers(1, 100),
    most=st.integers(1, 300),
    told=st.lists(st.tuples(st.booleans(), st.floats(0.1, 1e6), st.booleans()), max_size=80),
)
def test_a_batch_is_never_empty_and_never_beyond_what_overflowed(
    first: int, most: int, told: list[tuple[bool, float, bool]]
) -> None:
    batch = BatchSizer(first, most=most)
    too_many = most + 1
    for overflowed, rate, has_room in told:
        if overflowed and batch.size > 1:
            too_many = min(too_many, batch.size)
            batch.record_overflow(batch.size)
        else:
            batch.record_batch(batch.size, rate, has_room=has_room)
        assert 1 <= batch.size < too_many


# All rows, in order


@settings(deadline=None)
@given(
    total=st.integers(0, 300),
    first=st.integers(1, 64),
    depth=st.integers(1, 3),
    limit=st.integers(1, 80),
    seed=st.integers(),
)
def test_no_row_is_lost_or_moved_whatever_memory_does(
    total: int, first: int, depth: int, limit: int, seed: int
) -> None:
    chance = random.Random(seed)

    def begin_fails(rows: int, company: int) -> bool:
        is_rare = chance.random() < 0.1
        return rows > limit or (is_rare and (rows > 1 or company > 0))

    steps = Rows(
        depth=depth,
        fails=begin_fails,
        fetch_fails=lambda rows: rows > 1 and chance.random() < 0.05,
    )
    batch = BatchSizer(first)

    parts = compute_in_batches(total, batch, steps)

    assert joined(parts) == list(range(total))
    assert all(len(part) <= limit for part in parts)
    assert steps.most_flying <= depth


@pytest.mark.parametrize("depth", [1, 2])
def test_the_same_rows_are_repeated_in_halves_after_memory_was_given_back(depth: int) -> None:
    steps = Rows(depth=depth, fails=lambda rows, _company: rows > 4)

    parts = compute_in_batches(20, BatchSizer(16), steps)

    assert joined(parts) == list(range(20))
    assert steps.begun[0] == range(4)
    assert steps.released == 2


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_one_row_that_memory_is_too_small_for_is_an_error_that_says_what_to_do(depth: int) -> None:
    steps = Rows(depth=depth, fails=lambda _rows, _company: True)

    with pytest.raises(ModelError, match="take a smaller model") as raised:
        compute_in_batches(20, BatchSizer(16), steps)
    assert isinstance(raised.value.__cause__, Full)


def test_one_row_that_fails_beside_another_is_tried_alone() -> None:
    steps = Rows(depth=2, fails=lambda _rows, company: company > 0)

    assert joined(compute_in_batches(5, BatchSizer(1), steps)) == list(range(5))
    assert steps.most_flying == 1


def test_an_error_that_is_not_about_memory_is_left_as_it_is() -> None:
    class Broken(Rows):
        def begin(self, start: int, stop: int) -> range:
            raise ValueError(f"{start} {stop}")

    with pytest.raises(ValueError, match="0 8"):
        compute_in_batches(20, BatchSizer(8), Broken())


def test_a_device_is_given_the_next_batch_before_the_first_is_fetched() -> None:
    steps = Rows(depth=2)

    compute_in_batches(64, BatchSizer(8, most=8), steps)

    assert steps.most_flying == 2


def ticking(steps: Rows, overhead_s: float, row_s: float) -> Iterator[float]:
    """A clock for a device that takes so long for a batch, and so long for each of its rows."""
    now = 0.0
    yield now
    done = 0
    while True:
        now += overhead_s + row_s * len(steps.begun[done])
        done += 1
        yield now


def test_the_batch_grows_over_calls_by_the_time_that_batches_take() -> None:
    batch = BatchSizer(8)
    for _ in range(30):
        steps = Rows()
        clock = ticking(steps, overhead_s=0.032, row_s=0.001)
        compute_in_batches(batch.size * 2, batch, steps, clock=clock.__next__)

    # A batch of 256 takes 288 ms, 889 rows a second; of 512 544 ms, 941; of 1024 1056 ms, 970.
    assert batch.is_settled
    assert batch.size == 512


def test_the_batch_does_not_outgrow_the_memory() -> None:
    batch = BatchSizer(8)
    for _ in range(30):
        steps = Rows(room=64)
        clock = ticking(steps, overhead_s=1.0, row_s=0.0)
        compute_in_batches(batch.size * 2, batch, steps, clock=clock.__next__)

    assert batch.size == 64
