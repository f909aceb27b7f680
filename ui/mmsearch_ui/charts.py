"""Draws bar charts that can be clicked, with Vega in the browser."""

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


def draw_timeline(rows: Rows, *, is_yearly: bool) -> str | None:
    """Draws assets by period and kind; returns the period of the clicked bar."""
    import altair as alt

    axis = alt.Axis(labelAngle=0 if is_yearly else -45, labelOverlap="greedy")
    chart = (
        alt.Chart(_build_table(rows))
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            x=alt.X("period:O", title=None, axis=axis),
            y=alt.Y("assets:Q", title=None, axis=_count_axis()),
            color=_kind_colours(rows),
            tooltip=["period:O", "kind:N", alt.Tooltip("assets:Q", format=",d")],
        )
        .properties(height=220)
    )
    return _read_click(chart, "timeline", "period")


def draw_bars(rows: Rows, *, key: str) -> str | None:
    """Draws assets by name, the most first; returns the name of the clicked bar."""
    import altair as alt

    axis = alt.Axis(labelLimit=180, labelOverlap=False)
    chart = (
        alt.Chart(_build_table(rows))
        .mark_bar(cornerRadiusEnd=3, color="#3b82b5")
        .encode(
            y=alt.Y("name:N", title=None, sort=None, axis=axis),
            x=alt.X("assets:Q", title=None, axis=_count_axis()),
            tooltip=["name:N", alt.Tooltip("assets:Q", format=",d")],
        )
        .properties(height=BAR_PX * len(rows) + AXIS_PX)
    )
    return _read_click(chart, key, "name")


def draw_lengths(rows: Rows) -> None:
    """Draws recordings by length."""
    import altair as alt

    sort, axis = alt.EncodingSortField("order", op="min"), alt.Axis(labelOverlap=False)
    chart = (
        alt.Chart(_build_table(rows))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y("length:N", title=None, sort=sort, axis=axis),
            x=alt.X("assets:Q", title=None, axis=_count_axis()),
            color=_kind_colours(rows),
            tooltip=["length:N", "kind:N", alt.Tooltip("assets:Q", format=",d")],
        )
        .properties(height=BAR_PX * len({row["length"] for row in rows}) + 3 * AXIS_PX)
    )
    st.altair_chart(chart)


def _count_axis() -> alt.Axis:
    import altair as alt

    return alt.Axis(tickMinStep=1, format=",d")


def _build_table(rows: Rows) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows))


def _kind_colours(rows: Rows) -> alt.Color:
    import altair as alt

    present = {row["kind"] for row in rows}
    colours = {NAMES[kind]: colour for kind, colour in COLOURS.items() if NAMES[kind] in present}
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, orient="top"))


def _read_click(chart: alt.Chart, key: str, field: str) -> str | None:
    """Draws a chart whose bars can be clicked; returns the field of the clicked bar."""
    import altair as alt

    clicked = alt.selection_point(name="picked", fields=[field], toggle=False)
    opacity = alt.condition(clicked, alt.value(1.0), alt.value(0.35))
    chart = chart.encode(opacity=opacity).add_params(clicked)
    event: Any = st.altair_chart(chart, on_select="rerun", key=key)
    points = event.selection.get("picked") or []
    return str(points[0][field]) if points and field in points[0] else None
