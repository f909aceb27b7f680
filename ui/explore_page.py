"""The page that shows what is in the library: counts, a map, places, duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from mmsearch import survey
from ui import charts, handover, presenter, shared, survey_view, views, welcome
from ui.components import component
from ui.form import Example

if TYPE_CHECKING:
    from mmsearch.library import Library
    from mmsearch.survey import Ranked

MAP_PX = 560
SHOWN = 60
"""Cards of a selection, and groups of near-duplicates, that are shown at a time."""
EXAMPLES = 8
"""Of a selection so many are searched by: more say no more, and each takes time."""
BARS = 10
GROUPS = 20
"""Of near-duplicates, on a page."""
TAGS = 40


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
        {"Overview": _overview, "Map": _map, "Places": _places, "Duplicates": _duplicates},
        library,
    )


def _first_step() -> None:
    welcome.first_step(shared.library_path())


# ---- overview


def _overview(library: Library) -> None:
    snapshot = library.snapshot()
    found = survey.counts(snapshot)
    figures = survey_view.figures(found)
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
            charts.lengths(survey_view.length_rows(found))
    with right:
        _bars("Formats", found.formats, "formats", "where")
    _tags(survey.top_tags(snapshot))


def _timeline(found: survey.Counts) -> None:
    rows, is_yearly = survey_view.timeline(found.months)
    if not rows:
        return
    st.markdown("##### Over time")
    period = charts.timeline(rows, is_yearly=is_yearly)
    note = "When it was taken, or last changed where that is not known."
    if found.undated:
        note += f" {found.undated:,} without a date."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{note} Click a bar to search in it.", width="stretch")
        days = survey_view.days_of(period) if period else None
        if days and st.button(f"Search in {period}", icon=":material/search:", key="in_period"):
            handover.search(filters={"since": days[0], "until": days[1]})


def _bars(title: str, ranked: Ranked, noun: str, field: str) -> None:
    if not ranked.named:
        return
    st.markdown(f"##### {title}")
    chosen = charts.bars(survey_view.ranked_rows(ranked, BARS), key=f"bars_{field}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(survey_view.rest(ranked, BARS, noun) or " ", width="stretch")
        if chosen and st.button(
            f"Search in {presenter.markdown(chosen)}",
            icon=":material/search:",
            key=f"in_{field}",
        ):
            said = survey_view.equals("format", chosen) if field == "where" else chosen
            handover.search(filters={field: said})


def _tags(ranked: Ranked) -> None:
    if not ranked.named:
        return
    st.markdown("##### What is in the pictures")
    counts = {one.name: one.assets for one in ranked.named[:TAGS]}
    tag = st.pills(
        "Tags",
        list(counts),
        format_func=lambda name: f"{presenter.markdown(name)} :small[{counts[name]:,}]",
        key="tag",
        label_visibility="collapsed",
    )
    st.caption("Tags that the picture model is sure of; click one to search for it.")
    if tag:
        handover.search(tag)


# ---- map


def _map(library: Library) -> None:
    snapshot = library.snapshot()
    spaces = survey.charted_spaces(snapshot)
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
    shown = component("map_cards")(
        key=key, data={"token": token, "cards": cards}, on_opened_change=_ignore
    )
    if shown.opened in ids:
        handover.search(like=_examples(library, (shown.opened,)))


def _ignore() -> None:
    """What was done is read from what a component returns."""


# ---- places


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


# ---- duplicates


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
