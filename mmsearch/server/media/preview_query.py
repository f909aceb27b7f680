"""What the address of a picture or a file asks for, read with care."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mmsearch.errors import QueryError
from mmsearch.previews import preview_request as forms
from mmsearch.types import Modality, Span

if TYPE_CHECKING:
    from mmsearch.previews import Previews
    from mmsearch.previews.preview_request import Wanted

PX = range(16, 2049)
DEFAULT_PX = 320
_WIDE = 16 / 3
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LONGEST = 400
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_SWITCHES = MappingProxyType({"": False, "0": False, "false": False, "1": True, "true": True})


class Problem(Exception):
    """An answer that is an error; `name` is the last word of its type (RFC 9457)."""

    def __init__(self, status: int, name: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.title = title
        self.detail = detail


def preview(previews: Previews, asset_id: str, asked: Mapping[str, str]) -> Wanted:
    """The preview that a query asks for; raises Problem."""
    px = _whole(asked, "px", PX)
    at_s, page = _number(asked, "t"), _whole(asked, "page", range(1, 10**9))
    start_s, end_s = _number(asked, "start_s"), _number(asked, "end_s")
    kind = asked.get("kind", "")
    if kind not in ("", "picture", "waveform"):
        raise _invalid("kind", "picture or waveform")
    asset = previews.asset(asset_id)
    if asset is None:
        raise no_such_asset()
    is_wave = kind == "waveform" or (not kind and asset.modality is Modality.AUDIO)
    try:
        if not is_wave:
            return forms.picture(asset, at_s=at_s, page=page, px=px or DEFAULT_PX)
        width_px = px or 2 * DEFAULT_PX
        span = None
        if start_s is not None or end_s is not None:
            start_s = start_s or 0.0
            span = Span(start_s, start_s + forms.MAX_SOUND_S if end_s is None else end_s)
        height_px = round(width_px / _WIDE)
        return forms.waveform(asset, span=span, width_px=width_px, height_px=height_px)
    except QueryError as exc:
        raise Problem(404, "no-such-picture", "There is no such picture", str(exc)) from exc


def no_such_asset() -> Problem:
    """Told also of what is no id at all."""
    return Problem(
        404, "no-such-asset", "The library has no such asset", "ids are those that a search gives"
    )


def _invalid(name: str, wanted: str) -> Problem:
    detail = f"{name} is {wanted}"
    return Problem(422, "invalid-request", "The request is not as described", detail)


def _number(asked: Mapping[str, str], name: str) -> float | None:
    """Seconds, from 0."""
    text = asked.get(name)
    if text is None:
        return None
    if len(text) <= _LONGEST and _NUMBER.fullmatch(text) and math.isfinite(found := float(text)):
        return found
    raise _invalid(name, "a number of seconds, at least 0")


def _whole(asked: Mapping[str, str], name: str, allowed: range) -> int | None:
    text = asked.get(name)
    if text is None:
        return None
    if _WHOLE.fullmatch(text) is None or int(text) not in allowed:
        raise _invalid(name, f"a whole number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def switch(asked: Mapping[str, str], name: str) -> bool:
    """Whether something is asked for; raises Problem."""
    found = _SWITCHES.get(asked.get(name, ""))
    if found is None:
        raise _invalid(name, "1, true, 0 or false")
    return found
