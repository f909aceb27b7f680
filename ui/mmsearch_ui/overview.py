"""Draws counts by kind, time, camera, language, format, length and tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from mmsearch import analytics
from mmsearch_ui import analytics_view, charts, navigation
from mmsearch_ui.hit_cards import escape_markdown

if TYPE_CHECKING:
    from mmsearch.analytics import TopValues
    from mmsearch.library.library import Library

BARS = 10
TAGS = 40


def draw_overview(library: Library) -> None:
    """Draws the view."""
    snapshot = library.snapshot()
    counts = analytics.count_assets(snapshot)
    figures = analytics_view.build_figures(counts)
    for column, figure in zip(st.columns(max(4, len(figures))), figures, strict=False):
        with column, st.container(border=True, gap="xxsmall"):
            st.metric(figure.label, figure.value)
            st.caption(figure.note)
    _draw_timeline(counts)
    left, right = st.columns(2, gap="large")
    with left:
        _draw_bars("Cameras", counts.cameras, "cameras", "camera")
        _draw_bars("Languages", counts.languages, "languages", "languages")
        if counts.lengths:
            st.markdown("##### How long")
            charts.draw_lengths(analytics_view.build_length_rows(counts))
    with right:
        _draw_bars("Formats", counts.formats, "formats", "where")
    _draw_tags(analytics.count_top_tags(snapshot))


def _draw_timeline(counts: analytics.AssetCounts) -> None:
    rows, is_yearly = analytics_view.build_timeline(counts.months)
    if not rows:
        return
    st.markdown("##### Over time")
    period = charts.draw_timeline(rows, is_yearly=is_yearly)
    note = "When it was taken, or last changed where that is not known."
    if counts.undated:
        note += f" {counts.undated:,} without a date."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{note} Click a bar to search in it.", width="stretch")
        days = analytics_view.parse_period_days(period) if period else None
        if days and st.button(f"Search in {period}", icon=":material/search:", key="in_period"):
            navigation.open_search(filters={"since": days[0], "until": days[1]})


def _draw_bars(title: str, ranked: TopValues, noun: str, field: str) -> None:
    if not ranked.named:
        return
    st.markdown(f"##### {title}")
    chosen = charts.draw_bars(analytics_view.build_value_rows(ranked, BARS), key=f"bars_{field}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(analytics_view.describe_rest(ranked, BARS, noun) or " ", width="stretch")
        if chosen and st.button(
            f"Search in {escape_markdown(chosen)}", icon=":material/search:", key=f"in_{field}"
        ):
            condition = analytics_view.build_equality("format", chosen)
            navigation.open_search(filters={field: condition if field == "where" else chosen})


def _draw_tags(ranked: TopValues) -> None:
    if not ranked.named:
        return
    st.markdown("##### What is in the pictures")
    counts = {tag.name: tag.assets for tag in ranked.named[:TAGS]}
    chosen = st.pills(
        "Tags",
        list(counts),
        format_func=lambda name: f"{escape_markdown(name)} :small[{counts[name]:,}]",
        key="tag",
        label_visibility="collapsed",
    )
    st.caption("Tags that the picture model is sure of; click one to search for it.")
    if chosen:
        navigation.open_search(chosen)
