"""Reads the subtitles of a video: from a file beside it, else from a text track inside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import MediaError
from mmsearch.media.base import Cue, Limits
from mmsearch.media.container import get_origin_s, open_container, select_streams
from mmsearch.media.strings import split_words
from mmsearch.media.subtitles import read_cues, strip_tags
from mmsearch.types import Place, Span

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.subtitles.stream import SubtitleStream

logger = logging.getLogger(__name__)

_SIDECAR_SUFFIXES = (".srt", ".vtt", ".ass")
# Probing each name beats listing a folder of ten thousand videos ten thousand times.
_LANGUAGES = split_words("""
    en eng en-US en-GB de ger deu fr fra fre es spa it ita pt por pt-BR nl nld pl pol ru rus
    ja jpn zh chi zho zh-CN zh-TW ko kor ar ara tr tur sv swe da dan no nor fi fin cs ces hu
    hun uk ukr
    """)
_TEXT_CODECS = frozenset({"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text"})
_MAX_CUES = 50_000
_MAX_CUE_S = 600.0
_DEFAULT_CUE_S = 3.0
# Matroska and MPEG have to be read from end to end for their subtitles.
_MAX_BARREN_BYTES = 2 * 1024**3
_MAX_ERRORS = 100


def load_cues(path: Path, container: InputContainer, limits: Limits) -> Iterator[Cue]:
    """Yields cues of a subtitle file beside `path`, else of the first text track.

    Never fails: unreadable subtitles count as none.
    """
    sidecar = find_sidecar(path)
    if sidecar is not None:
        try:
            cues = read_cues(sidecar, limits)
        except MediaError as exc:
            logger.debug("subtitles beside the video not read: %s", exc)
            cues = []
        if cues:
            yield from cues
            return
    track = _find_text_track(container)
    if track is None:
        return
    try:
        yield from _read_embedded_cues(path, track, limits)
    except (MediaError, OSError, ValueError) as exc:
        logger.debug("subtitles in the video not read: %s", exc)


def find_sidecar(path: Path) -> Path | None:
    """Returns the subtitle file of a video: name.srt, name.en.srt and the like; None without."""
    stems = (path.stem, *(f"{path.stem}.{language}" for language in _LANGUAGES))
    candidates = (path.with_name(stem + suffix) for stem in stems for suffix in _SIDECAR_SUFFIXES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _find_text_track(container: InputContainer) -> int | None:
    import av

    tracks = [
        stream
        for stream in container.streams.subtitles
        if getattr(stream, "codec_context", None) is not None
        and stream.codec_context.name in _TEXT_CODECS
    ]
    # A forced track has only the lines in a foreign language.
    forced = av.stream.Disposition.forced
    full = [stream for stream in tracks if not stream.disposition & forced]
    return next((stream.index for stream in full or tracks), None)


def _read_embedded_cues(path: Path, index: int, limits: Limits) -> Iterator[Cue]:
    import av

    with path.open("rb", buffering=0) as file, open_container(path, file, limits) as container:
        stream = next(s for s in container.streams.subtitles if s.index == index)
        select_streams(container, [stream])
        start_s = get_origin_s(container)
        count = errors = chars = last_cue_at = 0
        previous = ""
        try:
            for packet in container.demux(stream):
                if file.tell() - last_cue_at > _MAX_BARREN_BYTES or count >= _MAX_CUES:
                    return
                try:
                    text = _decode_text(stream, packet)
                except (av.FFmpegError, ValueError):
                    errors += 1
                    if errors > _MAX_ERRORS:
                        return
                    continue
                place = _read_place(packet, start_s)
                if not text or place is None or text == previous:
                    continue
                last_cue_at, previous = file.tell(), text
                count, chars = count + 1, chars + len(text)
                if chars > limits.text_chars:
                    return
                yield Cue(text, place)
        except av.FFmpegError as exc:
            logger.debug("subtitles end early: %s", exc)


def _decode_text(stream: SubtitleStream, packet: Packet[SubtitleStream]) -> str:
    from av.subtitles.subtitle import AssSubtitle

    if not packet.size:
        return ""
    lines = [
        rect.dialogue.decode("utf-8", "replace")
        for rect in stream.decode(packet)
        if isinstance(rect, AssSubtitle)
    ]
    return strip_tags("\n".join(lines))


def _read_place(packet: Packet[SubtitleStream], start_s: float) -> Place | None:
    if packet.pts is None or packet.time_base is None:
        return None
    from_s = float(packet.pts * packet.time_base) - start_s
    lasts_s = float((packet.duration or 0) * packet.time_base)
    if not 0 < lasts_s <= _MAX_CUE_S:
        lasts_s = _DEFAULT_CUE_S
    return Place(span=Span(from_s, from_s + lasts_s)) if from_s >= 0 else None
