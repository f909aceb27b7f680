"""Transcribes what subtitles do not say: cues stand for a transcript only where they are one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mmsearch.encoders.speech.vad import SAMPLE_RATE_HZ, WINDOW_S, SpeechRegions
from mmsearch.languages import parse_language
from mmsearch.media.av.cue_index import CueIndex, list_words
from mmsearch.types import Span

if TYPE_CHECKING:
    from mmsearch.encoders.base import Transcriber, Utterance
    from mmsearch.media.base import Cue
    from mmsearch.types import SampleArray

# Cues come a little late or early, and voice begins with a breath.
_CUE_PAD_S = 0.5
# Below this share of the voice, cues are notices or lines in a foreign language.
_COVERING_SHARE = 0.65
# Stretches of voice without a cue that are worth a pass of the model, and the silence within one.
_MIN_STRETCH_S = 3.0
_STRETCH_GAP_S = 3.0
_STRETCH_PAD_S = 0.5
# Of the words heard, subtitles of the same language have a half or more, others next to none.
_AGREEMENT = 0.25
_MIN_HEARD_WORDS = 6
_SAID_SHARE = 0.6


class CuedTranscription:
    """Transcribes the sound tracks of one file, but for what its cues say in the same language.

    Whether cues and sound agree is heard once for each pair of a track and a language, in half a
    minute of voice that they cover, unless the container states one language for both.
    """

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._cues: list[Cue] = []
        self._indexes: dict[str | None, CueIndex] = {}
        self._all = CueIndex()
        self._agreements: dict[tuple[int | None, str | None], bool] = {}

    def add_cue(self, cue: Cue) -> None:
        """Takes a cue; those of a span come before its sound."""
        if cue.role != "chapter" and cue.place.span is not None:
            self._cues.append(cue)
            self._indexes = {}

    def transcribe(
        self,
        samples: SampleArray,
        start_s: float,
        *,
        track: int | None = None,
        language: str | None = None,
    ) -> list[Utterance]:
        """Returns the utterances in (n,) float32 mono at 16 kHz that no cue says.

        `language` is the tag of the track.
        """
        self._build_indexes()
        section = Span(start_s, start_s + len(samples) / SAMPLE_RATE_HZ)
        if not any(True for _ in self._all.find_near(section)):
            return self._transcriber.transcribe(samples, start_s)
        voices = [
            Span(start_s + start / SAMPLE_RATE_HZ, start_s + end / SAMPLE_RATE_HZ)
            for start, end in SpeechRegions.detect(samples).voices
        ]
        voice_s = _measure(voices)
        if voice_s <= 0:
            return self._transcriber.transcribe(samples, start_s)
        left = voices
        for cue_language, index in self._indexes.items():
            rest = _subtract(voices, _list_spans(index, section))
            if _measure(rest) >= voice_s * 0.9:
                continue
            covered = _subtract(voices, rest)
            if self._agree(samples, start_s, covered, (track, cue_language), language):
                left = _subtract(left, _list_spans(index, section))
        if _measure(left) > (1 - _COVERING_SHARE) * voice_s:
            return self._drop_said(self._transcriber.transcribe(samples, start_s))
        return [
            utterance
            for stretch in _list_stretches(left)
            for utterance in self._drop_said(self._transcribe_span(samples, start_s, stretch))
        ]

    def _build_indexes(self) -> None:
        if self._indexes or not self._cues:
            return
        languages = dict.fromkeys(cue.language for cue in self._cues if cue.role == "full")
        self._indexes = {
            language: CueIndex(
                cue for cue in self._cues if cue.role == "full" and cue.language == language
            )
            for language in languages
        }
        self._all = CueIndex(self._cues)

    def _transcribe_span(self, samples: SampleArray, start_s: float, span: Span) -> list[Utterance]:
        first = max(0, int((span.start_s - _STRETCH_PAD_S - start_s) * SAMPLE_RATE_HZ))
        last = int((span.end_s + _STRETCH_PAD_S - start_s) * SAMPLE_RATE_HZ)
        part = samples[first:last]
        return self._transcriber.transcribe(part, start_s + first / SAMPLE_RATE_HZ)

    def _drop_said(self, utterances: Iterable[Utterance]) -> list[Utterance]:
        return [
            each
            for each in utterances
            if self._all.measure_agreement(each.text, each.span) < _SAID_SHARE
        ]

    def _agree(
        self,
        samples: SampleArray,
        start_s: float,
        covered: Sequence[Span],
        pair: tuple[int | None, str | None],
        sound_tag: str | None,
    ) -> bool:
        """Tests if the cues of a language say what is heard in the spans that they cover."""
        if pair in self._agreements:
            return self._agreements[pair]
        cue_language, sound_language = pair[1], parse_language(sound_tag)
        if cue_language is not None and cue_language == sound_language:
            return True
        window = _choose_window(covered)
        heard = self._transcribe_span(samples, start_s, window)
        words = sum(len(list_words(each.text)) for each in heard)
        if words < _MIN_HEARD_WORDS:  # heard too little to tell
            return sound_language is None or cue_language is None
        index = self._indexes[cue_language]
        agreeing = sum(
            index.measure_agreement(each.text, each.span) * len(list_words(each.text))
            for each in heard
            if any(True for _ in index.find_near(each.span))
        )
        near = sum(
            len(list_words(each.text))
            for each in heard
            if any(True for _ in index.find_near(each.span))
        )
        self._agreements[pair] = near > 0 and agreeing >= _AGREEMENT * near
        return self._agreements[pair]


def _list_spans(index: CueIndex, section: Span) -> list[Span]:
    """Returns the joined spans of the cues in a section, each a little longer than stated."""
    joined: list[Span] = []
    for span, _ in index.find_near(section, margin_s=_CUE_PAD_S):
        start_s, end_s = span.start_s - _CUE_PAD_S, span.end_s + _CUE_PAD_S
        if joined and start_s <= joined[-1].end_s:
            joined[-1] = Span(joined[-1].start_s, max(joined[-1].end_s, end_s))
        else:
            joined.append(Span(start_s, end_s))
    return joined


def _subtract(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Returns what is left of ascending spans without others, which are ascending and apart."""
    left: list[Span] = []
    first = 0
    for span in spans:
        start_s = span.start_s
        while first < len(others) and others[first].end_s <= start_s:
            first += 1
        for other in others[first:]:
            if other.start_s >= span.end_s:
                break
            if other.start_s > start_s:
                left.append(Span(start_s, other.start_s))
            start_s = max(start_s, other.end_s)
        if start_s < span.end_s:
            left.append(Span(start_s, span.end_s))
    return left


def _measure(spans: Iterable[Span]) -> float:
    return sum(span.end_s - span.start_s for span in spans)


def _list_stretches(spans: Sequence[Span]) -> Iterator[Span]:
    """Yields stretches of voice over short gaps, if there is enough voice in them."""
    group: list[Span] = []
    for span in spans:
        if group and span.start_s - group[-1].end_s > _STRETCH_GAP_S:
            if _measure(group) >= _MIN_STRETCH_S:
                yield Span(group[0].start_s, group[-1].end_s)
            group = []
        group.append(span)
    if group and _measure(group) >= _MIN_STRETCH_S:
        yield Span(group[0].start_s, group[-1].end_s)


def _choose_window(covered: Sequence[Span]) -> Span:
    """Returns the window of the model with the most voice of ascending spans."""
    best, best_s = covered[0], 0.0
    for first, span in enumerate(covered):
        window = Span(span.start_s, span.start_s + WINDOW_S - 2 * _STRETCH_PAD_S)
        voice_s = end_s = 0.0
        for each in covered[first:]:
            if each.start_s >= window.end_s:
                break
            voice_s += each.overlap_s(window)
            end_s = min(each.end_s, window.end_s)
        if voice_s > best_s:
            best, best_s = Span(window.start_s, end_s), voice_s
    return best
