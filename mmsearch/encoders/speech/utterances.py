"""From what a speech model says it heard to utterances: gates, guards, and whole sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mmsearch.encoders.base import Utterance, Word
from mmsearch.encoders.speech.repetition import pieces, spoken, without_echoes, without_loops
from mmsearch.types import Span

MAX_NO_SPEECH = 0.6
MIN_LOG_PROBABILITY = -1.0
MAX_COMPRESSION = 2.4
"""Whisper's own gates (Radford et al. 2022, section 4.5), applied to every segment."""

MAX_NO_SPEECH_OF_A_SIGN_OFF = 0.3
MIN_LEVEL_OF_A_SIGN_OFF_DB = -50.0
"""Who thanks for watching is there to be heard: in the clips and films of the tests the no-speech
probability of tiny.en is at most 0.28, and the level of what is said at least -28 dB."""

MAX_ECHO_PAUSE_S = 10.0
"""What comes again after a longer pause is an announcement, not an echo."""

MAX_UTTERANCE_S = 20.0
MAX_PAUSE_S = 0.8
_ENDS = (".", "?", "!", "。", "？", "！", "…")
_SENTENCE = re.compile(r"[.!?。！？…]+")
_WITHOUT_SPACES = frozenset({"ja", "zh", "yue", "th", "lo", "my", "km"})

SIGN_OFFS = frozenset(
    spoken(phrase)
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
"""What ends the videos that Whisper was trained on, and what it says where there is nothing."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A segment as a speech model gives it, and how sure of it that is.

    `level_db` is the level of its samples, in decibels of full scale.
    """

    utterance: Utterance
    no_speech: float
    log_probability: float
    compression: float
    level_db: float


def utterances(heard: Iterable[Heard]) -> list[Utterance]:
    """What is left when all gates and guards are passed, in whole sentences, in order of time."""
    trusted = [
        replace(one, utterance=said)
        for one in heard
        if is_trusted(one) and (said := without_loop(one.utterance)).text
    ]
    sure = [one.utterance for one in trusted if not is_invented_sign_off(one)]
    return sentences(without_echo(sure))


def is_trusted(heard: Heard) -> bool:
    """Whether it passes the gates: it has words, there was speech, and it is no long loop."""
    span = heard.utterance.span
    return (
        any(map(str.isalnum, heard.utterance.text))
        and span.end_s > span.start_s
        and heard.no_speech < MAX_NO_SPEECH
        and heard.log_probability > MIN_LOG_PROBABILITY
        and heard.compression < MAX_COMPRESSION
    )


def is_invented_sign_off(heard: Heard) -> bool:
    """Whether it is nothing but sign-offs, and probably nobody was there to say them."""
    parts = [part for part in _SENTENCE.split(heard.utterance.text) if part.strip()]
    is_sign_off = spoken(heard.utterance.text) in SIGN_OFFS  # some hold a full stop
    if not is_sign_off and not all(spoken(part) in SIGN_OFFS for part in parts):
        return False
    return (
        heard.no_speech >= MAX_NO_SPEECH_OF_A_SIGN_OFF
        or heard.level_db < MIN_LEVEL_OF_A_SIGN_OFF_DB
    )


def without_loop(utterance: Utterance) -> Utterance:
    """The same with one copy of each loop inside it, and its words accordingly."""
    words = utterance.words
    # With words, a piece is a word, so that text and words lose the same.
    said = [f" {word.text}" for word in words] if words else pieces(utterance.text)
    kept = without_loops(said)
    if len(kept) == len(said):
        return utterance
    if words and utterance.language in _WITHOUT_SPACES:
        text = "".join(words[index].text for index in kept)
    else:
        text = "".join(said[index] for index in kept).strip()
    return replace(utterance, text=text, words=tuple(words[index] for index in kept if words))


def without_echo(said: Sequence[Utterance]) -> list[Utterance]:
    """The utterances without those that say the same again and again, with hardly a pause."""
    left: list[Utterance] = []
    for run in _runs(said):
        left += [run[index] for index in without_echoes([one.text for one in run])]
    return left


def _runs(said: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    """Utterances that follow each other without a long pause."""
    cuts = [
        index
        for index, (one, following) in enumerate(pairwise(said), start=1)
        if following.span.start_s - one.span.end_s > MAX_ECHO_PAUSE_S
    ]
    for begin, end in pairwise([0, *cuts, len(said)]):
        yield list(said[begin:end])


def sentences(said: Iterable[Utterance]) -> list[Utterance]:
    """Join what Whisper cut in mid-sentence: up to a full stop, a pause, or twenty seconds."""
    joined: list[Utterance] = []
    for utterance in said:
        last = joined[-1] if joined else None
        if (
            last is not None
            and not last.text.endswith(_ENDS)
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


def moved(utterance: Utterance, by_s: float) -> Utterance:
    """The same, so many seconds later."""

    def later(span: Span) -> Span:
        return Span(span.start_s + by_s, span.end_s + by_s)

    words = tuple(Word(one.text, later(one.span), one.probability) for one in utterance.words)
    return replace(utterance, span=later(utterance.span), words=words)
