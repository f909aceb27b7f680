"""Compares cues with what is said at the same time: in another track, or in a transcript."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator

from mmsearch.media.base import Cue
from mmsearch.types import Span

# Kana, Han, Thai and the like have no blanks between words: each letter counts.
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+"
)
_NEAR_S = 2.0
# Cues that begin before a moment and may still last; bounds the work for hostile files.
_MAX_NEAR = 200


def list_words(text: str) -> list[str]:
    """Returns the words of a text, folded; single letters where words are not parted."""
    return _WORD.findall(text.casefold())


class CueIndex:
    """Cues in the order of their beginnings; those without a span are left out."""

    def __init__(self, cues: Iterable[Cue] = ()) -> None:
        timed = [(cue.place.span, cue) for cue in cues if cue.place.span is not None]
        timed.sort(key=lambda pair: (pair[0].start_s, pair[0].end_s))
        self._starts = [span.start_s for span, _ in timed]
        self._cues = timed

    def find_near(self, span: Span, *, margin_s: float = 0.0) -> Iterator[tuple[Span, Cue]]:
        """Yields the cues that touch a span."""
        last = bisect_left(self._starts, span.end_s + margin_s)
        first = bisect_left(self._starts, span.start_s - margin_s)
        for cue_span, cue in self._cues[max(0, first - _MAX_NEAR) : last]:
            if cue_span.end_s > span.start_s - margin_s:
                yield cue_span, cue

    def measure_agreement(self, text: str, span: Span, *, margin_s: float = _NEAR_S) -> float:
        """Returns the share (0..1) of the words of a text that cues near its span have too."""
        words = Counter(list_words(text))
        if not words:
            return 0.0
        near = self.find_near(span, margin_s=margin_s)
        there = Counter(word for _, cue in near for word in list_words(cue.text))
        return (words & there).total() / words.total()
