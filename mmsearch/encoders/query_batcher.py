"""Queries of many threads encoded together: what waits while a network runs goes next, at once."""

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

TOGETHER = 64
"""Texts that are encoded in one go; who brings more than that has them encoded by themselves."""
KEPT = 256
"""Queries whose vectors are kept: those of the pages of one answer, and of who asks again."""

Encode = Callable[[Sequence[str]], "FloatArray"]


class Asking:
    """`encode` for many threads: (n, dim) unit rows for n texts.

    A text is encoded once, however many ask for it at the same time, and again only when some
    hundred others were asked for since. Nobody waits to have company: who finds the network at rest
    runs it.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._guard = threading.Lock()
        self._turn = threading.Lock()
        self._kept: OrderedDict[str, FloatArray] = OrderedDict()
        self._asked: dict[str, Future[FloatArray]] = {}
        self._waiting: list[str] = []

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        """The vectors of texts, in their order; raises what `encode` raises."""
        if not 0 < len(texts) <= TOGETHER:
            return self._encode(texts)
        found: dict[str, FloatArray] = {}
        wanted: dict[str, Future[FloatArray]] = {}
        with self._guard:
            for text in texts:
                if text in self._kept:
                    self._kept.move_to_end(text)
                    found[text] = self._kept[text]
                elif text not in self._asked:
                    self._asked[text] = Future()
                    self._waiting.append(text)
                if text not in found:
                    wanted[text] = self._asked[text]
        while not all(future.done() for future in wanted.values()):
            with self._turn:  # whoever had it may have encoded these meanwhile
                if not all(future.done() for future in wanted.values()):
                    self._run()
        found |= {text: future.result() for text, future in wanted.items()}
        return np.stack([found[text] for text in texts])

    def _run(self) -> None:
        with self._guard:
            together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        try:
            self._settle(together, self._encode(together))
        except BaseException as exc:
            if len(together) == 1:
                self._fail(together[0], exc)
                return
            for text in together:  # one of them; the others need not fail for it
                try:
                    self._settle([text], self._encode([text]))
                except BaseException as its:
                    self._fail(text, its)

    def _settle(self, texts: Sequence[str], rows: FloatArray) -> None:
        with self._guard:
            for text, row in zip(texts, rows, strict=True):
                self._kept[text] = row
                if (future := self._asked.pop(text, None)) is not None:
                    future.set_result(row)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _fail(self, text: str, error: BaseException) -> None:
        with self._guard:
            if (future := self._asked.pop(text, None)) is not None:
                future.set_exception(error)


class AskedText:
    """A text encoder whose queries go through an `Asking`; fulfils `TextEncoder`."""

    def __init__(self, encoder: TextEncoder, asking: Asking) -> None:
        self.space = encoder.space
        self.max_tokens = encoder.max_tokens
        self._encoder = encoder
        self._asking = asking

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text takes, without special tokens."""
        return self._encoder.count_tokens(texts)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """As the encoder does it."""
        return self._encoder.encode(texts)

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """As the encoder does it, together with what other threads ask."""
        return self._asking(texts)
