"""Reads the subtitles of a film, beside it and inside it, and the titles of its chapters."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mmsearch.errors import MediaError
from mmsearch.languages import parse_language
from mmsearch.media.av.container import get_origin_s, open_container, select_streams
from mmsearch.media.av.subtitle_tracks import (
    SubtitleTrack,
    describe_sidecar,
    merge_tracks,
    names_partial,
)
from mmsearch.media.av.subtitles import (
    MIN_PLACED_LETTERS,
    is_placed_letter,
    join_repeats,
    read_cues,
    strip_tags,
)
from mmsearch.media.base import Cue, Limits
from mmsearch.media.sidecars import find_sidecars
from mmsearch.media.strings import clean
from mmsearch.types import Omission, OmissionCause, Place, Span

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream
    from av.subtitles.stream import SubtitleStream

logger = logging.getLogger(__name__)

_TEXT_CODECS = frozenset({"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text"})
_MAX_CUES = 50_000
_MAX_CUE_S = 600.0
_DEFAULT_CUE_S = 3.0
# Matroska and MPEG have to be read from end to end for their subtitles.
_MAX_BARREN_BYTES = 2 * 1024**3
_MAX_ERRORS = 100
_MAX_CHAPTERS = 5_000
_ASS_FIELDS = 9  # order, layer, style, name, three margins, effect, text
# "Chapter 1" in the languages of common programs, and times.
_GENERIC_TITLE = re.compile(
    r"(?:(?:chapter|chap|kapitel|chapitre|cap[ií]tulo|capitolo|hoofdstuk|kapittel|rozdzia[łl]"
    r"|kapitola|luku|fejezet|b[öo]l[üu]m|capitol(?:ul)?|глава|раздел|розділ|κεφάλαιο|チャプター|章"
    r"|챕터|part|teil|partie|parte|scene|szene|track|titel|title|section|index|marker|file|disc"
    r"|cd|المقطع|第)[ ._#:-]*)?(?:[\d\s.:,;/-]+|(?-i:[IVX]{1,5}))?\s*(?:章|장|話|节)?",
    re.IGNORECASE,
)


def load_cues(path: Path, container: InputContainer, limits: Limits) -> Iterator[Cue | Omission]:
    """Yields the cues of the subtitles beside and inside a film, then the titles of its chapters.

    Never fails: subtitles that cannot be read are omissions.
    """
    tracks: list[SubtitleTrack] = []
    for sidecar in find_sidecars(path).subtitles:
        try:
            cues = read_cues(sidecar, limits)
        except MediaError as exc:
            logger.debug("subtitles beside the video not read: %s", exc)
            detail = f"the subtitles in {sidecar.name} cannot be read"
            yield Omission(OmissionCause.DAMAGED, detail)
            continue
        tracks.append(describe_sidecar(path.stem, sidecar.name, cues))
    try:
        tracks += _read_embedded_tracks(path, container, limits)
    except (MediaError, OSError, ValueError) as exc:
        logger.debug("subtitles in the video not read: %s", exc)
    yield from merge_tracks(tracks, _find_sound_language(container))
    yield from _list_chapters(container)


def _find_sound_language(container: InputContainer) -> str | None:
    languages = (parse_language(each.metadata.get("language")) for each in container.streams.audio)
    return next((language for language in languages if language), None)


def _list_text_tracks(container: InputContainer) -> list[SubtitleStream]:
    return [
        stream
        for stream in container.streams.subtitles
        if getattr(stream, "codec_context", None) is not None
        and stream.codec_context.name in _TEXT_CODECS
    ]


@dataclass(slots=True)
class _TrackReader:
    """Gathers the cues of one track of a container."""

    stream: SubtitleStream
    cues: list[Cue] = field(default_factory=list)
    letters: list[Cue] = field(default_factory=list)

    def add(self, packet: Packet[Stream], start_s: float) -> int:
        """Decodes a packet; returns the number of characters."""
        place = _read_place(packet, start_s)
        if place is None:
            return 0
        count = 0
        for raw_text in _list_texts(self.stream, packet):
            if text := strip_tags(raw_text):
                kind = self.letters if is_placed_letter(raw_text) else self.cues
                kind.append(Cue(text, place))
                count += len(text)
        return count

    def finish(self) -> SubtitleTrack:
        """Returns the track."""
        import av

        letters = self.letters if len(self.letters) < MIN_PLACED_LETTERS else []
        flags, is_set = self.stream.disposition, av.stream.Disposition
        title = self.stream.metadata.get("title", "")
        return SubtitleTrack(
            tuple(join_repeats(self.cues + letters)),
            parse_language(self.stream.metadata.get("language")) or parse_language(title),
            is_partial=bool(flags & (is_set.forced | is_set.comment)) or names_partial(title),
            is_for_deaf=bool(flags & is_set.hearing_impaired),
            is_default=bool(flags & is_set.default),
        )


def _read_embedded_tracks(
    path: Path, container: InputContainer, limits: Limits
) -> list[SubtitleTrack]:
    """Reads all text tracks in one pass over the file."""
    if not _list_text_tracks(container):
        return []
    with path.open("rb", buffering=0) as file, open_container(path, file, limits) as own_container:
        streams = _list_text_tracks(own_container)
        select_streams(own_container, streams)
        readers = {stream.index: _TrackReader(stream) for stream in streams}
        try:
            _fill_readers(own_container, readers, file.tell, limits)
        except (MediaError, OSError, ValueError) as exc:
            logger.debug("subtitles end early: %s", exc)
        return [reader.finish() for reader in readers.values()]


def _fill_readers(
    container: InputContainer,
    readers: dict[int, _TrackReader],
    tell: Callable[[], int],
    limits: Limits,
) -> None:
    """Demultiplexes subtitle packets to their readers, within bounds on cues, text and bytes."""
    import av

    start_s = get_origin_s(container)
    errors = count = chars = last_cue_at = 0
    for packet in container.demux(*(reader.stream for reader in readers.values())):
        if tell() - last_cue_at > _MAX_BARREN_BYTES or count >= _MAX_CUES:
            return
        if not packet.size:
            continue
        try:
            added = readers[packet.stream.index].add(packet, start_s)
        except (av.FFmpegError, ValueError):
            errors += 1
            if errors > _MAX_ERRORS:
                return
            continue
        if added:
            last_cue_at, count, chars = tell(), count + 1, chars + added
            if chars > limits.text_chars:
                return


def _list_texts(stream: SubtitleStream, packet: Packet[Stream]) -> Iterator[str]:
    """Yields the lines of a packet with their codes, without the other fields of an event."""
    from av.subtitles.subtitle import AssSubtitle

    for rect in stream.decode(cast("Packet[SubtitleStream]", packet)):
        if isinstance(rect, AssSubtitle):
            yield rect.ass.decode("utf-8", "replace").split(",", _ASS_FIELDS - 1)[-1]


def _read_place(packet: Packet[Stream], start_s: float) -> Place | None:
    if packet.pts is None or packet.time_base is None:
        return None
    from_s = float(packet.pts * packet.time_base) - start_s
    lasts_s = float((packet.duration or 0) * packet.time_base)
    if not 0 < lasts_s <= _MAX_CUE_S:
        lasts_s = _DEFAULT_CUE_S
    return Place(span=Span(from_s, from_s + lasts_s)) if from_s >= 0 else None


def _list_chapters(container: InputContainer) -> Iterator[Cue]:
    """Yields the chapters with a title of their own."""
    start_s = get_origin_s(container)
    seen: set[str] = set()
    for chapter in container.chapters()[:_MAX_CHAPTERS]:
        title = clean(chapter["metadata"].get("title"))
        time_base = chapter["time_base"]
        if title is None or time_base is None or _GENERIC_TITLE.fullmatch(title):
            continue
        from_s = max(0.0, float(chapter["start"] * time_base) - start_s)
        until_s = max(from_s, float(chapter["end"] * time_base) - start_s)
        place = Place(span=Span(from_s, until_s))
        if math.isfinite(until_s) and place.key() not in seen:
            seen.add(place.key())
            yield Cue(title, place, role="chapter")
