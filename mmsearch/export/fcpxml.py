"""Writes clips as a project for Final Cut Pro and DaVinci Resolve: FCPXML 1.10."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mmsearch.export.clips import STILL_S, Clip, remove_xml_controls, to_file_uri, to_one_line
from mmsearch.export.edl import frame_range
from mmsearch.export.timecode import PAL, format_rational, to_frame
from mmsearch.types import Modality

VERSION = "1.10"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n'
STILL_FORMAT = "FFVideoFormatRateUndefined"
"""The name by which Final Cut Pro recognises a still image."""
FRAME_PX = (1920, 1080)


def write_fcpxml(
    clips: Sequence[Clip], *, title: str = "", rate: Fraction = PAL, still_s: float = STILL_S
) -> str:
    """Writes one project whose spine has a clip each, one after another, at `rate` frames a second.

    Elements follow Apple's document type definition of version 1.10. Every time is a whole number
    of frames; media begin at 0. The note of a clip is a marker on it. An image is a `video` element
    over an asset without a duration, as Final Cut Pro itself writes it.
    """
    root = Element("fcpxml", version=VERSION)
    resources = _Resources(SubElement(root, "resources"), rate)
    own_format = resources.add_format("", *FRAME_PX)
    ids = resources.add_assets(clips, still_s)
    event = SubElement(root, "event", name="mmsearch")
    project = SubElement(
        event, "project", name=remove_xml_controls(to_one_line(title)) or "mmsearch"
    )
    sequence = SubElement(project, "sequence", format=own_format, tcStart="0s", tcFormat="NDF")
    spine = SubElement(sequence, "spine")
    offset = 0
    for clip in clips:
        first, end = frame_range(clip, rate, still_s)
        _add_clip(spine, clip, ids[clip.path], offset, (first, end), rate)
        offset += end - first
    sequence.set("duration", format_rational(offset, rate))
    indent(root)
    return HEAD + tostring(root, encoding="unicode") + "\n"


def _add_clip(
    spine: Element, clip: Clip, ref: str, offset: int, frames: tuple[int, int], rate: Fraction
) -> None:
    first, end = frames
    element = SubElement(
        spine,
        "video" if clip.kind is Modality.IMAGE else "asset-clip",
        ref=ref,
        offset=format_rational(offset, rate),
        name=remove_xml_controls(clip.title),
        start=format_rational(first, rate),
        duration=format_rational(end - first, rate),
    )
    if clip.kind is not Modality.IMAGE:
        element.set("tcFormat", "NDF")
    if clip.note:
        SubElement(
            element,
            "marker",
            start=format_rational(first, rate),
            duration=format_rational(1, rate),
            value=remove_xml_controls(clip.note),
        )


class _Resources:
    """The formats and assets that clips refer to; each is written once."""

    def __init__(self, parent: Element, rate: Fraction) -> None:
        self._parent = parent
        self._rate = rate
        self._formats: dict[tuple[str, int, int], str] = {}
        self._count = 0

    def add_assets(self, clips: Sequence[Clip], still_s: float) -> dict[str, str]:
        """Adds an asset for each file, as long as it or its last clip; returns ids by path."""
        ends: defaultdict[str, int] = defaultdict(int)
        for clip in clips:
            length_frames = to_frame(clip.metadata.duration_s or 0.0, self._rate)
            end = frame_range(clip, self._rate, still_s)[1]
            ends[clip.path] = max(ends[clip.path], length_frames, end)
        ids: dict[str, str] = {}
        for clip in clips:
            if clip.path not in ids:
                ids[clip.path] = self._add_asset(clip, ends[clip.path])
        return ids

    def _add_asset(self, clip: Clip, frames: int) -> str:
        is_still = clip.kind is Modality.IMAGE
        attributes = {
            "name": remove_xml_controls(clip.title),
            "start": "0s",
            "duration": "0s" if is_still else format_rational(frames, self._rate),
        }
        if clip.kind is not Modality.AUDIO:
            size_px = clip.metadata.width_px or FRAME_PX[0], clip.metadata.height_px or FRAME_PX[1]
            own_format = self.add_format(STILL_FORMAT if is_still else "", *size_px)
            attributes |= {"hasVideo": "1", "format": own_format, "videoSources": "1"}
        if not is_still:
            attributes |= {"hasAudio": "1", "audioSources": "1"}
        own_id = self._next_id()
        asset = SubElement(self._parent, "asset", {"id": own_id, **attributes})
        SubElement(asset, "media-rep", kind="original-media", src=to_file_uri(clip.path))
        return own_id

    def add_format(self, name: str, width_px: int, height_px: int) -> str:
        """Adds a format and returns its id; without a name it has the rate of the project."""
        key = (name, width_px, height_px)
        if key not in self._formats:
            self._formats[key] = self._next_id()
            attributes = (
                {"name": name} if name else {"frameDuration": format_rational(1, self._rate)}
            )
            size = {"width": str(width_px), "height": str(height_px)}
            SubElement(self._parent, "format", {"id": self._formats[key], **attributes, **size})
        return self._formats[key]

    def _next_id(self) -> str:
        self._count += 1
        return f"r{self._count}"
