"""The explore page: counts, a map, places, duplicates."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import streamlit as st

from mmsearch import analytics
from mmsearch.formatting import format_size
from mmsearch_ui import analytics_view, empty_states, navigation, overview, shared_state, tabs
from mmsearch_ui.components import mount_component
from mmsearch_ui.event_acknowledgement import count_acknowledged, take_event
from mmsearch_ui.hit_cards import format_count, format_name, make_displayable
from mmsearch_ui.search_form import AssetExample

if TYPE_CHECKING:
    from mmsearch.library.library import Library

MAP_PX = 560
SHOWN = 60
"""Cards of a selection or a group of near-duplicates."""
EXAMPLES = 8
"""Assets of a selection that are searched by: each takes time."""
GROUPS = 20
"""Groups of near-duplicates on a page."""


def render() -> None:
    """Draws the page."""
    library = tabs.open_library_or(_draw_first_step)
    if library is None:
        return
    if not analytics.count_assets(library.snapshot()).assets:
        _draw_first_step()
        return
    tabs.draw_tabs(
        "explore_view",
        {
            "Overview": overview.draw_overview,
            "Map": _draw_map,
            "Places": _draw_places,
            "Duplicates": _draw_duplicates,
        },
        library,
    )


def _draw_first_step() -> None:
    empty_states.draw_first_step(shared_state.library_path())


def _draw_map(library: Library) -> None:
    snapshot = library.snapshot()
    spaces = analytics.list_spaces(snapshot)
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
        method = analytics.ProjectionMethod.PCA
        if importlib.util.find_spec("umap") is not None:
            method = st.segmented_control(
                "Drawn by",
                [method, analytics.ProjectionMethod.UMAP],
                default=method,
                required=True,
                format_func=lambda choice: choice.value.upper(),
                key="map_method",
            )
    with st.spinner("Drawing the map", show_time=True):
        chart = analytics.project_space(snapshot, space, method=method)
    data = analytics_view.build_chart_data(chart, (), height=MAP_PX)
    selection = _draw_canvas("map", data)
    notes = ["What is alike lies near each other."]
    if chart.explained is not None:
        notes.append(f"The plane holds {chart.explained:.0%} of the differences.")
    if len(chart.points) < chart.assets:
        notes.append(f"{len(chart.points):,} of {chart.assets:,} assets, drawn by lot.")
    notes.append("Draw around points to select them; the wheel zooms.")
    st.caption(" ".join(notes))
    _draw_selection(library, selection, key="map_selection")


def _draw_canvas(key: str, data: dict[str, Any]) -> analytics_view.MapSelection:
    """Draws a map; returns the selection on it."""
    state = st.session_state.get(key, {}).get("selected")
    ids = set(data["points"]["ids"])
    before = analytics_view.read_selection(state, ids, data["token"])
    component = mount_component("map_plot")(
        key=key, data=data | {"selected": before.ids}, on_selected_change=_ignore_change
    )
    return analytics_view.read_selection(component.selected, ids, data["token"])


def _draw_selection(library: Library, selection: analytics_view.MapSelection, *, key: str) -> None:
    """Draws the selected assets, and a button to search by them."""
    if not selection.ids:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        noun = format_count(len(selection.ids), "asset")
        st.markdown(f"##### {noun} selected", width="stretch")
        if st.button("Search like these", icon=":material/search:", key=f"{key}_like"):
            navigation.open_search(like=_select_examples(library, selection.ids))
    _draw_cards(library, selection.ids[:SHOWN], key=f"{key}_cards")
    if len(selection.ids) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(selection.ids):,}.")


def _select_examples(library: Library, ids: tuple[str, ...]) -> list[AssetExample]:
    """Selects some assets, evenly spread, as examples to search by."""
    step = max(1, -(-len(ids) // EXAMPLES))
    located = [(asset_id, library.asset(asset_id)) for asset_id in ids[::step]]
    return [
        AssetExample(asset_id, format_name(asset.paths[0]))
        for asset_id, asset in located
        if asset is not None
    ]


def _draw_cards(
    library: Library, ids: tuple[str, ...], *, key: str, is_group: bool = False
) -> None:
    """Draws assets as cards, a group with sizes; a click searches for more like one."""
    cards = [
        analytics_view.build_asset_card(
            asset_id,
            library.asset(asset_id),
            badge="largest" if is_group and number == 0 else "",
            has_details=is_group,
        )
        for number, asset_id in enumerate(ids)
    ]
    token = " ".join(ids)
    acknowledged = count_acknowledged(key)
    data = {"token": token, "cards": cards, "acknowledged": acknowledged}
    mount_component("map_cards")(key=key, data=data, on_event_change=_ignore_change)
    event = take_event(key)
    if event is not None and event["value"] in ids:
        navigation.open_search(like=_select_examples(library, (event["value"],)))


def _ignore_change() -> None:
    """Ignores a callback: the event is read from the value that a component returns."""


def _draw_places(library: Library) -> None:
    places = analytics.list_places(library.snapshot())
    if not places.assets:
        st.info(
            "Nothing in this library says where it was taken. Pictures and videos of phones do, "
            "where their owner let them.",
            icon=":material/location_off:",
        )
        return
    selection = _draw_canvas("places", analytics_view.build_places_data(places, (), height=MAP_PX))
    notes = [format_count(places.assets, "asset says", "assets say") + " where it was taken."]
    if len(places.pins) < places.assets:
        notes.append(f"{len(places.pins):,} of them are drawn, by lot.")
    notes.append("The outline is coarse and drawn by hand: no map is fetched from anywhere.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(" ".join(notes), width="stretch")
        if selection.box and st.button(
            "Search in this box", icon=":material/search:", key="places_box"
        ):
            navigation.open_search(
                filters={"where": analytics_view.build_box_condition(selection.box)}
            )
    _draw_selection(library, selection, key="places_selection")


def _draw_duplicates(library: Library) -> None:
    snapshot = library.snapshot()
    with st.spinner("Comparing pictures", show_time=True):
        duplicates = analytics.find_duplicates(snapshot)
    copies = analytics.find_copies(snapshot)
    _draw_groups(library, duplicates)
    st.markdown(f"##### Copies: {len(copies):,}")
    if not copies:
        st.caption("No content lies in two files.")
        return
    spare_bytes = sum(copy.spare_bytes for copy in copies)
    st.caption(f"The same content in several files. Without them {format_size(spare_bytes)} less.")
    st.dataframe(
        [
            {
                "file": make_displayable(copy.paths[0]),
                "also at": [make_displayable(path) for path in copy.paths[1:]],
                "size": format_size(copy.size_bytes),
            }
            for copy in copies
        ],
        hide_index=True,
    )


def _draw_groups(library: Library, duplicates: analytics.DuplicateGroups) -> None:
    st.markdown(f"##### Near-duplicates: {format_count(len(duplicates.groups), 'group')}")
    notes = [
        f"{format_count(duplicates.pictures, 'picture')} compared: resized, encoded again"
        + (" or cropped a little." if duplicates.has_crops else "; too many to look for crops.")
    ]
    if not duplicates.is_whole:
        notes.append("There are more pairs than are looked through: not all groups are here.")
    if duplicates.groups:
        notes.append("The largest of each comes first. Nothing is deleted here.")
    st.caption(" ".join(notes))
    pages = max(1, -(-len(duplicates.groups) // GROUPS))
    page = 1
    if pages > 1:
        page = st.number_input("Page", 1, pages, key="groups_page", width=140)
    columns = st.columns(2)
    for number, group in enumerate(duplicates.groups[(page - 1) * GROUPS : page * GROUPS]):
        with columns[number % 2], st.container(border=True, key=f"group_{number}"):
            _draw_cards(library, group[:SHOWN], key=f"group_cards_{number}", is_group=True)
