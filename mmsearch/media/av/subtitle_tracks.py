"""Judges subtitle tracks by name, language and content, and merges those of one film."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from mmsearch.languages import guess_language, parse_language
from mmsearch.media.av.cue_index import CueIndex
from mmsearch.media.base import Cue, CueRole
from mmsearch.media.strings import split_words
from mmsearch.types import Place, Span

_FLAG_WORDS = re.compile(r"[^\W_]+")
_PARTIAL = frozenset(
    split_words("""
    forced foreign signs songs sign song commentary comment comments comentario kommentar
    commentaire descriptions erzwungen forcé forces forzado forzati
    """)
)
_DEAF = frozenset(split_words("sdh cc hi hoh deaf hearing captions closedcaptions sourds sordi"))
# Readings of cameras, drones and cars: by a script that is alike but for its numbers.
_READING = re.compile(r"\d")
_NUMBERS = re.compile(r"[-+]?\d[\d.,:/]*")
_SKELETON = re.compile(r"[\d\s.,:;/+\-()\[\]{}°'\"]+")
_READING_SHARE = 0.25
_SAMPLE_CUES = 300
_MIN_ALIKE = 5
_FULL_SHARE = 0.5
_SAID_SHARE = 0.6
_MAX_LANGUAGES = 8
# Captions word by word are joined to lines.
_MIN_WORD_CUES = 10
_LINE_WORDS = 12
_LINE_S = 8.0
_LINE_GAP_S = 0.7


@dataclass(frozen=True, slots=True)
class SubtitleTrack:
    """The cues of one subtitle file or track, and what its name or header says about it."""

    cues: tuple[Cue, ...]
    language: str | None = None
    is_partial: bool = False
    is_for_deaf: bool = False
    is_default: bool = False
    is_beside: bool = False

    @property
    def covered_s(self) -> float:
        """The sum of the lengths of the cues."""
        spans = (cue.place.span for cue in self.cues)
        return sum(span.end_s - span.start_s for span in spans if span is not None)


def describe_sidecar(stem: str, name: str, cues: Sequence[Cue]) -> SubtitleTrack:
    """Returns the track of a subtitle file `name` beside a film with that stem.

    Between them stand a language and flags, in any order: en.sdh, English.forced, pt-BR.
    """
    tags = name[len(stem) :].split(".")[1:-1]
    words = {word for tag in tags for word in _FLAG_WORDS.findall(tag.casefold())}
    known = [(tag, parse_language(tag)) for tag in reversed(tags) if tag.casefold() not in _PARTIAL]
    languages = [code for tag, code in known if code and tag.casefold() not in _DEAF]
    # "hi" is Hindi, unless another language stands beside it.
    is_hindi = "hi" in words and not languages
    return SubtitleTrack(
        tuple(cues),
        "hi" if is_hindi else next(iter(languages), None),
        is_partial=bool(words & _PARTIAL),
        is_for_deaf=bool(words & _DEAF) and not is_hindi,
        is_beside=True,
    )


def names_partial(title: str) -> bool:
    """Returns True for the title of a track that has only some lines, such as Forced or Signs."""
    return not _PARTIAL.isdisjoint(_FLAG_WORDS.findall(title.casefold()))


def is_telemetry(cues: Sequence[Cue]) -> bool:
    """Returns True for readings, as drones and cameras write them many times a second."""
    step = max(1, len(cues) // _SAMPLE_CUES)
    texts = [cue.text for cue in cues[::step]]
    if not texts:
        return False
    shares = [_measure_digits(text) for text in texts]
    if median(shares) >= _READING_SHARE and sum(share > 0 for share in shares) >= 0.8 * len(shares):
        return True
    skeletons = Counter(_SKELETON.sub(" ", text) for text in texts if _READING.search(text))
    return len(texts) >= _MIN_ALIKE and max(skeletons.values(), default=0) >= 0.6 * len(texts)


def _measure_digits(text: str) -> float:
    digits = sum(char.isdigit() for char in text)
    return digits / max(1, sum(char.isalnum() for char in text))


def merge_tracks(tracks: Iterable[SubtitleTrack], sound_language: str | None) -> list[Cue]:
    """Returns the cues of all tracks that are worth a search, in the order of time.

    Telemetry is left out. Of each language one track is taken whole, and of its others what that
    does not say. Files beside the film are all taken; of the tracks inside, those of the first
    eight languages: that of the sound, then of the default tracks.
    """
    groups: dict[str | None, list[SubtitleTrack]] = {}
    for track in tracks:
        if track.cues and not is_telemetry(track.cues):
            track = _prepare_track(track)
            groups.setdefault(track.language, []).append(track)
    ranked = sorted(
        groups.items(),
        key=lambda group: (
            not any(track.is_beside for track in group[1]),
            group[0] != sound_language,
            not any(track.is_default for track in group[1]),
        ),
    )
    kept = [
        group
        for index, (_, group) in enumerate(ranked)
        if index < _MAX_LANGUAGES or any(track.is_beside for track in group)
    ]
    cues = [cue for group in kept for cue in _merge_language(group)]
    cues.sort(key=_get_start_s)
    return list(_separate(cues))


def _prepare_track(track: SubtitleTrack) -> SubtitleTrack:
    """Returns the track with its language, in case it is unstated or obviously wrong."""
    cues = join_words(track.cues)
    guessed = guess_language(cue.text for cue in cues)
    language = guessed if _is_mistaken(track.language, guessed) else track.language
    role: CueRole = "partial" if track.is_partial else "full"
    labelled = tuple(replace(cue, language=language, role=role) for cue in cues)
    return replace(track, cues=labelled, language=language)


def _is_mistaken(stated: str | None, guessed: str | None) -> bool:
    """Returns True where no language is stated, or one that many programs write unasked."""
    return stated is None or (stated == "en" and guessed not in {None, "en"})


def _merge_language(tracks: Sequence[SubtitleTrack]) -> Iterator[Cue]:
    """Yields the cues of the best track of one language, and what the others say beyond it."""
    longest_s = max(track.covered_s for track in tracks)
    ranked = sorted(
        tracks,
        key=lambda track: (
            track.covered_s < _FULL_SHARE * longest_s,
            track.is_partial,
            not track.is_beside,
            not track.is_default,
            track.is_for_deaf,
        ),
    )
    best, *others = ranked
    yield from best.cues
    index = CueIndex(best.cues)
    for track in others:
        for cue in track.cues:
            span = cue.place.span
            if span is None or index.measure_agreement(cue.text, span) < _SAID_SHARE:
                yield replace(cue, role="partial")


def join_words(cues: Sequence[Cue]) -> Sequence[Cue]:
    """Joins captions that come word by word to lines."""
    counts = [len(cue.text.split()) for cue in cues]
    lengths = [len(cue.text) for cue in cues]
    if len(cues) < _MIN_WORD_CUES or median(counts) > 1 or median(lengths) > 12:
        return cues
    spans = [cue.place.span for cue in cues]
    if any(span is None for span in spans):
        return cues
    lines: list[list[Cue]] = []
    for cue in cues:
        if lines and _continues(lines[-1], cue):
            lines[-1].append(cue)
        else:
            lines.append([cue])
    return [_join_line(line) for line in lines]


def _continues(line: Sequence[Cue], cue: Cue) -> bool:
    first, last, span = line[0].place.span, line[-1].place.span, cue.place.span
    if first is None or last is None or span is None or len(line) >= _LINE_WORDS:
        return False
    if line[-1].text.endswith((".", "!", "?", "。")):
        return False
    return span.start_s - last.end_s <= _LINE_GAP_S and span.end_s - first.start_s <= _LINE_S


def _join_line(line: Sequence[Cue]) -> Cue:
    starts = [cue.place.span.start_s for cue in line if cue.place.span is not None]
    ends = [cue.place.span.end_s for cue in line if cue.place.span is not None]
    text = " ".join(cue.text for cue in line)
    return replace(line[0], text=text, place=Place(span=Span(min(starts), max(ends))))


def _separate(cues: Iterable[Cue]) -> Iterator[Cue]:
    """Yields cues with places of their own: a translation often has the times of the original."""
    taken: set[str] = set()
    for cue in cues:
        span = cue.place.span
        while span is not None and cue.place.key() in taken:
            span = Span(span.start_s, span.end_s + 0.001)
            cue = replace(cue, place=Place(span=span))
        taken.add(cue.place.key())
        yield cue


def _get_start_s(cue: Cue) -> float:
    return cue.place.span.start_s if cue.place.span is not None else 0.0
