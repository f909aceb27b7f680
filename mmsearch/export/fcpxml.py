"""Clips as a project for Final Cut Pro and DaVinci Resolve: FCPXML 1.10."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mmsearch.export.clips import STILL_S, Clip, file_uri, one_line, xml_safe
from mmsearch.export.edl import frames_of
from mmsearch.export.timecode import PAL, frame_at, rational
from mmsearch.types import Modality

VERSION = "1.10"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n'
STILL_FORMAT = "FFVideoFormatRateUndefined"
"""By this name Final Cut Pro knows a picture."""
FRAME_PX = (1920, 1080)


def to_fcpxml(
    clips: Sequence[Clip], *, title: str = "", rate: Fraction = PAL, still_s: float = STILL_S
) -> str:
    """One project whose spine has a clip each, one after another, at `rate` frames a second.

    Elements stand as Apple's document type definition of version 1.10 has them. Every time is a
    whole number of frames; media begin at 0. What was said is a marker on its clip. A picture is a
    `video` element over an asset without a duration, as Final Cut Pro itself writes it.
    """
    root = Element("fcpxml", version=VERSION)
    resources = _Resources(SubElement(root, "resources"), rate)
    own_format = resources.add_format("", *FRAME_PX)
    ids = resources.add_assets(clips, still_s)
    event = SubElement(root, "event", name="mmsearch")
    project = SubElement(event, "project", name=xml_safe(one_line(title)) or "mmsearch")
    sequence = SubElement(project, "sequence", format=own_format, tcStart="0s", tcFormat="NDF")
    spine = SubElement(sequence, "spine")
    at = 0
    for clip in clips:
        first, end = frames_of(clip, rate, still_s)
        _place(spine, clip, ids[clip.path], at, (first, end), rate)
        at += end - first
    sequence.set("duration", rational(at, rate))
    indent(root)
    return HEAD + tostring(root, encoding="unicode") + "\n"


def _place(
    spine: Element, clip: Clip, ref: str, at: int, frames: tuple[int, int], rate: Fraction
) -> None:
    first, end = frames
    placed = SubElement(
        spine,
        "video" if clip.kind is Modality.IMAGE else "asset-clip",
        ref=ref,
        offset=rational(at, rate),
        name=xml_safe(clip.title),
        start=rational(first, rate),
        duration=rational(end - first, rate),
    )
    if clip.kind is not Modality.IMAGE:
        placed.set("tcFormat", "NDF")
    if clip.note:
        SubElement(
            placed,
            "marker",
            start=rational(first, rate),
            duration=rational(1, rate),
            value=xml_safe(clip.note),
        )


class _Resources:
    """The formats and assets that clips refer to; each is written once."""

    def __init__(self, parent: Element, rate: Fraction) -> None:
        self._parent = parent
        self._rate = rate
        self._formats: dict[tuple[str, int, int], str] = {}
        self._count = 0

    def add_assets(self, clips: Sequence[Clip], still_s: float) -> dict[str, str]:
        """An asset for each file, as long as the file or as its last clip; returns ids by path."""
        ends: defaultdict[str, int] = defaultdict(int)
        for clip in clips:
            length_s = clip.metadata.duration_s or 0.0
            known = frame_at(length_s, self._rate)
            end = frames_of(clip, self._rate, still_s)[1]
            ends[clip.path] = max(ends[clip.path], known, end)
        ids: dict[str, str] = {}
        for clip in clips:
            if clip.path not in ids:
                ids[clip.path] = self._asset(clip, ends[clip.path])
        return ids

    def _asset(self, clip: Clip, frames: int) -> str:
        is_still = clip.kind is Modality.IMAGE
        said = {
            "name": xml_safe(clip.title),
            "start": "0s",
            "duration": "0s" if is_still else rational(frames, self._rate),
        }
        if clip.kind is not Modality.AUDIO:
            own_format = self._format_of(clip, is_still=is_still)
            said |= {"hasVideo": "1", "format": own_format, "videoSources": "1"}
        if not is_still:
            said |= {"hasAudio": "1", "audioSources": "1"}
        own_id = self._next_id()
        asset = SubElement(self._parent, "asset", {"id": own_id, **said})
        SubElement(asset, "media-rep", kind="original-media", src=file_uri(clip.path))
        return own_id

    def _format_of(self, clip: Clip, *, is_still: bool) -> str:
        width_px = clip.metadata.width_px or FRAME_PX[0]
        height_px = clip.metadata.height_px or FRAME_PX[1]
        return self.add_format(STILL_FORMAT if is_still else "", width_px, height_px)

    def add_format(self, name: str, width_px: int, height_px: int) -> str:
        """A format; one without a name has frames at the rate of the project. Returns its id."""
        key = (name, width_px, height_px)
        if key not in self._formats:
            self._formats[key] = self._next_id()
            said = {"name": name} if name else {"frameDuration": rational(1, self._rate)}
            size = {"width": str(width_px), "height": str(height_px)}
            SubElement(self._parent, "format", {"id": self._formats[key], **said, **size})
        return self._formats[key]

    def _next_id(self) -> str:
        self._count += 1
        return f"r{self._count}"
