"""Makes utterances of the segments of a speech model: drops untrusted ones, joins sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from mmsearch.encoders.base import Utterance
from mmsearch.encoders.speech.repetition import (
    normalize_speech,
    select_without_echoes,
    select_without_loops,
    split_into_pieces,
)
from mmsearch.types import Span

MAX_NO_SPEECH = 0.6
MIN_LOG_PROBABILITY = -1.0
MAX_COMPRESSION = 2.4
"""Whisper's own gates (Radford et al. 2022, section 4.5), applied to every segment."""

MAX_NO_SPEECH_OF_A_SIGN_OFF = 0.3
MIN_LEVEL_OF_A_SIGN_OFF_DB = -50.0
"""A sign-off that was really said is audible: in the clips and films of the tests the no-speech
probability of tiny.en is at most 0.28, and the level of speech at least -28 dB."""

MAX_ECHO_PAUSE_S = 10.0
"""A repetition after a longer pause is an announcement, not an echo."""

MAX_UTTERANCE_S = 20.0
MAX_PAUSE_S = 0.8
MAX_PAUSE_IN_AN_UTTERANCE_S = 1.5
"""Words further apart are two utterances, even if the model wrote them as one sentence."""
SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "…")
_SENTENCE = re.compile(r"[.!?。！？…]+")
_WITHOUT_SPACES = frozenset({"ja", "zh", "yue", "th", "lo", "my", "km"})

SIGN_OFFS = frozenset(
    normalize_speech(phrase)
    for phrase in (
        "you", "bye", "bye bye", "goodbye", "the end", "that's all", "thanks", "thank you",
        "thank you so much", "thank you very much", "thanks for watching", "thanks for listening",
        "thank you for watching", "thank you so much for watching", "thank you for listening",
        "thanks for watching and I'll see you in the next video", "see you next time",
        "see you in the next video", "I'll see you in the next video", "please subscribe",
        "please subscribe to my channel", "don't forget to like and subscribe",
        "like and subscribe", "subtitles by the Amara.org community",
        "transcription by CastingWords",
        "Untertitel der Amara.org-Community", "Untertitelung des ZDF, 2020", "Vielen Dank",
        "Untertitel im Auftrag des ZDF für funk, 2017", "Vielen Dank fürs Zuschauen", "Tschüss",
        "Sous-titres réalisés par la communauté d'Amara.org", "Sous-titrage ST' 501", "Merci",
        "Merci d'avoir regardé cette vidéo", "Subtítulos por la comunidad de Amara.org", "Gracias",
        "Subtítulos realizados por la comunidad de Amara.org", "Gracias por ver el video",
        "Legendas pela comunidade Amara.org", "Obrigado por assistir", "Grazie a tutti",
        "Sottotitoli creati dalla comunità Amara.org", "Grazie per la visione",
        "Ondertitels ingediend door de Amara.org gemeenschap", "Bedankt voor het kijken",
        "Napisy stworzone przez społeczność Amara.org", "Dziękuję za uwagę",
        "Dziękuję za oglądanie",
        "Субтитры сделал DimaTorzok", "Субтитры создавал DimaTorzok", "Продолжение следует",
        "Спасибо за просмотр", "Altyazı M.K.", "İzlediğiniz için teşekkür ederim",
        "Abone olmayı unutmayın", "ありがとうございました", "ご視聴ありがとうございました",
        "次の動画でお会いしましょう", "おやすみなさい", "字幕由Amara.org社区提供",
        "谢谢观看", "谢谢大家",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目", "시청해주셔서 감사합니다", "감사합니다",
    )
)  # fmt: skip
"""Endings of the videos that Whisper was trained on, which it hallucinates on silence."""


@dataclass(frozen=True, slots=True)
class TranscribedSegment:
    """An utterance with the confidence of the speech model.

    `level_db` is the level of its samples, in decibels of full scale.
    """

    utterance: Utterance
    no_speech_probability: float
    log_probability: float
    compression_ratio: float
    level_db: float


def assemble_utterances(segments: Iterable[TranscribedSegment]) -> list[Utterance]:
    """Returns the trusted utterances without loops, as whole sentences in order of time."""
    trusted = [
        replace(segment, utterance=utterance)
        for segment in segments
        if is_trusted(segment) and (utterance := remove_loops(segment.utterance)).text
    ]
    heard = remove_echoes(
        [segment.utterance for segment in trusted if not is_hallucinated_sign_off(segment)]
    )
    return join_sentences(chain.from_iterable(map(split_at_pauses, heard)))


def is_trusted(segment: TranscribedSegment) -> bool:
    """Tests if a segment passes the gates: it has words, there was speech, and no long loop."""
    span = segment.utterance.span
    return (
        any(map(str.isalnum, segment.utterance.text))
        and span.end_s > span.start_s
        and segment.no_speech_probability < MAX_NO_SPEECH
        and segment.log_probability > MIN_LOG_PROBABILITY
        and segment.compression_ratio < MAX_COMPRESSION
    )


def is_hallucinated_sign_off(segment: TranscribedSegment) -> bool:
    """Tests if a segment is nothing but sign-offs that probably nobody said."""
    text = segment.utterance.text
    parts = [part for part in _SENTENCE.split(text) if part.strip()]
    is_sign_off = normalize_speech(text) in SIGN_OFFS  # some hold a full stop
    if not is_sign_off and not all(normalize_speech(part) in SIGN_OFFS for part in parts):
        return False
    return (
        segment.no_speech_probability >= MAX_NO_SPEECH_OF_A_SIGN_OFF
        or segment.level_db < MIN_LEVEL_OF_A_SIGN_OFF_DB
    )


def remove_loops(utterance: Utterance) -> Utterance:
    """Keeps one copy of each loop inside an utterance, and its words accordingly."""
    words = utterance.words
    # With words, a piece is a word, so that text and words lose the same.
    pieces = [f" {word.text}" for word in words] if words else split_into_pieces(utterance.text)
    kept = select_without_loops(pieces)
    if len(kept) == len(pieces):
        return utterance
    if words and utterance.language in _WITHOUT_SPACES:
        text = "".join(words[index].text for index in kept)
    else:
        text = "".join(pieces[index] for index in kept).strip()
    return replace(utterance, text=text, words=tuple(words[index] for index in kept if words))


def remove_echoes(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Removes utterances that repeat those before them again and again, with hardly a pause."""
    pauses = [
        index
        for index, (previous, following) in enumerate(pairwise(utterances), start=1)
        if following.span.start_s - previous.span.end_s > MAX_ECHO_PAUSE_S
    ]
    remaining: list[Utterance] = []
    for begin, end in pairwise([0, *pauses, len(utterances)]):
        run = utterances[begin:end]
        remaining += [run[i] for i in select_without_echoes([each.text for each in run])]
    return remaining


def split_at_pauses(utterance: Utterance) -> list[Utterance]:
    """Splits an utterance where its words lie far apart; each piece has the span of its words."""
    words = utterance.words
    if not words:
        return [utterance]
    cuts = [
        index
        for index, (previous, following) in enumerate(pairwise(words), start=1)
        if following.span.start_s - previous.span.end_s > MAX_PAUSE_IN_AN_UTTERANCE_S
    ]
    offsets = _locate_words(utterance)
    pieces = []
    for begin, end in pairwise([0, *cuts, len(words)]):
        last = offsets[end] if end < len(words) else len(utterance.text)
        span = Span(words[begin].span.start_s, max(word.span.end_s for word in words[begin:end]))
        text = utterance.text[offsets[begin] if begin else 0 : last].strip()
        pieces.append(replace(utterance, text=text, span=span, words=words[begin:end]))
    return [piece for piece in pieces if any(map(str.isalnum, piece.text))]


def _locate_words(utterance: Utterance) -> list[int]:
    """Returns the offset of each word in the text of its utterance."""
    offsets: list[int] = []
    at = 0
    for word in utterance.words:
        at = max(at, utterance.text.find(word.text, at))
        offsets.append(at)
        at += len(word.text)
    return offsets


def join_sentences(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Joins sentences that Whisper cut: up to a full stop, a pause, or twenty seconds."""
    joined: list[Utterance] = []
    for utterance in utterances:
        last = joined[-1] if joined else None
        if (
            last is not None
            and not last.text.endswith(SENTENCE_ENDS)
            and utterance.span.start_s - last.span.end_s <= MAX_PAUSE_S
            and utterance.span.end_s - last.span.start_s <= MAX_UTTERANCE_S
        ):
            between = "" if utterance.language in _WITHOUT_SPACES else " "
            joined[-1] = replace(
                last,
                text=f"{last.text}{between}{utterance.text}",
                span=Span(last.span.start_s, utterance.span.end_s),
                words=last.words + utterance.words,
            )
        else:
            joined.append(utterance)
    return joined


def shift_utterance(utterance: Utterance, by_s: float) -> Utterance:
    """Moves an utterance and its words by so many seconds."""

    def shift(span: Span) -> Span:
        return Span(span.start_s + by_s, span.end_s + by_s)

    words = tuple(replace(word, span=shift(word.span)) for word in utterance.words)
    return replace(utterance, span=shift(utterance.span), words=words)
