"""What the survey of a library looks like: rows of charts, cards, periods; no Streamlit in here."""

from __future__ import annotations

import calendar
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from mmsearch.types import Modality
from mmsearch_ui import hit_cards, shared_state

if TYPE_CHECKING:
    from mmsearch.analytics import Chart, Counts, Month, Pin, Places, Point, Ranked
    from mmsearch.library.assets import Shelved

MONTHS_SHOWN = 60
"""Longer times are shown by year."""
COLOURS = {
    Modality.IMAGE: "#3b82b5",
    Modality.VIDEO: "#9a5fb0",
    Modality.AUDIO: "#d2802f",
    Modality.TEXT: "#4a9a6a",
    Modality.OTHER: "#8b9196",
}
"""Those of the kinds, on light and dark ground; `map_plot.js` has the same."""
KINDS = [kind.value for kind in Modality]
NAMES = {
    kind: (plural or f"{noun}s").capitalize()
    for kind, (noun, plural) in hit_cards.KIND_NOUNS.items()
}
"""What several of a kind are called."""
_PERIOD = re.compile(r"(\d{4})(?:-(\d\d))?")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number to be shown large, with what it counts."""

    label: str
    value: str
    note: str = ""


def figures(found: Counts) -> list[Figure]:
    """The library in a few numbers: each kind, with its size and how long it lasts."""
    shown = []
    for one in found.kinds:
        kind = Modality(one.name)
        notes = [hit_cards.size(found.size_bytes.get(kind, 0))]
        if kind in found.duration_s:
            notes.insert(0, hit_cards.clock(found.duration_s[kind]))
        shown.append(Figure(NAMES[kind], f"{one.assets:,}", " · ".join(notes)))
    return shown


def timeline(months: Sequence[Month]) -> tuple[list[dict[str, object]], bool]:
    """Rows of period, kind and assets for a chart, and whether they are by year.

    By month where that fits, with every month between the first and the last.
    """
    if not months:
        return [], False
    first, last = months[0].month, months[-1].month
    is_yearly = _number(last) - _number(first) >= MONTHS_SHOWN
    sums: defaultdict[tuple[str, Modality], int] = defaultdict(int)
    for one in months:
        sums[one.month[:4] if is_yearly else one.month, one.kind] += one.assets
    periods = _years(first, last) if is_yearly else _months(first, last)
    kinds = [kind for kind in Modality if any(one.kind is kind for one in months)]
    rows: list[dict[str, object]] = [
        {"period": period, "kind": NAMES[kind], "assets": sums[period, kind]}
        for period in periods
        for kind in kinds
    ]
    return rows, is_yearly


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:7]) - 1


def _months(first: str, last: str) -> list[str]:
    return [f"{at // 12:04}-{at % 12 + 1:02}" for at in range(_number(first), _number(last) + 1)]


def _years(first: str, last: str) -> list[str]:
    return [f"{year:04}" for year in range(int(first[:4]), int(last[:4]) + 1)]


def days_of(period: str) -> tuple[date, date] | None:
    """The first and the last day of 2024-05 or 2024; None for what is neither."""
    found = _PERIOD.fullmatch(period)
    if found is None or not 1 <= int(found[1]) <= 9999:
        return None
    year, month = int(found[1]), int(found[2] or 0)
    if found[2] is None:
        return date(year, 1, 1), date(year, 12, 31)
    if not 1 <= month <= 12:
        return None
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def ranked_rows(ranked: Ranked, at_most: int) -> list[dict[str, object]]:
    """Rows of name and assets for a chart; what is not named is left out."""
    return [
        {"name": hit_cards.shown(one.name), "assets": one.assets} for one in ranked.named[:at_most]
    ]


def rest(ranked: Ranked, shown: int, noun: str) -> str:
    """What a chart of the first ones does not show: `12 more cameras; 40 without one`."""
    parts = []
    if ranked.distinct > shown:
        parts.append(f"{ranked.distinct - shown:,} more {noun}")
    if ranked.unknown:
        parts.append(f"{ranked.unknown:,} without one")
    return "; ".join(parts)


def length_rows(found: Counts) -> list[dict[str, object]]:
    """Rows of length, kind, assets and order for a chart, up to the longest that there is."""
    longest = max((one.start_s for one in found.lengths if one.assets), default=0.0)
    return [
        {
            "length": _length(one.start_s, one.end_s),
            "kind": NAMES[one.kind],
            "assets": one.assets,
            "order": one.start_s,
        }
        for one in found.lengths
        if one.start_s <= longest
    ]


def _length(start_s: float, end_s: float | None) -> str:
    if end_s is None:
        return f"over {_brief(start_s)}"
    return f"under {_brief(end_s)}" if start_s == 0 else f"{_brief(start_s)} to {_brief(end_s)}"


def _brief(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"


def chart_data(chart: Chart, selected: Sequence[str], *, height: int) -> dict[str, Any]:
    """The map of a space as its script takes it."""
    columns = _columns([(one, one.x, one.y) for one in chart.points])
    token = f"{chart.space} {chart.method} {hash(chart.points):x}"
    label = f"Map of {len(chart.points):,} assets by {chart.space}"
    return _data(token, columns, selected, height, label)


def places_data(places: Places, selected: Sequence[str], *, height: int) -> dict[str, Any]:
    """The map of the world as its script takes it."""
    from mmsearch_ui.components.map_world import LAND, WATER

    columns = _columns([(one, one.longitude, one.latitude) for one in places.pins])
    label = f"World map with {len(places.pins):,} assets"
    data = _data(f"world {hash(places.pins):x}", columns, selected, height, label)
    return data | {"world": {"land": LAND, "water": WATER}}


def _columns(points: Iterable[tuple[Point | Pin, float, float]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in ("ids", "x", "y", "kinds", "titles")}
    for one, x, y in points:
        columns["ids"].append(one.asset_id)
        columns["x"].append(round(x, 5))
        columns["y"].append(round(y, 5))
        columns["kinds"].append(KINDS.index(one.kind.value))
        columns["titles"].append(hit_cards.shown(one.title))
    return columns


def _data(
    token: str, columns: dict[str, list[Any]], selected: Sequence[str], height: int, label: str
) -> dict[str, Any]:
    return {
        "token": token,
        "points": columns,
        "kinds": KINDS,
        "names": {kind.value: NAMES[kind] for kind in Modality},
        "selected": list(selected),
        "prefix": shared_state.PREFIX,
        "height": height,
        "label": label,
    }


@dataclass(frozen=True, slots=True)
class Picked:
    """What was selected on a map; `box` is south, west, north, east where it was a box."""

    ids: tuple[str, ...] = ()
    box: tuple[float, float, float, float] | None = None


def picked(said: Mapping[str, Any] | None, known: Mapping[str, object], token: str) -> Picked:
    """What the script says is selected, of the map that it shows and no other."""
    if not said or said.get("token") != token:
        return Picked()
    ids = tuple(one for one in said.get("ids") or () if one in known)
    edges = said.get("box")
    if not edges or len(edges) != 4:
        return Picked(ids)
    south, west, north, east = (float(edge) for edge in edges)
    return Picked(ids, (south, west, north, east))


def inside(box: tuple[float, float, float, float]) -> str:
    """A box as a condition of `where`."""
    return f"inside({', '.join(f'{edge:g}' for edge in box)})"


def asset_card(
    asset_id: str, found: Shelved | None, *, badge: str = "", tells_size: bool = False
) -> dict[str, object]:
    """An asset for the script that draws cards; one that is gone meanwhile says so."""
    if found is None:
        gone = {"kind": "other", "name": "not in the library any more", "line": ""}
        return {"id": asset_id, "picture": "", "badge": badge, "hint": "", **gone}
    asset, path = found.asset, found.paths[0]
    return {
        "id": asset_id,
        "kind": asset.modality.value,
        "name": hit_cards.name_of(path),
        "line": details(found) if tells_size else hit_cards.folder_of(path),
        "picture": picture(asset_id, asset.modality),
        "badge": badge,
        "hint": hit_cards.folder_of(path) if tells_size else details(found),
    }


def details(found: Shelved) -> str:
    """`4000 × 3000 · 2.1 MB`, as far as it applies."""
    said = found.asset.metadata
    parts = []
    if said.width_px and said.height_px:
        parts.append(f"{said.width_px} × {said.height_px}")
    if said.duration_s is not None:
        parts.append(hit_cards.clock(said.duration_s))
    parts.append(hit_cards.size(found.asset.size_bytes))
    return " · ".join(parts)


def picture(asset_id: str, kind: Modality) -> str:
    """The address of the picture that stands for an asset; empty where there is none."""
    if kind in (Modality.IMAGE, Modality.VIDEO):
        return shared_state.thumbnail_url(asset_id)
    return shared_state.waveform_url(asset_id) if kind is Modality.AUDIO else ""


SPACES = {"image": "what is seen", "text": "what is said and written", "sound": "what is heard"}


def has_umap() -> bool:
    """Whether a map by UMAP can be drawn here."""
    return importlib.util.find_spec("umap") is not None


def equals(field: str, value: str) -> str:
    """That a field has a value, as a condition of `where`."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{field} = "{escaped}"'
