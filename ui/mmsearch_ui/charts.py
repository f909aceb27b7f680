"""Bars that can be clicked, drawn by Vega in the browser from what is in the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from mmsearch_ui.analytics_view import COLOURS, NAMES

if TYPE_CHECKING:
    import altair as alt

Rows = Sequence[dict[str, object]]
BAR_PX = 24
AXIS_PX = 44


def timeline(rows: Rows, *, is_yearly: bool) -> str | None:
    """Assets by period and kind; the period of the bar that was clicked."""
    import altair as alt

    clicked = alt.selection_point(name="picked", fields=["period"], toggle=False)
    chart = (
        alt.Chart(_table(rows))
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            x=alt.X(
                "period:O",
                title=None,
                axis=alt.Axis(labelAngle=0 if is_yearly else -45, labelOverlap="greedy"),
            ),
            y=alt.Y("assets:Q", title=None, axis=alt.Axis(tickMinStep=1, format=",d")),
            color=_kinds(rows),
            opacity=alt.condition(clicked, alt.value(1.0), alt.value(0.35)),
            tooltip=["period:O", "kind:N", alt.Tooltip("assets:Q", format=",d")],
        )
        .add_params(clicked)
        .properties(height=220)
    )
    return _clicked(chart, "timeline", "period")


def bars(rows: Rows, *, key: str) -> str | None:
    """Assets by name, the most first; the name of the bar that was clicked."""
    import altair as alt

    clicked = alt.selection_point(name="picked", fields=["name"], toggle=False)
    chart = (
        alt.Chart(_table(rows))
        .mark_bar(cornerRadiusEnd=3, color="#3b82b5")
        .encode(
            y=alt.Y(
                "name:N", title=None, sort=None, axis=alt.Axis(labelLimit=180, labelOverlap=False)
            ),
            x=alt.X("assets:Q", title=None, axis=alt.Axis(tickMinStep=1, format=",d")),
            opacity=alt.condition(clicked, alt.value(1.0), alt.value(0.35)),
            tooltip=["name:N", alt.Tooltip("assets:Q", format=",d")],
        )
        .add_params(clicked)
        .properties(height=BAR_PX * len(rows) + AXIS_PX)
    )
    return _clicked(chart, key, "name")


def lengths(rows: Rows) -> None:
    """How many recordings are how long."""
    import altair as alt

    chart = (
        alt.Chart(_table(rows))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y(
                "length:N",
                title=None,
                sort=alt.EncodingSortField("order", op="min"),
                axis=alt.Axis(labelOverlap=False),
            ),
            x=alt.X("assets:Q", title=None, axis=alt.Axis(tickMinStep=1, format=",d")),
            color=_kinds(rows),
            tooltip=["length:N", "kind:N", alt.Tooltip("assets:Q", format=",d")],
        )
        .properties(height=BAR_PX * len({row["length"] for row in rows}) + 3 * AXIS_PX)
    )
    st.altair_chart(chart)


def _table(rows: Rows) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows))


def _kinds(rows: Rows) -> alt.Color:
    import altair as alt

    there = {row["kind"] for row in rows}
    known = {NAMES[kind]: colour for kind, colour in COLOURS.items() if NAMES[kind] in there}
    scale = alt.Scale(domain=list(known), range=list(known.values()))
    return alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, orient="top"))


def _clicked(chart: alt.Chart, key: str, field: str) -> str | None:
    event: Any = st.altair_chart(chart, on_select="rerun", key=key)
    points = event.selection.get("picked") or []
    return str(points[0][field]) if points and field in points[0] else None
