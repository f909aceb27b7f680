"""The page that shows what is in the library: counts, a map, places, duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from mmsearch import analytics
from mmsearch_ui import (
    analytics_view,
    empty_states,
    event_acknowledgement,
    hit_cards,
    navigation,
    overview,
    shared_state,
    tabs,
)
from mmsearch_ui.components import component
from mmsearch_ui.search_form import AssetExample

if TYPE_CHECKING:
    from mmsearch.library.library import Library

MAP_PX = 560
SHOWN = 60
"""Cards of a selection, and groups of near-duplicates, that are shown at a time."""
EXAMPLES = 8
"""Of a selection so many are searched by: more say no more, and each takes time."""
GROUPS = 20
"""Of near-duplicates, on a page."""


def render() -> None:
    """Draw it."""
    library = tabs.opened(_first_step)
    if library is None:
        return
    if not analytics.counts(library.snapshot()).assets:
        _first_step()
        return
    tabs.draw(
        "explore_view",
        {"Overview": overview.draw, "Map": _map, "Places": _places, "Duplicates": _duplicates},
        library,
    )


def _first_step() -> None:
    empty_states.first_step(shared_state.library_path())


def _map(library: Library) -> None:
    snapshot = library.snapshot()
    spaces = analytics.charted_spaces(snapshot)
    if not spaces:
        st.info("Nothing in this library has a vector yet: there is nothing to draw.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        space = st.selectbox(
            "By",
            spaces,
            format_func=lambda name: analytics_view.SPACES.get(name, name),
            key="map_space",
            width=260,
        )
        methods = [
            analytics.Method.PCA,
            *([analytics.Method.UMAP] if analytics_view.has_umap() else []),
        ]
        method = analytics.Method.PCA
        if len(methods) > 1:
            method = st.segmented_control(
                "Drawn by",
                methods,
                default=analytics.Method.PCA,
                required=True,
                format_func=lambda one: one.value.upper(),
                key="map_method",
            )
    with st.spinner("Drawing the map", show_time=True):
        chart = analytics.chart(snapshot, space, method=method)
    data = analytics_view.chart_data(chart, (), height=MAP_PX)
    found = _canvas("map", data)
    notes = ["What is alike lies near each other."]
    if chart.explained is not None:
        notes.append(f"The plane holds {chart.explained:.0%} of the differences.")
    if len(chart.points) < chart.assets:
        notes.append(f"{len(chart.points):,} of {chart.assets:,} assets, drawn by lot.")
    notes.append("Draw around points to select them; the wheel zooms.")
    st.caption(" ".join(notes))
    _selection(library, found, key="map_selection")


def _canvas(key: str, data: dict[str, Any]) -> analytics_view.Picked:
    """A map, and what is selected on it."""
    said = st.session_state.get(key, {}).get("selected")
    known = dict.fromkeys(data["points"]["ids"])
    before = analytics_view.picked(said, known, data["token"])
    shown = component("map_plot")(
        key=key, data=data | {"selected": before.ids}, on_selected_change=_ignore
    )
    return analytics_view.picked(shown.selected, known, data["token"])


def _selection(library: Library, found: analytics_view.Picked, *, key: str) -> None:
    """What was selected, to be looked at and searched by."""
    if not found.ids:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        noun = hit_cards.counted(len(found.ids), "asset")
        st.markdown(f"##### {noun} selected", width="stretch")
        if st.button("Search like these", icon=":material/search:", key=f"{key}_like"):
            navigation.search(like=_examples(library, found.ids))
    _cards(library, found.ids[:SHOWN], key=f"{key}_cards")
    if len(found.ids) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(found.ids):,}.")


def _examples(library: Library, ids: tuple[str, ...]) -> list[AssetExample]:
    """Some of these assets, from all over, as examples to search by."""
    step = max(1, -(-len(ids) // EXAMPLES))
    found = [(one, library.asset(one)) for one in ids[::step]]
    return [
        AssetExample(one, hit_cards.name_of(it.paths[0])) for one, it in found if it is not None
    ]


def _cards(library: Library, ids: tuple[str, ...], *, key: str, is_group: bool = False) -> None:
    """Assets as cards, those of a group with their sizes; a click searches for more like one."""
    cards = []
    for number, asset_id in enumerate(ids):
        badge = "largest" if is_group and number == 0 else ""
        found = library.asset(asset_id)
        cards.append(analytics_view.asset_card(asset_id, found, badge=badge, tells_size=is_group))
    token = " ".join(ids)
    data = {"token": token, "cards": cards, "heard": event_acknowledgement.heard(key)}
    component("map_cards")(key=key, data=data, on_act_change=_ignore)
    said = event_acknowledgement.news(key)
    if said is not None and said["value"] in ids:
        navigation.search(like=_examples(library, (said["value"],)))


def _ignore() -> None:
    """What was done is read from what a component returns."""


def _places(library: Library) -> None:
    snapshot = library.snapshot()
    found = analytics.places(snapshot)
    if not found.assets:
        st.info(
            "Nothing in this library says where it was taken. Pictures and videos of phones do, "
            "where their owner let them.",
            icon=":material/location_off:",
        )
        return
    picked = _canvas("places", analytics_view.places_data(found, (), height=MAP_PX))
    notes = [hit_cards.counted(found.assets, "asset says", "assets say") + " where it was taken."]
    if len(found.pins) < found.assets:
        notes.append(f"{len(found.pins):,} of them are drawn, by lot.")
    notes.append("The outline is coarse and drawn by hand: no map is fetched from anywhere.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(" ".join(notes), width="stretch")
        if picked.box and st.button(
            "Search in this box", icon=":material/search:", key="places_box"
        ):
            navigation.search(filters={"where": analytics_view.inside(picked.box)})
    _selection(library, picked, key="places_selection")


def _duplicates(library: Library) -> None:
    snapshot = library.snapshot()
    with st.spinner("Comparing pictures", show_time=True):
        found = analytics.duplicates(snapshot)
    same = analytics.copies(snapshot)
    _groups(library, found)
    st.markdown(f"##### Copies: {len(same):,}")
    if not same:
        st.caption("No content lies in two files.")
        return
    spare = sum(one.spare_bytes for one in same)
    st.caption(f"The same content in several files. Without them {hit_cards.size(spare)} less.")
    st.dataframe(
        [
            {
                "file": hit_cards.shown(one.paths[0]),
                "also at": [hit_cards.shown(path) for path in one.paths[1:]],
                "size": hit_cards.size(one.size_bytes),
            }
            for one in same
        ],
        hide_index=True,
    )


def _groups(library: Library, found: analytics.Duplicates) -> None:
    st.markdown(f"##### Near-duplicates: {hit_cards.counted(len(found.groups), 'group')}")
    notes = [
        f"{hit_cards.counted(found.pictures, 'picture')} compared: resized, encoded again"
        + (" or cropped a little." if found.has_crops else "; too many to look for crops.")
    ]
    if not found.is_whole:
        notes.append("There are more pairs than are looked through: not all groups are here.")
    if found.groups:
        notes.append("The largest of each comes first. Nothing is deleted here.")
    st.caption(" ".join(notes))
    most = max(1, -(-len(found.groups) // GROUPS))
    page = 1
    if most > 1:
        page = st.number_input("Page", 1, most, key="groups_page", width=140)
    columns = st.columns(2)
    for number, group in enumerate(found.groups[(page - 1) * GROUPS : page * GROUPS]):
        with columns[number % 2], st.container(border=True, key=f"group_{number}"):
            _cards(library, group[:SHOWN], key=f"group_cards_{number}", is_group=True)
