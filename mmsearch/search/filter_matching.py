"""Matches a filter condition against all files of a snapshot at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmsearch.index.base import RowMask
from mmsearch.query.filters.dates import Period
from mmsearch.query.filters.expressions import (
    GPS,
    Among,
    And,
    Compare,
    Expression,
    Has,
    Inside,
    Near,
    Not,
    Or,
    Under,
    Value,
)
from mmsearch.query.filters.fields import FIELDS, FieldType
from mmsearch.query.filters.languages import is_within
from mmsearch.snapshot import columns
from mmsearch.snapshot.columns import TextColumn, fold
from mmsearch.snapshot.snapshot import Snapshot

EARTH_RADIUS_KM = 6371.0088
"""The mean radius R1 of the Earth (Moritz, Geodetic Reference System 1980)."""
_COMPARED: dict[str, Any] = {
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def match_condition(snapshot: Snapshot, condition: Expression) -> RowMask:
    """Marks the files that meet a condition, by their position in `file_rows`.

    A comparison with an unknown value is never met; `not` turns that around.
    """
    match condition:
        case And(parts):
            return np.asarray(np.all([match_condition(snapshot, part) for part in parts], axis=0))
        case Or(parts):
            return np.asarray(np.any([match_condition(snapshot, part) for part in parts], axis=0))
        case Not(part):
            return ~match_condition(snapshot, part)
        case Compare(field, operator, value):
            return _match_values(snapshot, field, operator, [value])
        case Among(field, values):
            return _match_values(snapshot, field, "=", values)
        case Has(field):
            return _match_known(snapshot, field)
        case Near():
            return _match_near(snapshot, condition)
        case Inside():
            return _match_box(snapshot, condition)
        case Under(folder):
            return match_folders(snapshot, [folder])


def match_folders(snapshot: Snapshot, folders: Sequence[str]) -> RowMask:
    """Marks the files below any of the folders, or equal to one."""
    import pyarrow.compute as pc

    paths = columns.read_paths(snapshot)
    inside = np.zeros(len(paths), dtype=np.bool_)
    for folder in folders:
        below = pc.starts_with(paths, folder.rstrip(os.sep) + os.sep)
        inside |= np.asarray(pc.or_(below, pc.equal(paths, folder)))
    return inside


def _match_values(
    snapshot: Snapshot, field: str, operator: str, values: Sequence[Value]
) -> RowMask:
    """Marks the files with a value that compares so with any of `values`."""
    holds = FIELDS[field].holds
    if holds is FieldType.TEXT:
        texts = columns.read_texts(snapshot, field)
        folded = [fold(str(value)) for value in values]
        if operator == "~":
            return texts.select(_match_substring(texts, folded))
        same = (
            _match_language(texts, folded) if field == "language" else _match_equal(texts, folded)
        )
        return texts.select(same if operator == "=" else ~same)
    if holds is FieldType.TIME:
        times = columns.read_times(snapshot, field)
        periods = [value for value in values if isinstance(value, Period)]
        is_met = np.any([_match_period(times, operator, period) for period in periods], axis=0)
        return np.asarray(is_met & ~np.isnat(times))
    numbers = columns.read_numbers(snapshot, field)
    if operator == "=":
        return np.isin(numbers, np.array(values, dtype=np.float64))
    return np.asarray(_COMPARED[operator](numbers, values[0]) & ~np.isnan(numbers))


def _match_equal(texts: TextColumn, values: Sequence[str]) -> RowMask:
    import pyarrow as pa
    import pyarrow.compute as pc

    return np.asarray(pc.is_in(texts.values, value_set=pa.array(values, pa.string())))


def _match_substring(texts: TextColumn, substrings: Sequence[str]) -> RowMask:
    import pyarrow.compute as pc

    masks = [np.asarray(pc.match_substring(texts.values, part)) for part in substrings]
    return np.asarray(np.any(masks, axis=0))


def _match_language(texts: TextColumn, languages: Sequence[str]) -> RowMask:
    tags = texts.values.to_pylist()
    return np.array(
        [any(is_within(tag, language) for language in languages) for tag in tags], dtype=np.bool_
    )


def _match_period(times: columns.TimeArray, operator: str, period: Period) -> RowMask:
    start, end = (np.datetime64(edge, "us") for edge in (period.start, period.end))
    match operator:
        case "<":
            return times < start
        case "<=":
            return times < end
        case ">":
            return times >= end
        case ">=":
            return times >= start
    within = (times >= start) & (times < end)
    return within if operator == "=" else ~within


def _match_known(snapshot: Snapshot, field: str) -> RowMask:
    if field == GPS:
        return _match_known(snapshot, "lat") & _match_known(snapshot, "lon")
    match FIELDS[field].holds:
        case FieldType.TEXT:
            return columns.read_texts(snapshot, field).codes >= 0
        case FieldType.TIME:
            return ~np.isnat(columns.read_times(snapshot, field))
        case FieldType.NUMBER:
            return ~np.isnan(columns.read_numbers(snapshot, field))


def _match_near(snapshot: Snapshot, place: Near) -> RowMask:
    """Marks the files within a distance on the sphere, by the haversine formula (Sinnott 1984)."""
    latitudes = np.radians(columns.read_numbers(snapshot, "lat"))
    longitudes = np.radians(columns.read_numbers(snapshot, "lon"))
    latitude, longitude = np.radians([place.latitude, place.longitude])
    half = (
        np.sin((latitudes - latitude) / 2) ** 2
        + np.cos(latitudes) * np.cos(latitude) * np.sin((longitudes - longitude) / 2) ** 2
    )
    distances = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
    return np.asarray(distances <= place.radius_km)  # NaN is near nothing


def _match_box(snapshot: Snapshot, box: Inside) -> RowMask:
    latitudes, longitudes = (
        columns.read_numbers(snapshot, "lat"),
        columns.read_numbers(snapshot, "lon"),
    )
    south, north = sorted((box.south, box.north))
    east_of, west_of = longitudes >= box.west, longitudes <= box.east
    between = east_of & west_of if box.west <= box.east else east_of | west_of
    return np.asarray((latitudes >= south) & (latitudes <= north) & between)
