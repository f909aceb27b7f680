"""What the pages show, worked out without a page."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmsearch_ui import (
    app,
    desktop,
    hit_cards,
    hit_view,
    search_form,
    selection,
    shared_state,
    zip_download,
)
from mmsearch_ui.search_form import AssetExample, SearchForm
from mmsearch_ui.search_runner import UploadedFile, store_uploads

from mmsearch.errors import DecodeError, MissingExtra, QueryError
from mmsearch.export.formats import ExportFormat as Export
from mmsearch.query.algebra import TermKind
from mmsearch.query.filters.expressions import And, Compare
from mmsearch.types import (
    Asset,
    Hit,
    Metadata,
    Modality,
    Moment,
    Place,
    Segment,
    SegmentKind,
    SpaceScore,
    Span,
    Tag,
    segment_id,
)
from tests.patience import wait_until

NOWHERE, UNKNOWN = Place(), Metadata()
HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "a\nb\r\t\x1b[31m.jpg",
    "caf\udce9.jpg",
    "**bold** :red[x] $x^2$ [l](javascript:alert(1)) `c`.jpg",
    '"quoted" \\ back.jpg',
)


def made(
    path: str = "/m/a.jpg",
    kind: Modality = Modality.IMAGE,
    segment_kind: SegmentKind = SegmentKind.IMAGE,
    place: Place = NOWHERE,
    *,
    text: str | None = None,
    metadata: Metadata = UNKNOWN,
    asset_id: str = "ab" * 16,
    size_bytes: int = 1000,
) -> Hit:
    """A hit with one moment."""
    asset = Asset(asset_id, kind, size_bytes, metadata)
    name = segment_id(asset_id, segment_kind, place)
    segment = Segment(name, asset_id, segment_kind, place, text, (Tag("dog", 0.5),))
    return Hit(
        rank=1,
        score=0.8,
        path=path,
        asset=asset,
        segment=segment,
        spaces={"image": SpaceScore(1, 0.8, 0.3), "com.example": SpaceScore(2, 0.1, 0.1)},
        moments=(Moment(segment, 0.8),),
        why="seen: dog 50%",
    )


def film(span: Span, length_s: float | None = 60.0) -> Hit:
    return made(
        "/m/f.mp4",
        Modality.VIDEO,
        SegmentKind.FRAME,
        Place(span=span),
        metadata=Metadata(duration_s=length_s, width_px=640, height_px=360),
    )


def recording(span: Span, length_s: float | None) -> Hit:
    return made(
        "/m/r.ogg",
        Modality.AUDIO,
        SegmentKind.SPEECH,
        Place(span=span),
        text="what was said",
        metadata=Metadata(duration_s=length_s),
    )


class TestCards:
    def test_a_picture_is_asked_for_by_id_and_never_by_path(self) -> None:
        card = hit_cards.build_card(made("/secret/place/a.jpg"), "dog")
        assert card.picture == f"/mm/assets/{'ab' * 16}/thumbnail?px=320"
        assert (card.shape, card.name, card.folder) == ("picture", "a.jpg", "/secret/place")

    def test_a_film_is_shown_at_its_moment(self) -> None:
        card = hit_cards.build_card(film(Span(12.0, 15.0)), "")
        assert "t=12." in card.picture
        assert card.place == "0:12–0:15"

    def test_a_moment_without_length_is_one_time(self) -> None:
        assert hit_cards.build_card(film(Span(3661.2, 3661.4)), "").place == "1:01:01"

    def test_a_recording_is_drawn_whole_with_its_stretch_set_off(self) -> None:
        card = hit_cards.build_card(recording(Span(30.0, 45.0), 60.0), "said")
        assert card.picture == f"/mm/assets/{'ab' * 16}/thumbnail?kind=waveform"
        assert card.wave_share == (0.5, 0.75)
        assert ("said", True) in card.excerpt

    def test_of_a_long_recording_only_the_neighbourhood_is_drawn(self) -> None:
        card = hit_cards.build_card(recording(Span(5000.0, 5010.0), 36_000.0), "")
        assert "start_s=4970.000&end_s=5040.000" in card.picture
        assert card.wave_share == (0.4286, 0.5714)

    def test_a_moment_that_is_all_there_is_is_not_set_off(self) -> None:
        assert hit_cards.build_card(recording(Span(0.0, 60.0), 60.0), "").wave_share is None

    def test_a_text_is_shown_from_the_sentence_that_matches(self) -> None:
        text = "Nothing here. The <b>dog</b> barked at dawn."
        hit = made("/m/t.txt", Modality.TEXT, SegmentKind.TEXT, Place(chars=(0, 44)), text=text)
        card = hit_cards.build_card(hit, "dog")
        assert card.shape == "paper"
        assert card.picture == ""
        assert card.excerpt == (("The <b>", False), ("dog", True), ("</b> barked at dawn.", False))

    def test_two_moments_of_a_file_have_two_keys(self) -> None:
        keys = {hit_cards.hit_key(film(Span(float(at), at + 1.0))) for at in range(5)}
        assert len(keys) == 5

    @pytest.mark.parametrize("name", HOSTILE)
    def test_no_name_reaches_a_page_with_control_characters_or_lone_surrogates(
        self, name: str
    ) -> None:
        card = hit_cards.build_card(made(f"/m/{name}"), "")
        assert card.name.isprintable()
        said = json.dumps(asdict(card), ensure_ascii=False).encode()
        assert b"\x1b" not in said

    @given(st.text(), st.text(max_size=40))
    def test_marked_runs_are_the_text_again(self, text: str, words: str) -> None:
        runs = hit_cards.mark_words(text, words)
        assert "".join(run for run, _ in runs) == text
        assert all(run for run, _ in runs)

    @given(st.text())
    def test_markdown_escapes_all_punctuation(self, text: str) -> None:
        escaped = hit_cards.escape_markdown(text)
        at, plain = 0, []
        while at < len(escaped):
            if escaped[at] == "\\":
                at += 1
            else:
                assert escaped[at].isalnum() or escaped[at] == " " or ord(escaped[at]) > 126
            plain.append(escaped[at])
            at += 1
        assert "".join(plain) == hit_cards.make_displayable(text)

    @given(st.floats(0, 1e6), st.floats(0, 1e4), st.one_of(st.none(), st.floats(0, 1e6)))
    def test_a_stretch_lies_within_the_drawing(
        self, start: float, length: float, whole: float | None
    ) -> None:
        card = hit_cards.build_card(recording(Span(start, start + length), whole), "")
        if card.wave_share is not None:
            first, last = card.wave_share
            assert 0 <= first <= last <= 1


class TestForm:
    def test_a_line_is_read_with_its_signs_and_weights(self) -> None:
        asked = search_form.build_query(SearchForm(line='sunset -people + 0.5:"red sky"'))
        assert [(one.value, one.weight) for one in asked.terms] == [
            ("sunset", 1.0),
            ("people", -1.0),
            ('"red sky"', 0.5),
        ]

    @pytest.mark.parametrize("line", ["/etc/passwd", "./x", "~/x", "dog -/etc/passwd", "../../x"])
    def test_no_path_in_the_box_is_read(self, line: str) -> None:
        with pytest.raises(QueryError, match="no files are read here"):
            search_form.build_query(SearchForm(line=line))

    @given(st.text(max_size=60))
    def test_any_line_is_a_query_or_an_error_in_words(self, line: str) -> None:
        try:
            asked = search_form.build_query(SearchForm(line=line))
        except QueryError as exc:
            assert str(exc)  # noqa: PT017
        else:
            assert all(one.kind in (TermKind.TEXT, TermKind.ASSET) for one in asked.terms)

    def test_examples_are_added_or_taken_away(self) -> None:
        like = (AssetExample("0" * 32, "a"), AssetExample("1" * 32, "b", is_avoided=True))
        terms = search_form.build_query(SearchForm(like=like), [Path("/tmp/x.jpg")]).terms
        assert [(one.kind, one.weight) for one in terms] == [
            (TermKind.ASSET, 1.0),
            (TermKind.ASSET, -1.0),
            (TermKind.FILE, 1.0),
        ]

    def test_the_last_day_is_included(self) -> None:
        filters = search_form.build_request(
            SearchForm(since=date(2024, 5, 1), until=date(2024, 5, 31))
        )
        assert isinstance(filters.where, And)
        said = [
            (one.operator, str(one.value))
            for one in filters.where.parts
            if isinstance(one, Compare)
        ]
        assert [operator for operator, _ in said] == [">=", "<"]
        assert "2024-05-01" in said[0][1]
        assert "2024-06-01" in said[1][1]

    def test_what_is_offered_and_what_is_typed_are_both_ranges(self) -> None:
        offered = search_form.build_request(SearchForm(duration="under a minute", score="anything"))
        typed = search_form.build_request(SearchForm(duration="..1m", score="0"))
        assert offered == typed

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (SearchForm(duration="soon"), "duration: 'soon'"),
            (SearchForm(size="big"), "size: 'big'"),
            (SearchForm(score="high"), "score: 'high'"),
            (SearchForm(score="nan"), "score: 'nan'"),
            (SearchForm(score="2"), "score: '2'"),
            (SearchForm(folder="photos"), "folder: 'photos'"),
            (SearchForm(where="nonsense"), "where: "),
            (SearchForm(languages="!"), "lang: '!'"),
        ],
    )
    def test_an_error_names_the_filter(self, asked: SearchForm, said: str) -> None:
        with pytest.raises(QueryError, match=said):
            search_form.build_request(asked)

    def test_an_empty_form_asks_for_nothing(self) -> None:
        assert search_form.is_empty(SearchForm(line="  "))
        assert search_form.is_empty(SearchForm(score="0.5"))
        assert not search_form.is_empty(SearchForm(kinds=("image",)))
        assert not SearchForm().is_narrowed
        assert search_form.build_request(SearchForm()).where is None

    def test_a_complaint_names_the_file_as_it_was_given(self) -> None:
        path = Path("/tmp/private/example-0.jpg")
        error = QueryError(f"{path} cannot be searched by: it is broken")
        error.__cause__ = DecodeError(path, "it is broken")
        said = search_form.format_error(error, [(path, "<b>.jpg")])
        assert said == "'<b>.jpg' cannot be searched by: it is broken"
        assert "/tmp" not in search_form.format_error(QueryError(f"{path} is text"), [(path, "a")])


class TestUploads:
    @pytest.mark.parametrize(
        "name", ["../../etc/x.jpg", "a/b\0.png", "x" * 500, ".", "", "é.tar.gz"]
    )
    def test_files_are_private_named_by_us_and_gone_afterwards(self, name: str) -> None:
        with store_uploads([UploadedFile(name, b"data")]) as files:
            ((path, said),) = files
            assert said == name
            assert path.read_bytes() == b"data"
            assert path.name.startswith("example-0")
            assert path.parent.stat().st_mode & 0o077 == 0
        assert not path.parent.exists()

    def test_without_files_nothing_is_written(self) -> None:
        with store_uploads([]) as files:
            assert files == []


class TestView:
    def test_a_film_begins_at_its_moment_with_what_is_said_beside_it(self) -> None:
        hit = film(Span(12.5, 15.0))
        said = [
            Segment(
                f"{at:032x}",
                hit.asset.id,
                SegmentKind.SPEECH,
                Place(span=Span(at, at + 5)),
                f"line {at}",
            )
            for at in range(0, 60, 5)
        ]
        view = hit_view.build_view(hit, [*said, hit.segment], "line 10")
        assert (view.stage, view.start_s) == ("video", 12.5)
        assert [line.label for line in view.lines[:3]] == ["0:00", "0:05", "0:10"]
        assert view.lines[2].runs == (("line", True), (" ", False), ("10", True))
        assert view.can_locate

    def test_the_line_that_matched_is_where_reading_begins(self) -> None:
        places = [Place(chars=(at * 10, at * 10 + 10)) for at in range(3000)]
        parts = [
            Segment(
                segment_id("ab" * 16, SegmentKind.TEXT, place),
                "ab" * 16,
                SegmentKind.TEXT,
                place,
                f"part {at:05d}",
            )
            for at, place in enumerate(places)
        ]
        hit = replace(
            made("/m/t.txt", Modality.TEXT),
            segment=parts[2500],
            moments=(Moment(parts[2500], 1.0),),
        )
        view = hit_view.build_view(hit, parts, "")
        assert view.stage == "text"
        assert view.lines[view.at].runs == (("part 02500", False),)
        assert view.lines[view.at].is_match
        assert len(view.lines) <= hit_view.MAX_LINES
        assert view.left_out[0] + len(view.lines) + view.left_out[1] == 3000

    def test_what_two_passages_share_is_shown_once(self) -> None:
        whole = "abcdefghij"
        parts = [
            Segment(
                f"{at:032x}", "ab" * 16, SegmentKind.TEXT, Place(chars=chars), whole[slice(*chars)]
            )
            for at, chars in enumerate([(0, 6), (4, 10)])
        ]
        hit = replace(made("/m/t.txt", Modality.TEXT), segment=parts[0])
        view = hit_view.build_view(hit, parts, "")
        assert "".join(run for line in view.lines for run, _ in line.runs) == whole

    def test_spaces_are_told_in_words_and_unknown_ones_by_name(self) -> None:
        reasons = hit_view.build_view(made(), [], "").reasons
        assert [one.name for one in reasons] == ["looks like it", "com.example"]

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_view_is_plain_text_whatever_a_file_says(self, name: str) -> None:
        metadata = Metadata(title=name, camera=name, artist=name, description=name)
        hit = made(f"/m/{name}", metadata=metadata, text=name)
        view = hit_view.build_view(hit, [hit.segment], name)
        json.dumps(asdict(view), ensure_ascii=False).encode()
        assert all(value.isprintable() for _, value in view.details)
        assert view.path.isprintable()

    def test_a_path_that_text_cannot_hold_is_copied_as_a_shell_reads_it(self) -> None:
        assert hit_view.format_copied_path("/m/a b.jpg") == "/m/a b.jpg"
        assert hit_view.format_copied_path("/m/a\nb'\udce9") == "$'/m/a\\012b\\'\\351'"


class TestSelection:
    def test_what_other_searches_picked_stays(self) -> None:
        one, two, three = (film(Span(float(at), at + 1.0)) for at in range(3))
        known = {hit_cards.hit_key(one): one, hit_cards.hit_key(two): two}
        found = selection.merge_selection(known, [hit_cards.hit_key(three)], [two, three])
        assert list(found.values()) == [one, three]

    @given(st.lists(st.integers(0, 9), unique=True), st.lists(st.integers(0, 9), unique=True))
    def test_picking_is_what_the_grid_says_for_what_it_shows(
        self, known: list[int], picked: list[int]
    ) -> None:
        hits = [film(Span(float(at), at + 1.0)) for at in range(10)]
        keys = [hit_cards.hit_key(hit) for hit in hits]
        before = {keys[at]: hits[at] for at in known}
        found = selection.merge_selection(before, [keys[at] for at in picked], hits[:5])
        assert set(found) == {keys[at] for at in picked if at < 5} | {
            keys[at] for at in known if at >= 5
        }

    @pytest.mark.parametrize("form_", list(Export))
    @pytest.mark.parametrize("name", HOSTILE)
    def test_every_form_holds_every_name(self, form_: Export, name: str) -> None:
        hit = replace(film(Span(1.0, 2.0)), path=f"/m/{name}")
        data = selection.write_hits([hit], form_, "mini")
        data.decode()
        if form_ is Export.JSON:
            assert json.loads(data)["hits"][0]["kind"] == "video"


class TestBundle:
    def test_names_differ_and_stay_in_the_folder(self) -> None:
        paths = [
            "/a/x.jpg",
            "/b/x.jpg",
            "/c/X.JPG",
            "/d/..",
            "/e/a\\..\\b:c.jpg",
            "/f/left out.txt",
        ]
        hits = [made(path, asset_id=f"{at:032x}") for at, path in enumerate(paths)]
        names = [one.name for one in zip_download.list_members(hits)]
        assert len({name.casefold() for name in names}) == len(paths)
        assert names[:2] == ["x.jpg", "x (2).jpg"]
        assert not any(part in name for name in names for part in ("/", "\\", ":"))
        assert all(name not in ("..", ".", zip_download.LEFT_OUT) for name in names)

    def test_one_file_with_two_moments_is_sent_once(self) -> None:
        hits = [film(Span(1.0, 2.0)), film(Span(3.0, 4.0))]
        assert len(zip_download.list_members(hits)) == 1

    def test_too_much_is_refused_with_what_to_do(self) -> None:
        hits = [
            made(asset_id=f"{at:032x}", size_bytes=zip_download.MAX_BYTES // 2) for at in range(3)
        ]
        assert "select fewer" in zip_download.explain_too_large(hits)
        assert zip_download.explain_too_large(hits[:2]) == ""

    def test_the_oldest_offer_is_forgotten(self) -> None:
        bundles = zip_download.ZipBundles()
        names = [
            bundles.offer([zip_download.ZipMember(f"{at:032x}", "a")])
            for at in range(zip_download.KEPT + 1)
        ]
        assert bundles.find(names[0]) is None
        assert bundles.find(names[-1]) is not None
        assert (
            bundles.offer([zip_download.ZipMember(f"{zip_download.KEPT:032x}", "a")]) == names[-1]
        )
        assert len(set(names)) == len(names)

    def test_a_zip_holds_the_files_and_says_what_is_missing(self, small_library: Path) -> None:
        shared_state.use_library(small_library)
        library = shared_state.open_library()
        hits = library.search("cat", limit=3, min_score=0)
        wanted = [*zip_download.list_members(hits), zip_download.ZipMember("0" * 32, "gone.jpg")]
        data = b"".join(zip_download.stream_zip(library, wanted))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == 4
            for hit, member in zip(hits, wanted, strict=False):
                assert archive.read(member.name) == Path(hit.path).read_bytes()
            assert b"gone.jpg: the library has no such asset" in archive.read(zip_download.LEFT_OUT)
        shared_state.close_all()

    def test_a_zip_is_never_larger_than_allowed(self, small_library: Path) -> None:
        shared_state.use_library(small_library)
        library = shared_state.open_library()
        hits = library.search("cat", limit=3, min_score=0)
        first = hits[0].asset.size_bytes
        data = b"".join(
            zip_download.stream_zip(library, zip_download.list_members(hits), max_bytes=first)
        )
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            kept_bytes = sum(
                one.file_size for one in archive.infolist() if one.filename != zip_download.LEFT_OUT
            )
            assert kept_bytes <= first
            assert b"would be too large" in archive.read(zip_download.LEFT_OUT)
        shared_state.close_all()


def test_what_to_try_without_a_match_depends_on_what_was_asked() -> None:
    assert hit_cards.list_advice(is_narrowed=False, has_words=False, has_bar=False) == []
    hints = hit_cards.list_advice(is_narrowed=True, has_words=True, has_bar=True)
    assert [hint.split()[0] for hint in hints] == ["Take", "Use", "Show"]


class TestDesktop:
    @pytest.fixture
    def opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where a command that stands for the desktop's writes what it was called with."""
        said = tmp_path / "said"
        command = tmp_path / "xdg-open"
        command.write_text(f'#!/bin/sh\nprintf "%s" "$#:$1" > {said}.part\nmv {said}.part {said}\n')
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setenv("DISPLAY", ":9")
        monkeypatch.setattr("sys.platform", "linux")
        return said

    def test_a_folder_is_opened_with_one_argument_whatever_it_is_called(
        self, opened: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "-e $(touch x); `touch y` 'q'"
        folder.mkdir()
        desktop.reveal_file(str(folder / "a.jpg"))
        wait_until(opened.exists)
        assert opened.read_text() == f"1:{folder}"

    def test_a_folder_that_is_gone_is_told(self, opened: Path, tmp_path: Path) -> None:
        with pytest.raises(QueryError, match="is gone"):
            desktop.reveal_file(str(tmp_path / "none" / "a.jpg"))
        assert not opened.exists()

    def test_without_a_desktop_it_is_not_offered(
        self, opened: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert desktop.can_reveal()
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert not desktop.can_reveal()
        with pytest.raises(QueryError, match="no desktop"):
            desktop.reveal_file("/m/a.jpg")
        assert not opened.exists()


class TestCommand:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
    def test_an_address_that_others_reach_is_refused(
        self, cli: Callable[..., Any], small_library: Path, host: str
    ) -> None:
        done = cli("ui", "--no-browser", "--port", "0", "--host", host, "--library", small_library)
        assert done.returncode == 1
        assert b"others can reach" in done.stderr
        assert b"ssh -L" in done.stderr

    def test_a_port_that_is_taken_is_told(
        self, cli: Callable[..., Any], small_library: Path
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = cli("ui", "--no-browser", "--port", port, "--library", small_library)
        assert done.returncode == 1
        assert b"name another --port" in done.stderr
        assert b"Traceback" not in done.stderr

    def test_without_streamlit_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(MissingExtra, match=r"mmsearch\[ui\]"):
            app.create_app("127.0.0.1")
