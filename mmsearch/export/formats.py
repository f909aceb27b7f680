"""The forms that hits can be exported in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import PurePath

from mmsearch.errors import ConfigError
from mmsearch.export.clips import STILL_S, clips, spelled
from mmsearch.export.edl import to_edl
from mmsearch.export.fcpxml import to_fcpxml
from mmsearch.export.playlist import to_m3u
from mmsearch.export.table import to_csv
from mmsearch.export.timecode import PAL
from mmsearch.types import Hit


class Form(StrEnum):
    """A form, by the ending of its files."""

    JSON = "json"
    CSV = "csv"
    M3U = "m3u"
    EDL = "edl"
    FCPXML = "fcpxml"


_ENDINGS = {form.value: form for form in Form} | {"m3u8": Form.M3U}


@dataclass(frozen=True, slots=True)
class Cut:
    """How clips are laid out: the frames a second of the timeline, and how long a still is shown.

    `title` names the playlist or the project.
    """

    title: str = ""
    rate: Fraction = PAL
    still_s: float = STILL_S


def form_named(name: str) -> Form:
    """The form of that name, which is the ending of its files; raises ConfigError."""
    found = _ENDINGS.get(name.lower())
    if found is None:
        raise ConfigError(f"there is no form {name!r} to export: there are {', '.join(_ENDINGS)}")
    return found


def form_of(path: PurePath) -> Form:
    """The form of a file by its ending; raises ConfigError."""
    if not path.suffix:
        raise ConfigError(
            f"{path} has no ending to tell its form by: give it one of {', '.join(_ENDINGS)}, or "
            f"name the form with --export-as"
        )
    return form_named(path.suffix.removeprefix("."))


def exported(hits: Sequence[Hit], form: Form, cut: Cut) -> str:
    """Hits in any form but JSON, which is the object that `--json` prints.

    Raises QueryError for more than an EDL holds, ValueError for JSON.
    """
    match form:
        case Form.CSV:
            text = to_csv(hits)
        case Form.M3U:
            text = to_m3u(clips(hits), title=cut.title, still_s=cut.still_s)
        case Form.EDL:
            text = to_edl(clips(hits), title=cut.title, rate=cut.rate, still_s=cut.still_s)
        case Form.FCPXML:
            text = to_fcpxml(clips(hits), title=cut.title, rate=cut.rate, still_s=cut.still_s)
        case Form.JSON:
            raise ValueError("JSON is written as --json writes it")
    return spelled(text)
