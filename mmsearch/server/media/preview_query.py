"""Parses the query parameters of previews and files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mmsearch.errors import QueryError
from mmsearch.previews.preview_request import MAX_SOUND_S, request_image, request_waveform
from mmsearch.server import problems
from mmsearch.server.problems import Problem
from mmsearch.types import Modality, Span

if TYPE_CHECKING:
    from mmsearch.previews import Previews
    from mmsearch.previews.preview_request import PreviewRequest

PX = range(16, 2049)
DEFAULT_PX = 320
_WAVEFORM_ASPECT = 16 / 3
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MAX_CHARS = 400
_INTEGER = re.compile(r"\d{1,9}", re.ASCII)
_SWITCHES = MappingProxyType({"": False, "0": False, "false": False, "1": True, "true": True})


def parse_preview_request(
    previews: Previews, asset_id: str, parameters: Mapping[str, str]
) -> PreviewRequest:
    """Parses the request for a preview of an asset; raises Problem."""
    px = _parse_integer(parameters, "px", PX)
    at_s, page = (
        _parse_seconds(parameters, "t"),
        _parse_integer(parameters, "page", range(1, 10**9)),
    )
    start_s, end_s = _parse_seconds(parameters, "start_s"), _parse_seconds(parameters, "end_s")
    kind = parameters.get("kind", "")
    if kind not in ("", "picture", "waveform"):
        raise _refuse_parameter("kind", "picture or waveform")
    asset = previews.asset(asset_id)
    if asset is None:
        raise refuse_asset()
    is_waveform = kind == "waveform" or (not kind and asset.modality is Modality.AUDIO)
    try:
        if not is_waveform:
            return request_image(asset, at_s=at_s, page=page, px=px or DEFAULT_PX)
        width_px = px or 2 * DEFAULT_PX
        span = None
        if start_s is not None or end_s is not None:
            start_s = start_s or 0.0
            span = Span(start_s, start_s + MAX_SOUND_S if end_s is None else end_s)
        height_px = round(width_px / _WAVEFORM_ASPECT)
        return request_waveform(asset, span=span, width_px=width_px, height_px=height_px)
    except QueryError as exc:
        raise Problem(problems.NO_SUCH_PICTURE, str(exc)) from exc


def refuse_asset() -> Problem:
    """Returns the problem of an id that no asset has, or that is no id at all."""
    return Problem(problems.NO_SUCH_ASSET, "ids are those that a search gives")


def parse_switch(parameters: Mapping[str, str], name: str) -> bool:
    """Parses a parameter that is on or off, and off by default; raises Problem."""
    is_on = _SWITCHES.get(parameters.get(name, ""))
    if is_on is None:
        raise _refuse_parameter(name, "1, true, 0 or false")
    return is_on


def _parse_seconds(parameters: Mapping[str, str], name: str) -> float | None:
    text = parameters.get(name)
    if text is None:
        return None
    if (
        len(text) <= _MAX_CHARS
        and _NUMBER.fullmatch(text)
        and math.isfinite(seconds := float(text))
    ):
        return seconds
    raise _refuse_parameter(name, "a number of seconds, at least 0")


def _parse_integer(parameters: Mapping[str, str], name: str, allowed: range) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if _INTEGER.fullmatch(text) is None or int(text) not in allowed:
        raise _refuse_parameter(name, f"a whole number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def _refuse_parameter(name: str, requirement: str) -> Problem:
    return Problem(problems.INVALID, f"{name} is {requirement}")
