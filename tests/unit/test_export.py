"""Hits as CSV, M3U, EDL and FCPXML, the command that plays one, and files brought together."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmsearch.errors import ConfigError, QueryError
from mmsearch.export.clips import list_clips, to_file_uri
from mmsearch.export.edl import assign_reel_names, write_edl
from mmsearch.export.fcpxml import write_fcpxml
from mmsearch.export.formats import ClipLayout, ExportFormat, detect_format, export_hits, get_format
from mmsearch.export.play_command import build_play_arguments, format_play_command
from mmsearch.export.playlist import write_m3u
from mmsearch.export.table import COLUMNS, guard_formula, write_csv
from mmsearch.export.timecode import (
    format_rational,
    format_timecode,
    nominal_rate,
    parse_rate,
    to_frame,
)
from mmsearch.types import (
    Asset,
    Hit,
    Metadata,
    Modality,
    Moment,
    Place,
    Segment,
    SegmentKind,
    Span,
    Tag,
    segment_id,
)
from tests.hostile_names import HOSTILE

NTSC = Fraction(30000, 1001)
RATES = [Fraction(24), Fraction(25), NTSC, Fraction(24000, 1001), Fraction(50), Fraction(100)]


def moment(
    asset_id: str,
    start_s: float | None,
    end_s: float = 0.0,
    *,
    text: str | None = None,
    tags: tuple[Tag, ...] = (),
    kind: SegmentKind = SegmentKind.FRAME,
    span: Span | None = None,
) -> Moment:
    where = Place() if start_s is None else Place(span=Span(start_s, end_s))
    segment = Segment(segment_id(asset_id, kind, where), asset_id, kind, where, text, tags)
    return Moment(segment, 0.5, span=span)


def hit(
    path: str,
    *moments: Moment,
    kind: Modality = Modality.VIDEO,
    metadata: Metadata | None = None,
    why: str = "",
) -> Hit:
    listed = moments or (moment("a", None),)
    return Hit(
        rank=1,
        score=0.75,
        path=path,
        asset=Asset("a" * 32, kind, 10, metadata or Metadata()),
        segment=listed[0].segment,
        moments=listed,
        why=why,
    )


def hostile_hits() -> list[Hit]:
    return [
        hit(f"/media/{name}", moment("a", 1.0, 2.0, text=f"said in {name}"), why=name)
        for name in HOSTILE
    ]


# Timecodes


def seconds_of(code: str, rate: Fraction) -> int:
    """The frame of a timecode, by its definition."""
    hours, minutes, seconds, frames = map(int, code.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * nominal_rate(rate) + frames


@given(st.sampled_from(RATES), st.integers(0, 24 * 3600 * 24 - 1))
def test_a_timecode_says_which_frame_it_is(rate: Fraction, frame: int) -> None:
    code = format_timecode(frame, rate)
    assert re.fullmatch(r"\d\d:[0-5]\d:[0-5]\d:\d\d", code)
    assert seconds_of(code, rate) == frame
    assert int(code[-2:]) < nominal_rate(rate)


@given(
    st.sampled_from(RATES),
    st.floats(0, 80_000, allow_nan=False),
    st.floats(0, 80_000, allow_nan=False),
)
def test_what_is_later_has_no_earlier_timecode(rate: Fraction, one: float, two: float) -> None:
    early, late = sorted((to_frame(one, rate), to_frame(two, rate)))
    assert format_timecode(early, rate) <= format_timecode(late, rate)
    assert (one <= two) == (to_frame(one, rate) <= to_frame(two, rate)) or early == late


@given(st.sampled_from(RATES), st.floats(0, 80_000, allow_nan=False))
def test_a_frame_lies_within_half_of_one_of_its_time(rate: Fraction, seconds: float) -> None:
    assert abs(to_frame(seconds, rate) / rate - Fraction(seconds)) <= 1 / (2 * rate)


@given(st.sampled_from(RATES), st.integers(0, 10_000_000))
def test_a_rational_time_is_exact(rate: Fraction, frame: int) -> None:
    written = format_rational(frame, rate)
    assert written.endswith("s")
    assert Fraction(written[:-1]) == frame / rate


def test_rational_times_are_written_as_fcpxml_has_them() -> None:
    assert format_rational(1, NTSC) == "1001/30000s"
    assert format_rational(50, Fraction(25)) == "2s"
    assert format_rational(0, NTSC) == "0s"


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("25", Fraction(25)),
        (" 24 ", Fraction(24)),
        ("29.97", NTSC),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("30000/1001", NTSC),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_read_exactly(written: str, rate: Fraction) -> None:
    assert parse_rate(written) == rate


@pytest.mark.parametrize(
    "written", ["", "0", "-25", "1/0", "nan", "inf", "1e3", "25fps", "101", "0.5", "9" * 400, "٢٥"]
)
def test_what_is_no_rate_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="no frame rate"):
        parse_rate(written)


def test_a_day_has_no_25th_hour() -> None:
    assert format_timecode(24 * 3600 * 25 - 1, Fraction(25)) == "23:59:59:24"
    with pytest.raises(ValueError, match="24 hours"):
        format_timecode(24 * 3600 * 25, Fraction(25))


# Clips


def test_the_stretch_that_matches_goes_before_that_of_the_segment() -> None:
    one = hit("/m/a.mp4", moment("a", 10.0, 12.0, span=Span(8.0, 20.0)))
    assert [clip.span for clip in list_clips([one])] == [Span(8.0, 20.0)]


def test_what_lies_within_a_better_moment_is_left_out() -> None:
    one = hit("/m/a.mp4", *(moment("a", a, b) for a, b in [(10, 20), (12, 14), (10, 20), (5, 30)]))
    assert [clip.span for clip in list_clips([one])] == [Span(10, 20), Span(5, 30)]


def test_a_picture_is_one_clip_and_a_text_is_none() -> None:
    pages = (moment("a", None), moment("b", None))
    found = list_clips(
        [hit("/m/a.tiff", *pages, kind=Modality.IMAGE), hit("/m/a.txt", kind=Modality.TEXT)]
    )
    assert [(clip.path, clip.span) for clip in found] == [("/m/a.tiff", None)]


def test_a_film_without_moments_is_played_whole() -> None:
    known = hit("/m/a.mp4", metadata=Metadata(duration_s=9.5))
    unknown = hit("/m/b.mp4", moment("a", None, span=Span(float("nan"), 1.0)))
    assert [clip.span for clip in list_clips([known, unknown])] == [Span(0.0, 9.5), None]


@given(st.binary(min_size=1, max_size=200).filter(lambda name: not {0, 47} & set(name)))
@example(b"\xff\n\r%41 #?")
def test_every_name_of_a_file_comes_back_from_its_address(name: bytes) -> None:
    uri = to_file_uri("/media/" + os.fsdecode(name))
    assert uri.isascii()
    assert "\n" not in uri
    back = unquote_to_bytes(uri.removeprefix("file://"))
    assert back == os.path.abspath(b"/media/" + name)  # noqa: PTH100 - `.` and `..` are no names


# CSV


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@given(st.text().filter(lambda text: "\0" not in text))
@example("=1+1")
@example("'=1+1")
@example("@SUM(1)")
@example('a,"b"\r\nc')
def test_a_text_comes_back_from_csv_without_its_guard(text: str) -> None:
    one = hit("/m/a.mp4", moment("a", 1.0, 2.0, text=text))
    (row,) = read_csv(write_csv([one]))
    assert (row["text"][1:] if row["text"].startswith("'") else row["text"]) == text
    assert row["text"][:1] not in tuple("=+-@\t\r\n")


def test_csv_has_a_row_for_each_moment_and_ends_lines_as_the_standard_does() -> None:
    one = hit(
        "/m/a.mp4",
        moment("a", 1.0, 2.0, text="hello", tags=(Tag("dog", 0.9), Tag("sea", 0.5))),
        moment("a", 3.0, 4.0),
    )
    text = write_csv([one])
    assert text.split("\r\n")[0] == ",".join(COLUMNS)
    assert text.endswith("\r\n")
    first, second = read_csv(text)
    assert first["tags"] == "dog; sea"
    assert (first["start_s"], first["end_s"], first["page"]) == ("1.000", "2.000", "")
    assert (second["moment"], second["start_s"]) == ("2", "3.000")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "'"])
def test_no_text_of_a_file_is_a_formula(start: str) -> None:
    assert guard_formula(start + "1+1") == "'" + start + "1+1"


def test_csv_of_hostile_names_reads_back() -> None:
    rows = read_csv(export_hits(hostile_hits(), ExportFormat.CSV, ClipLayout()))
    assert len(rows) == len(HOSTILE)
    assert rows[0]["path"] == "/media/two\nlines.mp4"


# M3U


def test_a_playlist_plays_moments() -> None:
    song = Metadata(artist="Ann\nOther", title="Air", duration_s=60.0)
    text = write_m3u(
        list_clips(
            [
                hit("/m/a.mp4", moment("a", 12.1, 15.0)),
                hit("/m/b.mp3", kind=Modality.AUDIO, metadata=song),
                hit("/m/c.jpg", kind=Modality.IMAGE),
            ]
        ),
        title="sea\nside",
    )
    assert text.splitlines() == [
        "#EXTM3U",
        "#PLAYLIST:sea side",
        "#EXTINF:3,a.mp4",
        "#EXTVLCOPT:start-time=12.100",
        "#EXTVLCOPT:stop-time=15.000",
        "file:///m/a.mp4",
        "#EXTINF:60,Ann Other - Air",
        "#EXTVLCOPT:start-time=0.000",
        "#EXTVLCOPT:stop-time=60.000",
        "file:///m/b.mp3",
        "#EXTINF:5,c.jpg",
        "#EXTVLCOPT:image-duration=5",
        "file:///m/c.jpg",
    ]


def test_no_name_adds_a_line_to_a_playlist() -> None:
    lines = write_m3u(list_clips(hostile_hits())).split("\n")
    assert len(lines) == 1 + 4 * len(HOSTILE) + 1
    assert all(line.startswith(("#EXT", "file:///media/")) or not line for line in lines)
    named = [unquote_to_bytes(line) for line in lines if line.startswith("file:")]
    assert named == [b"file:///media/" + os.fsencode(name) for name in HOSTILE]


# EDL

EVENT = re.compile(
    r"(\d{3})  ([A-Z0-9]{1,8}) +(V|A|B) +C +(\d\d:\d\d:\d\d:\d\d) (\d\d:\d\d:\d\d:\d\d)"
    r" (\d\d:\d\d:\d\d:\d\d) (\d\d:\d\d:\d\d:\d\d)"
)


def events(text: str, rate: Fraction) -> list[tuple[str, str, list[int]]]:
    """Reel, track and the four frames of each event."""
    found = [EVENT.fullmatch(line) for line in text.splitlines()]
    return [
        (one[2], one[3], [seconds_of(code, rate) for code in one.groups()[3:]])
        for one in found
        if one
    ]


def test_an_edl_is_as_written() -> None:
    text = write_edl(
        list_clips(
            [
                hit(
                    "/m/MVI_0007.mp4",
                    moment("a", 2.0, 5.04, text="a dog", kind=SegmentKind.SPEECH),
                ),
                hit("/m/memo.flac", moment("b", 1.0, 1.0), kind=Modality.AUDIO),
                hit("/m/beach.jpg", kind=Modality.IMAGE),
            ]
        ),
        title="dog",
    )
    assert text.splitlines() == [
        "TITLE: dog",
        "FCM: NON-DROP FRAME",
        "",
        "001  MVI0007  B     C        00:00:02:00 00:00:05:01 01:00:00:00 01:00:03:01",
        "* FROM CLIP NAME: MVI_0007.mp4",
        "* COMMENT: a dog",
        "002  MEMO     A     C        00:00:01:00 00:00:01:01 01:00:03:01 01:00:03:02",
        "* FROM CLIP NAME: memo.flac",
        "003  BEACH    V     C        00:00:00:00 00:00:05:00 01:00:03:02 01:00:08:02",
        "* FROM CLIP NAME: beach.jpg",
    ]


spans = st.tuples(st.floats(0, 5000), st.floats(0, 60)).map(lambda one: (one[0], one[0] + one[1]))


@given(st.lists(spans, max_size=20), st.sampled_from(RATES))
def test_events_follow_each_other_and_are_as_long_as_what_they_show(
    stretches: list[tuple[float, float]], rate: Fraction
) -> None:
    hits = [hit(f"/m/{i}.mp4", moment("a", *one)) for i, one in enumerate(stretches)]
    found = events(write_edl(list_clips(hits), rate=rate), rate)
    assert len(found) == len(stretches)
    at = 3600 * nominal_rate(rate)
    for _, _, (source_in, source_out, record_in, record_out) in found:
        assert source_in < source_out
        assert record_in == at
        assert record_out - record_in == source_out - source_in
        at = record_out


def test_no_name_adds_an_event() -> None:
    text = write_edl(list_clips(hostile_hits()), title="x\n001  AX       V     C")
    lines = text.splitlines()
    assert len(events(text, Fraction(25))) == len(HOSTILE)
    assert all(
        line.startswith(("TITLE: ", "FCM: ", "* FROM CLIP NAME: ", "* COMMENT: "))
        or EVENT.fullmatch(line)
        or not line
        for line in lines
    )


@given(st.lists(st.text(min_size=1, max_size=30), max_size=60))
@example(["AX.mp4", "ax.mov", "日本.mp4", "中国.mp4", *(f"same name {i}.mp4" for i in range(30))])
def test_every_file_has_a_reel_of_its_own(names: list[str]) -> None:
    paths = [f"/m/{name}" for name in names]
    reels = assign_reel_names(paths)
    assert set(reels) == set(paths)
    assert len(set(reels.values())) == len(reels)
    assert all(re.fullmatch(r"[A-Z0-9]{1,8}", reel) for reel in reels.values())
    assert not {"AX", "BL"} & set(reels.values())


def test_one_file_has_one_reel() -> None:
    one = hit("/m/a.mp4", moment("a", 1, 2), moment("a", 5, 6))
    reels = {reel for reel, _, _ in events(write_edl(list_clips([one])), Fraction(25))}
    assert reels == {"A"}


def test_an_edl_that_would_be_too_long_is_refused() -> None:
    many = [hit(f"/m/{i}.mp4", moment("a", 1, 2)) for i in range(1000)]
    assert len(events(write_edl(list_clips(many[:999])), Fraction(25))) == 999
    with pytest.raises(QueryError, match=r"999 events.*--limit"):
        write_edl(list_clips(many))
    late = [hit("/m/a.mp4", moment("a", 24 * 3600 - 1, 24 * 3600 + 1))]
    with pytest.raises(QueryError, match="24 hours"):
        write_edl(list_clips(late))
    day = [hit(f"/m/{i}.mp4", moment("a", 0, 12 * 3600)) for i in range(2)]
    with pytest.raises(QueryError, match="24 hours"):
        write_edl(list_clips(day))


# FCPXML

# Which elements and attributes Apple's definition of version 1.10 lets stand where, of those that
# are written here; children in their order.
CHILDREN = {
    "fcpxml": r"(resources )?(event )*",
    "resources": r"((asset|format) )*",
    "format": "",
    "asset": r"(media-rep )+",
    "media-rep": "",
    "event": r"(project )*",
    "project": "sequence ",
    "sequence": "spine ",
    "spine": r"((asset-clip|video) )*",
    "asset-clip": r"(marker )*",
    "video": r"(marker )*",
    "marker": "",
}
REQUIRED = {
    "fcpxml": {"version"},
    "format": {"id"},
    "asset": {"id"},
    "media-rep": {"src"},
    "sequence": {"format"},
    "asset-clip": {"ref"},
    "video": {"ref", "duration"},
    "marker": {"start", "value"},
}
CLIP = {"ref", "offset", "name", "start", "duration"}
KNOWN = {
    "fcpxml": {"version"},
    "format": {"id", "name", "frameDuration", "width", "height"},
    "asset": {
        *("id", "name", "start", "duration", "hasVideo", "format", "hasAudio"),
        *("videoSources", "audioSources"),
    },
    "media-rep": {"kind", "src"},
    "event": {"name"},
    "project": {"name"},
    "sequence": {"format", "duration", "tcStart", "tcFormat"},
    "asset-clip": {*CLIP, "tcFormat"},
    "video": CLIP,
    "marker": {"start", "duration", "value"},
}


def time_of(written: str) -> Fraction:
    assert re.fullmatch(r"\d+(/\d+)?s", written), written
    return Fraction(written[:-1])


def checked(text: str) -> ET.Element:
    """The document, after everything in it was held against the definition."""
    head, kind, body = text.split("\n", 2)
    assert head == '<?xml version="1.0" encoding="UTF-8"?>'
    assert kind == "<!DOCTYPE fcpxml>"
    root = ET.fromstring(body)
    for one in root.iter():
        assert re.fullmatch(CHILDREN[one.tag], "".join(f"{child.tag} " for child in one)), one.tag
        assert REQUIRED.get(one.tag, set()) <= set(one.attrib) <= KNOWN.get(one.tag, set())
        assert not (one.text or "").strip()
    ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
    assert len(set(ids)) == len(ids)
    for one in root.iter():
        assert {one.attrib[name] for name in ("ref", "format") if name in one.attrib} <= set(ids)
    return root


def test_fcpxml_refers_to_each_file_once_and_packs_its_clips() -> None:
    film = Metadata(duration_s=60.0, width_px=1280, height_px=720)
    root = checked(
        write_fcpxml(
            list_clips(
                [
                    hit(
                        "/m/a b.mp4",
                        moment("a", 10.0, 12.0, text="Ready & set?", kind=SegmentKind.SPEECH),
                        moment("a", 20.0, 21.0),
                        metadata=film,
                    ),
                    hit("/m/b.wav", moment("b", 0.0, 4.0), kind=Modality.AUDIO),
                    hit("/m/c.jpg", kind=Modality.IMAGE, why="looks like a beach"),
                ]
            ),
            title="beach",
            rate=NTSC,
        )
    )
    assert [one.attrib["name"] for one in root.iter("asset")] == ["a b.mp4", "b.wav", "c.jpg"]
    assert [one.attrib["src"] for one in root.iter("media-rep")] == [
        "file:///m/a%20b.mp4",
        "file:///m/b.wav",
        "file:///m/c.jpg",
    ]
    spine = root.find("event/project/sequence/spine")
    assert spine is not None
    assert [one.tag for one in spine] == ["asset-clip", "asset-clip", "asset-clip", "video"]
    assert [one.attrib["value"] for one in root.iter("marker")] == [
        "Ready & set?",
        "looks like a beach",
    ]
    (video, sound, still) = root.iter("asset")
    assert (video.get("hasVideo"), video.get("hasAudio")) == ("1", "1")
    assert (sound.get("hasVideo"), sound.get("hasAudio")) == (None, "1")
    assert (still.get("duration"), still.get("hasAudio")) == ("0s", None)
    assert root.find("event/project/sequence").get("duration") is not None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), spans), max_size=15),
    st.sampled_from(RATES),
    st.floats(0.01, 100),
)
def test_times_of_fcpxml_are_whole_frames_within_their_media(
    stretches: list[tuple[str, tuple[float, float]]], rate: Fraction, length_s: float
) -> None:
    known = Metadata(duration_s=length_s)
    hits = [hit(f"/m/{name}.mp4", moment("a", *one), metadata=known) for name, one in stretches]
    root = checked(write_fcpxml(list_clips(hits), rate=rate))
    lengths = {one.attrib["id"]: time_of(one.attrib["duration"]) for one in root.iter("asset")}
    at = Fraction(0)
    for clip in root.iter("asset-clip"):
        offset, start, duration = (time_of(clip.attrib[n]) for n in ("offset", "start", "duration"))
        assert all((time * rate).denominator == 1 for time in (offset, start, duration))
        assert duration > 0
        assert offset == at
        assert start + duration <= lengths[clip.attrib["ref"]]
        at += duration
    sequence = root.find("event/project/sequence")
    assert sequence is not None
    assert time_of(sequence.attrib["duration"]) == at


@given(st.text())
@example("\x00\x08\x0b\x1f\ufffe\uffff")
@example("]]><!--")
def test_no_text_makes_fcpxml_unreadable(text: str) -> None:
    said = moment("a", 1.0, 2.0, text=text, kind=SegmentKind.SPEECH)
    checked(
        write_fcpxml(list_clips([hit(f"/m/{text.replace('/', '')}x", said, why=text)]), title=text)
    )


def test_hostile_names_come_back_from_fcpxml() -> None:
    root = checked(export_hits(hostile_hits(), ExportFormat.FCPXML, ClipLayout()))
    sources = [unquote_to_bytes(one.attrib["src"]) for one in root.iter("media-rep")]
    assert sources == [b"file:///media/" + os.fsencode(name) for name in HOSTILE]


# Forms


@pytest.mark.parametrize(
    "form", [ExportFormat.CSV, ExportFormat.M3U, ExportFormat.EDL, ExportFormat.FCPXML]
)
def test_every_form_can_be_written_as_utf8_and_of_nothing(form: ExportFormat) -> None:
    assert export_hits(hostile_hits(), form, ClipLayout(title="\udcff\n\x00")).encode()
    assert export_hits([], form, ClipLayout())


def test_a_form_is_told_by_the_ending() -> None:
    assert detect_format(Path("a.b/x.M3U8")) is ExportFormat.M3U
    assert get_format("fcpxml") is ExportFormat.FCPXML
    with pytest.raises(ConfigError, match=r"has no ending.*--export-as"):
        detect_format(Path("hits"))
    with pytest.raises(ConfigError, match=r"no form 'xls'.*csv"):
        detect_format(Path("hits.xls"))


# Playing


def test_the_command_plays_the_moment() -> None:
    assert format_play_command("/m/a b.mp4", Span(12.1, 15.0)) == (
        "mpv --start=12.1 --end=15 -- '/m/a b.mp4'"
    )
    assert format_play_command("/m/a.mp4") == "mpv -- /m/a.mp4"
    assert build_play_arguments("-x.mp4", Span(0.0, 0.0)) == ["mpv", "--start=0", "--", "-x.mp4"]


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1))
def test_a_shell_reads_the_same_words(name: str) -> None:
    span = Span(1.5, 2.25)
    if name.isprintable():
        assert shlex.split(format_play_command(name, span)) == build_play_arguments(name, span)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to ask")
@pytest.mark.parametrize("name", HOSTILE)
def test_bash_reads_the_same_words(name: str) -> None:
    shown = format_play_command(name, Span(0.5, 1.0))
    assert shown.isprintable()
    ran = subprocess.run(
        ["bash", "-c", f"mpv() {{ printf '%s\\0' \"$@\"; }}; {shown}"],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
    )
    assert ran.stdout.split(b"\0")[:-1] == [
        os.fsencode(word) for word in build_play_arguments(name, Span(0.5, 1.0))[1:]
    ]
