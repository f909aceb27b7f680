"""What there is, counted: by kind, time, camera, language, format, length and tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from mmsearch import analytics
from mmsearch_ui import analytics_view, charts, hit_cards, navigation

if TYPE_CHECKING:
    from mmsearch.analytics import Ranked
    from mmsearch.library.library import Library

BARS = 10
TAGS = 40


def draw(library: Library) -> None:
    """Draw it."""
    snapshot = library.snapshot()
    found = analytics.counts(snapshot)
    figures = analytics_view.figures(found)
    for column, figure in zip(st.columns(max(4, len(figures))), figures, strict=False):
        with column, st.container(border=True, gap="xxsmall"):
            st.metric(figure.label, figure.value)
            st.caption(figure.note)
    _timeline(found)
    left, right = st.columns(2, gap="large")
    with left:
        _bars("Cameras", found.cameras, "cameras", "camera")
        _bars("Languages", found.languages, "languages", "languages")
        if found.lengths:
            st.markdown("##### How long")
            charts.lengths(analytics_view.length_rows(found))
    with right:
        _bars("Formats", found.formats, "formats", "where")
    _tags(analytics.top_tags(snapshot))


def _timeline(found: analytics.Counts) -> None:
    rows, is_yearly = analytics_view.timeline(found.months)
    if not rows:
        return
    st.markdown("##### Over time")
    period = charts.timeline(rows, is_yearly=is_yearly)
    note = "When it was taken, or last changed where that is not known."
    if found.undated:
        note += f" {found.undated:,} without a date."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{note} Click a bar to search in it.", width="stretch")
        days = analytics_view.days_of(period) if period else None
        if days and st.button(f"Search in {period}", icon=":material/search:", key="in_period"):
            navigation.search(filters={"since": days[0], "until": days[1]})


def _bars(title: str, ranked: Ranked, noun: str, field: str) -> None:
    if not ranked.named:
        return
    st.markdown(f"##### {title}")
    chosen = charts.bars(analytics_view.ranked_rows(ranked, BARS), key=f"bars_{field}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(analytics_view.rest(ranked, BARS, noun) or " ", width="stretch")
        if chosen and st.button(
            f"Search in {hit_cards.markdown(chosen)}",
            icon=":material/search:",
            key=f"in_{field}",
        ):
            said = analytics_view.equals("format", chosen) if field == "where" else chosen
            navigation.search(filters={field: said})


def _tags(ranked: Ranked) -> None:
    if not ranked.named:
        return
    st.markdown("##### What is in the pictures")
    counts = {one.name: one.assets for one in ranked.named[:TAGS]}
    tag = st.pills(
        "Tags",
        list(counts),
        format_func=lambda name: f"{hit_cards.markdown(name)} :small[{counts[name]:,}]",
        key="tag",
        label_visibility="collapsed",
    )
    st.caption("Tags that the picture model is sure of; click one to search for it.")
    if tag:
        navigation.search(tag)
