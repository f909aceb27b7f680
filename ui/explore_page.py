"""The page that shows what is in the library: counts, a map, places, duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from mmsearch import survey
from ui import handover, hearing, overview, presenter, shared, survey_view, views, welcome
from ui.components import component
from ui.form import Example

if TYPE_CHECKING:
    from mmsearch.library import Library

MAP_PX = 560
SHOWN = 60
"""Cards of a selection, and groups of near-duplicates, that are shown at a time."""
EXAMPLES = 8
"""Of a selection so many are searched by: more say no more, and each takes time."""
GROUPS = 20
"""Of near-duplicates, on a page."""


def render() -> None:
    """Draw it."""
    library = views.opened(_first_step)
    if library is None:
        return
    if not survey.counts(library.snapshot()).assets:
        _first_step()
        return
    views.draw(
        "explore_view",
        {"Overview": overview.draw, "Map": _map, "Places": _places, "Duplicates": _duplicates},
        library,
    )


def _first_step() -> None:
    welcome.first_step(shared.library_path())


def _map(library: Library) -> None:
    snapshot = library.snapshot()
    spaces = survey.charted_spaces(snapshot)
    if not spaces:
        st.info("Nothing in this library has a vector yet: there is nothing to draw.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        space = st.selectbox(
            "By",
            spaces,
            format_func=lambda name: survey_view.SPACES.get(name, name),
            key="map_space",
            width=260,
        )
        methods = [survey.Method.PCA, *([survey.Method.UMAP] if survey_view.has_umap() else [])]
        method = survey.Method.PCA
        if len(methods) > 1:
            method = st.segmented_control(
                "Drawn by",
                methods,
                default=survey.Method.PCA,
                required=True,
                format_func=lambda one: one.value.upper(),
                key="map_method",
            )
    with st.spinner("Drawing the map", show_time=True):
        chart = survey.chart(snapshot, space, method=method)
    data = survey_view.chart_data(chart, (), height=MAP_PX)
    found = _canvas("map", data)
    notes = ["What is alike lies near each other."]
    if chart.explained is not None:
        notes.append(f"The plane holds {chart.explained:.0%} of the differences.")
    if len(chart.points) < chart.assets:
        notes.append(f"{len(chart.points):,} of {chart.assets:,} assets, drawn by lot.")
    notes.append("Draw around points to select them; the wheel zooms.")
    st.caption(" ".join(notes))
    _selection(library, found, key="map_selection")


def _canvas(key: str, data: dict[str, Any]) -> survey_view.Picked:
    """A map, and what is selected on it."""
    said = st.session_state.get(key, {}).get("selected")
    known = dict.fromkeys(data["points"]["ids"])
    before = survey_view.picked(said, known, data["token"])
    shown = component("map_plot")(
        key=key, data=data | {"selected": before.ids}, on_selected_change=_ignore
    )
    return survey_view.picked(shown.selected, known, data["token"])


def _selection(library: Library, found: survey_view.Picked, *, key: str) -> None:
    """What was selected, to be looked at and searched by."""
    if not found.ids:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        noun = presenter.counted(len(found.ids), "asset")
        st.markdown(f"##### {noun} selected", width="stretch")
        if st.button("Search like these", icon=":material/search:", key=f"{key}_like"):
            handover.search(like=_examples(library, found.ids))
    _cards(library, found.ids[:SHOWN], key=f"{key}_cards")
    if len(found.ids) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(found.ids):,}.")


def _examples(library: Library, ids: tuple[str, ...]) -> list[Example]:
    """Some of these assets, from all over, as examples to search by."""
    step = max(1, -(-len(ids) // EXAMPLES))
    found = [(one, library.asset(one)) for one in ids[::step]]
    return [Example(one, presenter.name_of(it.paths[0])) for one, it in found if it is not None]


def _cards(library: Library, ids: tuple[str, ...], *, key: str, is_group: bool = False) -> None:
    """Assets as cards, those of a group with their sizes; a click searches for more like one."""
    cards = []
    for number, asset_id in enumerate(ids):
        badge = "largest" if is_group and number == 0 else ""
        found = library.asset(asset_id)
        cards.append(survey_view.asset_card(asset_id, found, badge=badge, tells_size=is_group))
    token = " ".join(ids)
    data = {"token": token, "cards": cards, "heard": hearing.heard(key)}
    component("map_cards")(key=key, data=data, on_act_change=_ignore)
    said = hearing.news(key)
    if said is not None and said["value"] in ids:
        handover.search(like=_examples(library, (said["value"],)))


def _ignore() -> None:
    """What was done is read from what a component returns."""


def _places(library: Library) -> None:
    snapshot = library.snapshot()
    found = survey.places(snapshot)
    if not found.assets:
        st.info(
            "Nothing in this library says where it was taken. Pictures and videos of phones do, "
            "where their owner let them.",
            icon=":material/location_off:",
        )
        return
    picked = _canvas("places", survey_view.places_data(found, (), height=MAP_PX))
    notes = [presenter.counted(found.assets, "asset says", "assets say") + " where it was taken."]
    if len(found.pins) < found.assets:
        notes.append(f"{len(found.pins):,} of them are drawn, by lot.")
    notes.append("The outline is coarse and drawn by hand: no map is fetched from anywhere.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(" ".join(notes), width="stretch")
        if picked.box and st.button(
            "Search in this box", icon=":material/search:", key="places_box"
        ):
            handover.search(filters={"where": survey_view.inside(picked.box)})
    _selection(library, picked, key="places_selection")


def _duplicates(library: Library) -> None:
    snapshot = library.snapshot()
    with st.spinner("Comparing pictures", show_time=True):
        found = survey.duplicates(snapshot)
    same = survey.copies(snapshot)
    _groups(library, found)
    st.markdown(f"##### Copies: {len(same):,}")
    if not same:
        st.caption("No content lies in two files.")
        return
    spare = sum(one.spare_bytes for one in same)
    st.caption(f"The same content in several files. Without them {presenter.size(spare)} less.")
    st.dataframe(
        [
            {
                "file": presenter.shown(one.paths[0]),
                "also at": [presenter.shown(path) for path in one.paths[1:]],
                "size": presenter.size(one.size_bytes),
            }
            for one in same
        ],
        hide_index=True,
    )


def _groups(library: Library, found: survey.Duplicates) -> None:
    st.markdown(f"##### Near-duplicates: {presenter.counted(len(found.groups), 'group')}")
    notes = [
        f"{presenter.counted(found.pictures, 'picture')} compared: resized, encoded again"
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
