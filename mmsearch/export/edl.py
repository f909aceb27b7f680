"""Writes clips as an edit decision list in the format CMX 3600."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mmsearch.errors import QueryError
from mmsearch.export.clips import STILL_S, Clip, to_one_line
from mmsearch.export.timecode import DAY_S, PAL, format_timecode, nominal_rate, to_frame
from mmsearch.types import Modality

MAX_EVENTS = 999
"""An event has three digits for its number."""
REEL_LENGTH = 8
TITLE_LENGTH = 70
RECORD_START_S = 3600
"""Programmes begin at one hour by convention."""
_TRACKS = {Modality.VIDEO: "B", Modality.AUDIO: "A", Modality.IMAGE: "V"}
_TAKEN = frozenset({"AX", "BL"})
"""Reserved reel names: an auxiliary source, and black."""


def write_edl(
    clips: Sequence[Clip], *, title: str = "", rate: Fraction = PAL, still_s: float = STILL_S
) -> str:
    """Writes an event for each clip, one after another; timecodes count frames without dropping.

    The track of a video is B (picture and sound), of a recording A, of a still V. Source timecodes
    count from the beginning of a file. Raises QueryError where there are more than 999 events, or a
    timecode would pass 24 hours.
    """
    if len(clips) > MAX_EVENTS:
        raise QueryError(
            f"an EDL holds {MAX_EVENTS} events, and these are {len(clips)} moments: ask for fewer "
            f"with --limit, or export FCPXML"
        )
    lines = [f"TITLE: {to_one_line(title)[:TITLE_LENGTH]}".rstrip(), "FCM: NON-DROP FRAME", ""]
    reels = assign_reel_names([clip.path for clip in clips])
    record_frame = RECORD_START_S * nominal_rate(rate)
    for number, clip in enumerate(clips, start=1):
        first, end = frame_range(clip, rate, still_s)
        try:
            codes = [
                format_timecode(frame, rate)
                for frame in (first, end, record_frame, record_frame + end - first)
            ]
        except ValueError as exc:
            raise QueryError(
                f"an EDL holds {DAY_S // 3600} hours, and {clip.title} passes them: ask for fewer "
                f"with --limit, or export FCPXML"
            ) from exc
        event = f"{number:03d}  {reels[clip.path]:<8} {_TRACKS[clip.kind]:<5} C        "
        lines += [event + " ".join(codes), f"* FROM CLIP NAME: {clip.title}"]
        if clip.note:
            lines.append(f"* COMMENT: {clip.note}")
        record_frame += end - first
    return "\n".join(lines) + "\n"


def frame_range(clip: Clip, rate: Fraction, still_s: float) -> tuple[int, int]:
    """Returns the first frame of a clip and the one after its last; it has at least one."""
    if clip.span is None:
        return 0, max(1, to_frame(still_s, rate))
    first = to_frame(clip.span.start_s, rate)
    return first, max(first + 1, to_frame(clip.span.end_s, rate))


def assign_reel_names(paths: Sequence[str]) -> dict[str, str]:
    """Returns a reel for each file: up to eight capitals and digits of its name, no two alike."""
    names: dict[str, str] = {}
    taken = set(_TAKEN)
    for path in dict.fromkeys(paths):
        stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0].upper()
        plain = re.sub(r"[^A-Z0-9]", "", stem)[:REEL_LENGTH] or "REEL"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = plain[: REEL_LENGTH - len(str(number))] + str(number)
        taken.add(name)
        names[path] = name
    return names
