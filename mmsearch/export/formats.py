"""The formats that hits are exported in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import PurePath

from mmsearch.errors import ConfigError
from mmsearch.export.clips import STILL_S, list_clips, spell_out
from mmsearch.export.edl import write_edl
from mmsearch.export.fcpxml import write_fcpxml
from mmsearch.export.playlist import write_m3u
from mmsearch.export.table import write_csv
from mmsearch.export.timecode import PAL
from mmsearch.types import Hit


class ExportFormat(StrEnum):
    """A format, by the ending of its files."""

    JSON = "json"
    CSV = "csv"
    M3U = "m3u"
    EDL = "edl"
    FCPXML = "fcpxml"


_ENDINGS = {form.value: form for form in ExportFormat} | {"m3u8": ExportFormat.M3U}


@dataclass(frozen=True, slots=True)
class ClipLayout:
    """The layout of clips: the frame rate of the timeline, and the seconds of a still.

    `title` names the playlist or the project.
    """

    title: str = ""
    rate: Fraction = PAL
    still_s: float = STILL_S


def get_format(name: str) -> ExportFormat:
    """Returns the format of a name, which is the ending of its files; raises ConfigError."""
    form = _ENDINGS.get(name.lower())
    if form is None:
        raise ConfigError(f"there is no form {name!r} to export: there are {', '.join(_ENDINGS)}")
    return form


def detect_format(path: PurePath) -> ExportFormat:
    """Returns the format of a file by its ending; raises ConfigError."""
    if not path.suffix:
        raise ConfigError(
            f"{path} has no ending to tell its form by: give it one of {', '.join(_ENDINGS)}, or "
            f"name the form with --export-as"
        )
    return get_format(path.suffix.removeprefix("."))


def export_hits(hits: Sequence[Hit], form: ExportFormat, layout: ClipLayout) -> str:
    """Exports hits in any format but JSON, which is the object that `--json` prints.

    Raises QueryError for more than an EDL holds, ValueError for JSON.
    """
    if form is ExportFormat.JSON:
        raise ValueError("JSON is written as --json writes it")
    if form is ExportFormat.CSV:
        return spell_out(write_csv(hits))
    clips = list_clips(hits)
    if form is ExportFormat.M3U:
        return spell_out(write_m3u(clips, title=layout.title, still_s=layout.still_s))
    write = write_edl if form is ExportFormat.EDL else write_fcpxml
    return spell_out(write(clips, title=layout.title, rate=layout.rate, still_s=layout.still_s))
