"""Holds a condition against all files of a snapshot at once."""

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
from mmsearch.query.filters.fields import FIELDS, Holds
from mmsearch.query.filters.languages import is_within
from mmsearch.snapshot import columns
from mmsearch.snapshot.columns import Texts, fold
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


def files_where(snapshot: Snapshot, condition: Expression) -> RowMask:
    """Which files meet a condition, by their place in `file_rows`.

    A comparison with what is not known is never met; `not` turns that around.
    """
    match condition:
        case And(parts):
            return np.asarray(np.all([files_where(snapshot, one) for one in parts], axis=0))
        case Or(parts):
            return np.asarray(np.any([files_where(snapshot, one) for one in parts], axis=0))
        case Not(part):
            return ~files_where(snapshot, part)
        case Compare(field, operator, value):
            return _compared(snapshot, field, operator, [value])
        case Among(field, values):
            return _compared(snapshot, field, "=", values)
        case Has(field):
            return _known(snapshot, field)
        case Near():
            return _near(snapshot, condition)
        case Inside():
            return _inside(snapshot, condition)
        case Under(folder):
            return files_under(snapshot, [folder])


def files_under(snapshot: Snapshot, folders: Sequence[str]) -> RowMask:
    """Which files lie below any of the folders, or are one of them."""
    import pyarrow.compute as pc

    paths = columns.paths(snapshot)
    inside = np.zeros(len(paths), dtype=np.bool_)
    for folder in folders:
        below = pc.starts_with(paths, folder.rstrip(os.sep) + os.sep)
        inside |= np.asarray(pc.or_(below, pc.equal(paths, folder)))
    return inside


def _compared(snapshot: Snapshot, field: str, operator: str, values: Sequence[Value]) -> RowMask:
    """Which files have a value that compares so with any of `values`."""
    holds = FIELDS[field].holds
    if holds is Holds.TEXT:
        texts = columns.texts(snapshot, field)
        asked = [fold(str(value)) for value in values]
        if operator == "~":
            return texts.having(_containing(texts, asked))
        same = _within(texts, asked) if field == "language" else _equal(texts, asked)
        return texts.having(same if operator == "=" else ~same)
    if holds is Holds.TIME:
        times = columns.times(snapshot, field)
        periods = [value for value in values if isinstance(value, Period)]
        met = np.any([_timed(times, operator, one) for one in periods], axis=0)
        return np.asarray(met & ~np.isnat(times))
    numbers = columns.numbers(snapshot, field)
    if operator == "=":
        return np.isin(numbers, np.array(values, dtype=np.float64))
    return np.asarray(_COMPARED[operator](numbers, values[0]) & ~np.isnan(numbers))


def _equal(texts: Texts, asked: Sequence[str]) -> RowMask:
    import pyarrow as pa
    import pyarrow.compute as pc

    return np.asarray(pc.is_in(texts.values, value_set=pa.array(asked, pa.string())))


def _containing(texts: Texts, asked: Sequence[str]) -> RowMask:
    import pyarrow.compute as pc

    found = [np.asarray(pc.match_substring(texts.values, one)) for one in asked]
    return np.asarray(np.any(found, axis=0))


def _within(texts: Texts, asked: Sequence[str]) -> RowMask:
    known = texts.values.to_pylist()
    return np.array([any(is_within(tag, one) for one in asked) for tag in known], dtype=np.bool_)


def _timed(times: columns.TimeArray, operator: str, period: Period) -> RowMask:
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


def _known(snapshot: Snapshot, field: str) -> RowMask:
    if field == GPS:
        return _known(snapshot, "lat") & _known(snapshot, "lon")
    match FIELDS[field].holds:
        case Holds.TEXT:
            return columns.texts(snapshot, field).codes >= 0
        case Holds.TIME:
            return ~np.isnat(columns.times(snapshot, field))
        case Holds.NUMBER:
            return ~np.isnan(columns.numbers(snapshot, field))


def _near(snapshot: Snapshot, place: Near) -> RowMask:
    """Within a distance on the sphere, by the haversine formula (Sinnott 1984)."""
    latitudes = np.radians(columns.numbers(snapshot, "lat"))
    longitudes = np.radians(columns.numbers(snapshot, "lon"))
    latitude, longitude = np.radians([place.latitude, place.longitude])
    half = (
        np.sin((latitudes - latitude) / 2) ** 2
        + np.cos(latitudes) * np.cos(latitude) * np.sin((longitudes - longitude) / 2) ** 2
    )
    distances = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
    return np.asarray(distances <= place.radius_km)  # NaN is near nothing


def _inside(snapshot: Snapshot, box: Inside) -> RowMask:
    latitudes, longitudes = columns.numbers(snapshot, "lat"), columns.numbers(snapshot, "lon")
    south, north = sorted((box.south, box.north))
    east_of, west_of = longitudes >= box.west, longitudes <= box.east
    between = east_of & west_of if box.west <= box.east else east_of | west_of
    return np.asarray((latitudes >= south) & (latitudes <= north) & between)
