"""Turns analytics into rows of charts, cards and periods, without Streamlit."""

from __future__ import annotations

import calendar
import functools
import json
import re
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, Any

from mmsearch.formatting import format_clock, format_size
from mmsearch.types import Modality
from mmsearch_ui import shared_state
from mmsearch_ui.components import read_text
from mmsearch_ui.hit_cards import KIND_NOUNS, format_folder, format_name, make_displayable

if TYPE_CHECKING:
    from mmsearch.analytics import (
        AssetCounts,
        MapPlaces,
        MapPoint,
        MonthCount,
        Pin,
        Projection,
        TopValues,
    )
    from mmsearch.library.assets import LocatedAsset

MONTHS_SHOWN = 60
"""A longer timeline is by year."""
COLOURS = {
    Modality.IMAGE: "#3b82b5",
    Modality.VIDEO: "#9a5fb0",
    Modality.AUDIO: "#d2802f",
    Modality.TEXT: "#4a9a6a",
    Modality.OTHER: "#8b9196",
}
"""Colours of the kinds, for light and dark themes; `map_plot.js` has the same."""
KINDS = [kind.value for kind in Modality]
NAMES = {kind: (plural or f"{noun}s").capitalize() for kind, (noun, plural) in KIND_NOUNS.items()}
"""Plural nouns of the kinds."""
_PERIOD = re.compile(r"(\d{4})(?:-(\d\d))?")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number to be shown large, with its unit."""

    label: str
    value: str
    note: str = ""


def build_figures(counts: AssetCounts) -> list[Figure]:
    """Returns the number of assets of each kind, with their size and their duration."""
    figures = []
    for row in counts.kinds:
        kind = Modality(row.name)
        notes = [format_size(counts.size_bytes.get(kind, 0))]
        if kind in counts.duration_s:
            notes.insert(0, format_clock(counts.duration_s[kind]))
        figures.append(Figure(NAMES[kind], f"{row.assets:,}", " · ".join(notes)))
    return figures


def build_timeline(months: Sequence[MonthCount]) -> tuple[list[dict[str, object]], bool]:
    """Returns rows of period, kind and assets for a chart, and True if they are by year.

    They are by month where that fits, with every month between the first and the last.
    """
    if not months:
        return [], False
    first, last = months[0].month, months[-1].month
    is_yearly = _count_months(last) - _count_months(first) >= MONTHS_SHOWN
    sums: defaultdict[tuple[str, Modality], int] = defaultdict(int)
    for count in months:
        sums[count.month[:4] if is_yearly else count.month, count.kind] += count.assets
    if is_yearly:
        periods = [f"{year:04}" for year in range(int(first[:4]), int(last[:4]) + 1)]
    else:
        numbers = range(_count_months(first), _count_months(last) + 1)
        periods = [f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers]
    kinds = [kind for kind in Modality if any(count.kind is kind for count in months)]
    rows: list[dict[str, object]] = [
        {"period": period, "kind": NAMES[kind], "assets": sums[period, kind]}
        for period in periods
        for kind in kinds
    ]
    return rows, is_yearly


def _count_months(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:7]) - 1


def parse_period_days(period: str) -> tuple[date, date] | None:
    """Returns the first and the last day of 2024-05 or 2024; None for another text."""
    match = _PERIOD.fullmatch(period)
    if match is None:
        return None
    first, last = (int(match[2]),) * 2 if match[2] else (1, 12)
    try:
        year = int(match[1])
        return date(year, first, 1), date(year, last, calendar.monthrange(year, last)[1])
    except ValueError:  # no such year or month
        return None


def build_value_rows(ranked: TopValues, at_most: int) -> list[dict[str, object]]:
    """Returns rows of name and assets for a chart, without unnamed ones."""
    return [
        {"name": make_displayable(value.name), "assets": value.assets}
        for value in ranked.named[:at_most]
    ]


def describe_rest(ranked: TopValues, limit: int, noun: str) -> str:
    """Describes the values that a chart leaves out: `12 more cameras; 40 without one`."""
    parts = []
    if ranked.distinct > limit:
        parts.append(f"{ranked.distinct - limit:,} more {noun}")
    if ranked.unknown:
        parts.append(f"{ranked.unknown:,} without one")
    return "; ".join(parts)


def build_length_rows(counts: AssetCounts) -> list[dict[str, object]]:
    """Returns rows of length, kind, assets and order for a chart, up to the longest."""
    longest_s = max((count.start_s for count in counts.lengths if count.assets), default=0.0)
    return [
        {
            "length": _format_length(count.start_s, count.end_s),
            "kind": NAMES[count.kind],
            "assets": count.assets,
            "order": count.start_s,
        }
        for count in counts.lengths
        if count.start_s <= longest_s
    ]


def _format_length(start_s: float, end_s: float | None) -> str:
    if end_s is None:
        return f"over {_format_seconds(start_s)}"
    if start_s == 0:
        return f"under {_format_seconds(end_s)}"
    return f"{_format_seconds(start_s)} to {_format_seconds(end_s)}"


def _format_seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"


def build_chart_data(chart: Projection, selected: Sequence[str], *, height: int) -> dict[str, Any]:
    """Returns the map of a space as its script takes it."""
    points = [(point, point.x, point.y) for point in chart.points]
    token = f"{chart.space} {chart.method} {hash(chart.points):x}"
    label = f"Map of {len(chart.points):,} assets by {chart.space}"
    return _build_data(token, points, selected, height, label)


def build_places_data(places: MapPlaces, selected: Sequence[str], *, height: int) -> dict[str, Any]:
    """Returns the map of the world as its script takes it."""
    points = [(pin, pin.longitude, pin.latitude) for pin in places.pins]
    label = f"World map with {len(places.pins):,} assets"
    data = _build_data(f"world {hash(places.pins):x}", points, selected, height, label)
    return data | {"world": read_world()}


@functools.cache
def read_world() -> dict[str, list[list[list[float]]]]:
    """Reads the outline of the world: rings of longitude and latitude in degrees."""
    world = json.loads(read_text("map_world.json"))
    return {part: [*chain.from_iterable(world[part].values())] for part in ("land", "water")}


def _build_data(
    token: str,
    points: Sequence[tuple[MapPoint | Pin, float, float]],
    selected: Sequence[str],
    height: int,
    label: str,
) -> dict[str, Any]:
    columns = {
        "ids": [point.asset_id for point, _, _ in points],
        "x": [round(x, 5) for _, x, _ in points],
        "y": [round(y, 5) for _, _, y in points],
        "kinds": [KINDS.index(point.kind.value) for point, _, _ in points],
        "titles": [make_displayable(point.title) for point, _, _ in points],
    }
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
class MapSelection:
    """A selection on a map; `box` is south, west, north, east, for the map of the world."""

    ids: tuple[str, ...] = ()
    box: tuple[float, float, float, float] | None = None


def read_selection(
    state: Mapping[str, Any] | None, known: Container[str], token: str
) -> MapSelection:
    """Reads the selection of a script; ignores that of another map, and unknown ids."""
    if not state or state.get("token") != token:
        return MapSelection()
    ids = tuple(asset_id for asset_id in state.get("ids") or () if asset_id in known)
    edges = state.get("box")
    if not edges or len(edges) != 4:
        return MapSelection(ids)
    south, west, north, east = (float(edge) for edge in edges)
    return MapSelection(ids, (south, west, north, east))


def build_box_condition(box: tuple[float, float, float, float]) -> str:
    """Returns a box as a condition of `where`."""
    return f"inside({', '.join(f'{edge:g}' for edge in box)})"


def build_asset_card(
    asset_id: str, located: LocatedAsset | None, *, badge: str = "", has_details: bool = False
) -> dict[str, object]:
    """Returns an asset for the script that draws cards; a removed one is marked so.

    With `has_details` the line below the name has the size, and the folder is the hint; otherwise
    it is the other way round.
    """
    if located is None:
        gone = {"kind": "other", "name": "not in the library any more", "line": ""}
        return {"id": asset_id, "picture": "", "badge": badge, "hint": "", **gone}
    asset, path = located.asset, located.paths[0]
    lines = (format_folder(path), format_details(located))
    hint, line = lines if has_details else lines[::-1]
    return {
        "id": asset_id,
        "kind": asset.modality.value,
        "name": format_name(path),
        "line": line,
        "picture": image_url(asset_id, asset.modality),
        "badge": badge,
        "hint": hint,
    }


def format_details(located: LocatedAsset) -> str:
    """Formats `4000 × 3000 · 2.1 MB`, as far as it applies."""
    metadata = located.asset.metadata
    parts = []
    if metadata.width_px and metadata.height_px:
        parts.append(f"{metadata.width_px} × {metadata.height_px}")
    if metadata.duration_s is not None:
        parts.append(format_clock(metadata.duration_s))
    parts.append(format_size(located.asset.size_bytes))
    return " · ".join(parts)


def image_url(asset_id: str, kind: Modality) -> str:
    """Returns the address of the image of an asset; empty where it has none."""
    if kind in (Modality.IMAGE, Modality.VIDEO):
        return shared_state.thumbnail_url(asset_id)
    return shared_state.waveform_url(asset_id) if kind is Modality.AUDIO else ""


SPACES = {"image": "what is seen", "text": "what is said and written", "sound": "what is heard"}


def build_equality(field: str, value: str) -> str:
    """Returns the condition of `where` that a field has a value."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{field} = "{escaped}"'
