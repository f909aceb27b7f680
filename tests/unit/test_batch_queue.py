"""What waits for the encoder: in order, bounded in bytes, never stuck."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from mmsearch_indexers.batch_queue import BatchQueue

from tests.patience import HANG_S


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 5), st.integers(0, 40))
def test_everything_comes_out_once_and_in_order(sizes: list[int], most: int, limit: int) -> None:
    waiting: BatchQueue[int] = BatchQueue(limit)
    held = 0
    taken: list[int] = []
    for number, size in enumerate(sizes):
        while not waiting.put(number, size, timeout_s=0.0):
            out = waiting.take(most, timeout_s=0.0)
            assert out, "no room, and yet nothing to take"
            held -= sum(sizes[one] for one in out)
            taken += out
        held += size
        assert held <= max(limit, size)
    while out := waiting.take(most, timeout_s=0.0):
        assert len(out) <= most
        taken += out
    assert taken == list(range(len(sizes)))


def test_one_thing_that_is_larger_than_the_bound_passes_alone() -> None:
    waiting: BatchQueue[str] = BatchQueue(10)
    assert waiting.put("huge", 1000, timeout_s=0.0)
    assert not waiting.put("small", 1, timeout_s=0.01)
    assert waiting.take(8, timeout_s=0.0) == ["huge"]
    assert waiting.put("small", 1, timeout_s=0.0)


def test_who_waits_for_room_goes_on_when_something_is_taken() -> None:
    waiting: BatchQueue[int] = BatchQueue(1)
    assert waiting.put(1, 1, timeout_s=0.0)
    put = threading.Thread(target=lambda: waiting.put(2, 1, timeout_s=HANG_S))
    put.start()
    assert waiting.take(1, timeout_s=HANG_S) == [1]
    put.join(HANG_S)
    assert not put.is_alive()
    assert waiting.take(1, timeout_s=HANG_S) == [2]


def test_nothing_comes_of_an_empty_one_in_time() -> None:
    assert BatchQueue[int](1).take(1, timeout_s=0.01) == []
