"""Queries of many threads: each text encoded once, together with what waits."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.encoders.query_batcher import MAX_BATCH, MAX_CACHED, QueryBatcher
from tests.fakes import DIM, direction
from tests.patience import HANG_S


class Network:
    """Counts what it is asked; with `gate` its first run waits until the gate is open."""

    def __init__(self, *, gate: threading.Event | None = None) -> None:
        self.runs: list[list[str]] = []
        self.running = threading.Event()
        self._gate = gate

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.runs.append(list(texts))
        self.running.set()
        if self._gate is not None and len(self.runs) == 1:
            assert self._gate.wait(HANG_S)
        if any("bad" in text for text in texts):
            raise ValueError(f"bad among {len(texts)}")
        return np.stack([direction(text) for text in texts]) if texts else np.zeros((0, DIM))

    @property
    def asked(self) -> Counter[str]:
        return Counter(text for run in self.runs for text in run)


texts = st.lists(st.text(max_size=3), max_size=10)


@given(st.lists(texts, max_size=5))
def test_the_vectors_are_those_of_the_network_in_the_order_asked(asked: list[list[str]]) -> None:
    asking = QueryBatcher(Network())
    for one in asked:
        expected = [direction(text) for text in one]
        assert np.array_equal(asking(one), np.stack(expected) if one else np.zeros((0, DIM)))


@given(st.lists(st.text(min_size=1, max_size=2), min_size=1, max_size=40))
@settings(max_examples=20)
def test_many_threads_get_what_each_asked(asked: list[str]) -> None:
    network = Network()
    asking = QueryBatcher(network)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: asking([text])[0], asked))
    assert np.array_equal(np.stack(rows), np.stack([direction(text) for text in asked]))
    assert max(network.asked.values()) == 1


def test_what_waits_while_the_network_runs_goes_together() -> None:
    gate = threading.Event()
    network = Network(gate=gate)
    asking = QueryBatcher(network)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(asking, ["first"])
        assert network.running.wait(HANG_S)
        rest = [pool.submit(asking, [f"query {number % 3}"]) for number in range(6)]
        while len(asking._waiting) < 3:
            pass
        gate.set()
        for number, one in enumerate(rest):
            assert np.array_equal(one.result(HANG_S)[0], direction(f"query {number % 3}"))
        assert np.array_equal(first.result(HANG_S)[0], direction("first"))

    assert network.runs[0] == ["first"]
    assert sorted(network.runs[1]) == ["query 0", "query 1", "query 2"]
    assert len(network.runs) == 2


def test_one_that_fails_does_not_fail_the_others() -> None:
    gate = threading.Event()
    network = Network(gate=gate)
    asking = QueryBatcher(network)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(asking, ["first"])
        assert network.running.wait(HANG_S)
        bad, good = pool.submit(asking, ["bad"]), pool.submit(asking, ["good"])
        while len(asking._waiting) < 2:
            pass
        gate.set()
        assert np.array_equal(good.result(HANG_S)[0], direction("good"))
        first.result(HANG_S)
        with pytest.raises(ValueError, match="bad among 1"):
            bad.result(HANG_S)
    with pytest.raises(ValueError, match="bad among 1"):  # it is not kept
        asking(["bad"])


def test_no_more_are_kept_than_some_hundred() -> None:
    network = Network()
    asking = QueryBatcher(network)
    for number in range(MAX_CACHED + 1):
        asking([str(number)])
    asking([str(MAX_CACHED)])
    asking(["0"])

    assert network.asked[str(MAX_CACHED)] == 1
    assert network.asked["0"] == 2
    assert len(asking._cache) == MAX_CACHED


def test_a_list_of_labels_is_encoded_by_itself_and_not_kept() -> None:
    network = Network()
    asking = QueryBatcher(network)
    labels = [str(number) for number in range(MAX_BATCH + 1)]

    assert asking(labels).shape == (MAX_BATCH + 1, DIM)
    assert network.runs == [labels]
    assert not asking._cache
