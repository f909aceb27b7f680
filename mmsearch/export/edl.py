"""Clips as an edit decision list in the form of CMX 3600."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mmsearch.errors import QueryError
from mmsearch.export.clips import STILL_S, Clip, one_line
from mmsearch.export.timecode import DAY_S, PAL, frame_at, nominal, timecode
from mmsearch.types import Modality

MAX_EVENTS = 999
"""An event has three digits for its number."""
REEL_LENGTH = 8
TITLE_LENGTH = 70
RECORD_START_S = 3600
"""Programmes begin at an hour, by custom."""
_TRACKS = {Modality.VIDEO: "B", Modality.AUDIO: "A", Modality.IMAGE: "V"}
_TAKEN = frozenset({"AX", "BL"})
"""An auxiliary source, and black."""


def to_edl(
    clips: Sequence[Clip], *, title: str = "", rate: Fraction = PAL, still_s: float = STILL_S
) -> str:
    """An event a clip, cut one after another; timecodes count frames at `rate`, none dropped.

    A film's event is for picture and sound (B), a recording's for sound (A), a still's for picture
    (V). Source timecodes count from the beginning of a file. Raises QueryError where there are more
    than 999 events, or a timecode would pass 24 hours.
    """
    if len(clips) > MAX_EVENTS:
        raise QueryError(
            f"an EDL holds {MAX_EVENTS} events, and these are {len(clips)} moments: ask for fewer "
            f"with --limit, or export FCPXML"
        )
    lines = [f"TITLE: {one_line(title)[:TITLE_LENGTH]}".rstrip(), "FCM: NON-DROP FRAME", ""]
    reels = reel_names([clip.path for clip in clips])
    at = RECORD_START_S * nominal(rate)
    for number, clip in enumerate(clips, start=1):
        first, end = frames_of(clip, rate, still_s)
        try:
            codes = [timecode(one, rate) for one in (first, end, at, at + end - first)]
        except ValueError as exc:
            raise QueryError(
                f"an EDL holds {DAY_S // 3600} hours, and {clip.title} passes them: ask for fewer "
                f"with --limit, or export FCPXML"
            ) from exc
        event = f"{number:03d}  {reels[clip.path]:<8} {_TRACKS[clip.kind]:<5} C        "
        lines += [event + " ".join(codes), f"* FROM CLIP NAME: {clip.title}"]
        if clip.note:
            lines.append(f"* COMMENT: {clip.note}")
        at += end - first
    return "\n".join(lines) + "\n"


def frames_of(clip: Clip, rate: Fraction, still_s: float) -> tuple[int, int]:
    """The first frame of a clip and the one after its last; it has at least one."""
    if clip.span is None:
        return 0, max(1, frame_at(still_s, rate))
    first = frame_at(clip.span.start_s, rate)
    return first, max(first + 1, frame_at(clip.span.end_s, rate))


def reel_names(paths: Sequence[str]) -> dict[str, str]:
    """A reel for each file: up to eight capitals and digits of its name, no two alike."""
    names: dict[str, str] = {}
    taken = set(_TAKEN)
    for path in paths:
        if path in names:
            continue
        stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0].upper()
        plain = re.sub(r"[^A-Z0-9]", "", stem)[:REEL_LENGTH] or "REEL"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = plain[: REEL_LENGTH - len(str(number))] + str(number)
        taken.add(name)
        names[path] = name
    return names
