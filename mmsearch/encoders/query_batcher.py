"""Encodes the queries of several threads in common batches."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmsearch.encoders.base import TextEncoder
    from mmsearch.types import FloatArray

MAX_BATCH = 64
"""Texts in one batch; a call with more of them is encoded by itself."""
MAX_CACHED = 256
"""Queries whose vectors are cached, for further pages of an answer and repeated searches."""

Encode = Callable[[Sequence[str]], "FloatArray"]


class QueryBatcher:
    """Calls `encode` for many threads: (n, dim) unit rows for n texts.

    Concurrent calls for the same text encode it once, and its vector is cached. No call waits for
    others to join it: the first thread that finds the network idle runs it.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._guard = threading.Lock()
        self._turn = threading.Lock()
        self._cache: OrderedDict[str, FloatArray] = OrderedDict()
        self._pending: dict[str, Future[FloatArray]] = {}
        self._waiting: list[str] = []

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        """Returns the vectors of texts, in their order; raises what `encode` raises."""
        if not 0 < len(texts) <= MAX_BATCH:
            return self._encode(texts)
        vectors: dict[str, FloatArray] = {}
        futures: dict[str, Future[FloatArray]] = {}
        with self._guard:
            for text in texts:
                if text in self._cache:
                    self._cache.move_to_end(text)
                    vectors[text] = self._cache[text]
                    continue
                if text not in self._pending:
                    self._pending[text] = Future()
                    self._waiting.append(text)
                futures[text] = self._pending[text]
        while not all(future.done() for future in futures.values()):
            with self._turn:  # the thread before may have encoded these meanwhile
                if not all(future.done() for future in futures.values()):
                    self._encode_waiting()
        vectors |= {text: future.result() for text, future in futures.items()}
        return np.stack([vectors[text] for text in texts])

    def _encode_waiting(self) -> None:
        with self._guard:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        try:
            self._resolve(batch, self._encode(batch))
        except BaseException as exc:
            if len(batch) == 1:
                self._fail(batch[0], exc)
                return
            for text in batch:  # one text is at fault: the others need not fail with it
                try:
                    self._resolve([text], self._encode([text]))
                except BaseException as text_exc:
                    self._fail(text, text_exc)

    def _resolve(self, texts: Sequence[str], rows: FloatArray) -> None:
        with self._guard:
            for text, row in zip(texts, rows, strict=True):
                self._cache[text] = row
                if (future := self._pending.pop(text, None)) is not None:
                    future.set_result(row)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)

    def _fail(self, text: str, error: BaseException) -> None:
        with self._guard:
            if (future := self._pending.pop(text, None)) is not None:
                future.set_exception(error)


class BatchedTextEncoder:
    """A text encoder whose queries go through a `QueryBatcher`; fulfils `TextEncoder`."""

    def __init__(self, encoder: TextEncoder, batcher: QueryBatcher) -> None:
        self.space = encoder.space
        self.max_tokens = encoder.max_tokens
        self.count_tokens = encoder.count_tokens
        self.encode = encoder.encode
        self.encode_queries = batcher.__call__
