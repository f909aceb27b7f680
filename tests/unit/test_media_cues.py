"""Subtitles and chapters become cues with a language, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.languages import guess_language, parse_language
from mmsearch.media.av.cue_index import CueIndex
from mmsearch.media.av.subtitle_tracks import (
    SubtitleTrack,
    describe_sidecar,
    is_telemetry,
    join_words,
    merge_tracks,
)
from mmsearch.media.av.subtitles import read_cues, strip_tags
from mmsearch.media.base import Cue, Limits, LoadOptions
from mmsearch.media.registry import load
from mmsearch.media.sidecars import find_sidecars
from mmsearch.media.strings import split_words
from mmsearch.types import Omission, Place, Span

Lines = Sequence[tuple[float, float, str]]
ENGLISH = (
    (1.0, 3.0, "Where have you been all this time?"),
    (3.5, 5.0, "I was at the river with the boat"),
    (6.0, 8.0, "and it is not what you think"),
)
GERMAN = (
    (1.0, 3.0, "Wo bist du die ganze Zeit gewesen?"),
    (3.5, 5.0, "Ich war mit dem Boot auf dem Fluss"),
    (6.0, 8.0, "und es ist nicht was du denkst"),
)
FORCED = ((4.0, 5.0, "Harbour of Ushuaia"),)


def make_cues(lines: Lines) -> tuple[Cue, ...]:
    return tuple(Cue(text, Place(span=Span(start_s, end_s))) for start_s, end_s, text in lines)


def make_srt(lines: Lines) -> str:
    def clock(time_s: float) -> str:
        whole = round(time_s * 1000)
        minutes = whole // 60_000
        return f"{minutes // 60:02}:{minutes % 60:02}:{whole // 1000 % 60:02},{whole % 1000:03}"

    return "\n".join(
        f"{i}\n{clock(start_s)} --> {clock(end_s)}\n{text}\n"
        for i, (start_s, end_s, text) in enumerate(lines, 1)
    )


def make_ass(*events: str, kind: str = "v4.00+") -> str:
    return (
        f"[Script Info]\nScriptType: {kind}\n\n[V4+ Styles]\nFormat: Name, Fontname\n"
        "Style: Default,Arial\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, "
        "MarginR, MarginV, Effect, Text\n" + "".join(f"{event}\n" for event in events)
    )


def write_film(
    path: Path,
    tracks: Sequence[tuple[Lines, dict[str, str], Disposition | None]] = (),
    chapters: Sequence[tuple[float, float, str]] = (),
    *,
    ass: bool = False,
) -> Path:
    codec = "mov_text" if path.suffix in {".mp4", ".m4b"} else "ass" if ass else "subrip"
    with av.open(str(path), "w") as container:
        if path.suffix == ".m4b":
            stream: Any = container.add_stream("aac", rate=16_000, layout="mono")
        else:
            stream = container.add_stream("libx264", rate=5)
            stream.width, stream.height, stream.pix_fmt = 96, 56, "yuv420p"
        subtitles = []
        for _, tags, flags in tracks:
            own = container.add_stream(codec)
            header = make_ass().encode()
            own.codec_context.subtitle_header = header
            own.codec_context.extradata = header if ass else None
            own.metadata.update(tags)
            if flags is not None:
                own.disposition = flags
            subtitles.append(own)
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": i,
                        "start": round(start_s * 1000),
                        "end": round(end_s * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for i, (start_s, end_s, title) in enumerate(chapters)
                ]
            )
        write_content(container, stream)
        for own, (lines, _, _) in zip(subtitles, tracks, strict=True):
            for start_s, end_s, text in lines:
                packet = av.Packet(encode_line(codec, text))
                packet.stream = own
                packet.pts = packet.dts = round(start_s * 1000)
                packet.duration = round((end_s - start_s) * 1000)
                packet.time_base = Fraction(1, 1000)
                container.mux(packet)
    return path


def encode_line(codec: str, text: str) -> bytes:
    raw = text.encode()
    if codec == "mov_text":
        return len(raw).to_bytes(2, "big") + raw
    return b"0,0,Default,,0,0,0,," + raw if codec == "ass" else raw


def write_content(container: Any, stream: Any) -> None:
    for at in range(50):
        frame: Any
        if stream.type == "audio":
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.float32), "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, at * 3200, Fraction(1, 16_000)
        else:
            frame = av.VideoFrame.from_ndarray(np.full((56, 96, 3), at, np.uint8), "rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 5)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def read(path: Path) -> list[Cue]:
    return [each for each in load(path, LoadOptions()) if isinstance(each, Cue)]


def texts(cues: Sequence[Cue]) -> list[str]:
    return [cue.text for cue in cues]


@pytest.mark.parametrize(
    ("name", "language", "flags"),
    [
        ("film.srt", None, ""),
        ("film.SRT", None, ""),
        ("film.en.srt", "en", ""),
        ("film.ENG.Srt", "en", ""),
        ("film.en.sdh.srt", "en", "deaf"),
        ("film.sdh.en.srt", "en", "deaf"),
        ("film.en.forced.srt", "en", "partial"),
        ("film.forced.srt", None, "partial"),
        ("film.pt-BR.srt", "pt", ""),
        ("film.zh-Hant.ass", "zh", ""),
        ("film.English.vtt", "en", ""),
        ("film.Français.srt", "fr", ""),
        ("film.gsw.srt", "gsw", ""),
        ("film.hi.srt", "hi", ""),
        ("film.en.hi.srt", "en", "deaf"),
        ("film.mp4.de.srt", "de", ""),
        ("film.commentary.fr.ssa", "fr", "partial"),
        ("film.es-419.default.srt", "es", ""),
        ("film.cc.srt", None, "deaf"),
    ],
)
def test_the_name_of_a_file_beside_says_language_and_kind(
    tmp_path: Path, name: str, language: str | None, flags: str
) -> None:
    (tmp_path / name).touch()
    path = tmp_path / "film.mp4"
    assert [each.name for each in find_sidecars(path).subtitles] == [name]
    track = describe_sidecar(path.stem, name, ())
    assert track.language == language
    assert (track.is_partial, track.is_for_deaf) == (flags == "partial", flags == "deaf")


def test_a_longer_name_has_its_own_subtitles(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.b.MKV", "a.srt", "a.b.srt", "a.b.en.srt", "a.en.srt", "a.c.srt"):
        (tmp_path / name).touch()

    def list_subtitles(name: str) -> list[str]:
        return [each.name for each in find_sidecars(tmp_path / name).subtitles]

    assert list_subtitles("a.mp4") == ["a.c.srt", "a.en.srt", "a.srt"]
    assert list_subtitles("a.b.MKV") == ["a.b.en.srt", "a.b.srt"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_all_languages_inside_a_film_are_read(tmp_path: Path, suffix: str) -> None:
    path = write_film(
        tmp_path / f"a{suffix}",
        [
            (GERMAN, {"language": "ger"}, None),
            (ENGLISH, {"language": "eng"}, Disposition.default),
        ],
    )
    cues = read(path)
    assert [cue.language for cue in cues] == ["en", "de"] * 3
    assert {cue.role for cue in cues} == {"full"}
    assert len({cue.place.key() for cue in cues}) == len(cues)


def test_a_forced_or_broken_file_does_not_hide_a_full_track(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", [(ENGLISH, {"language": "eng"}, None)])
    (tmp_path / "a.en.forced.srt").write_text(make_srt(FORCED))
    (tmp_path / "a.en.srt").write_bytes(b"\x00\xff nothing \x00" * 20)
    contents = list(load(path, LoadOptions()))
    cues = [each for each in contents if isinstance(each, Cue)]
    assert sorted(texts(cues)) == sorted(text for _, _, text in (*ENGLISH, *FORCED))
    assert [cue.role for cue in cues if cue.text == FORCED[0][2]] == ["partial"]
    (omission,) = [each for each in contents if isinstance(each, Omission)]
    assert "a.en.srt" in omission.detail


@pytest.mark.parametrize(
    ("tags", "flags"),
    [
        ({"language": "eng"}, Disposition.forced),
        ({"language": "eng", "title": "English (Forced)"}, None),
        ({"language": "eng", "title": "Signs & Songs"}, None),
        ({"language": "eng", "title": "Director's Commentary"}, None),
        ({"language": "eng"}, Disposition.comment),
    ],
)
def test_a_track_of_some_lines_is_no_transcript(
    tmp_path: Path, tags: dict[str, str], flags: Disposition | None
) -> None:
    path = write_film(tmp_path / "a.mkv", [(ENGLISH, tags, flags)])
    assert [cue.role for cue in read(path)] == ["partial"] * 3


def test_of_one_language_nothing_is_taken_twice() -> None:
    deaf = (*ENGLISH[:2], (6.0, 8.0, "[door slams] and it is not what you think"))
    forced = (*FORCED, ENGLISH[0])
    cues = merge_tracks(
        [
            SubtitleTrack(make_cues(deaf), "en", is_for_deaf=True),
            SubtitleTrack(make_cues(forced), "en", is_partial=True),
            SubtitleTrack(make_cues(ENGLISH), "en", is_beside=True),
        ],
        None,
    )
    assert texts(cues) == [ENGLISH[0][2], ENGLISH[1][2], FORCED[0][2], ENGLISH[2][2]]


def test_a_line_of_advertising_is_not_the_transcript_of_its_language() -> None:
    advert = ((0.0, 1.0, "All your favourite films at the best price"),)
    cues = merge_tracks(
        [
            SubtitleTrack(make_cues(advert), "en", is_beside=True),
            SubtitleTrack(make_cues(ENGLISH), "en"),
        ],
        "en",
    )
    assert [cue.role for cue in cues] == ["partial", "full", "full", "full"]


def test_a_language_is_heard_from_the_words_where_the_header_says_nothing() -> None:
    (cue, *_) = merge_tracks([SubtitleTrack(make_cues(GERMAN))], None)
    assert cue.language == "de"
    # Programs write eng unasked.
    (cue, *_) = merge_tracks([SubtitleTrack(make_cues(GERMAN), "en")], None)
    assert cue.language == "de"
    (cue, *_) = merge_tracks([SubtitleTrack(make_cues(GERMAN), "nl")], None)
    assert cue.language == "nl"


TELEMETRY = {
    "dji": "FrameCnt: {n}, DiffTime: 33ms 2023-05-06 10:11:12.{n:03} [iso: 100] [shutter: "
    "1/200.0] [fnum: 2.8] [latitude: 46.2000{n}] [longitude: 6.1] [rel_alt: 1.3]",
    "old dji": "HOME(149.02,-20.25) 2017.08.05 14:11:{n:02} GPS(149.0251,-20.2532,16) "
    "BAROMETER:1.{n} ISO:100 Shutter:60 EV: Fnum:F2.8",
    "dashcam": "{n} km/h N 47.37{n} E 8.54",
    "camcorder": "2011/05/06 12:33:{n:02}",
    "words": "Speed is {n} kilometres per hour on the motorway towards the city",
    "metres": "ALT {n}.0m D {n}m H.S {n}m/s V.S 0.0m/s",
}


@pytest.mark.parametrize("kind", TELEMETRY)
@pytest.mark.parametrize("step_s", [0.033, 1.0])
def test_readings_are_no_lines(tmp_path: Path, kind: str, step_s: float) -> None:
    lines = [
        (n * step_s, (n + 1) * step_s, TELEMETRY[kind].format(n=n % 60)) for n in range(1, 300)
    ]
    (tmp_path / "a.srt").write_text(make_srt(lines))
    assert is_telemetry(read_cues(tmp_path / "a.srt", Limits()))
    assert not merge_tracks([SubtitleTrack(make_cues(lines))], None)


def test_lines_with_numbers_are_no_readings() -> None:
    lines = [
        "In 1969 two people walked on the moon",
        "The 3 of us went home at 11",
        "It costs 500 euros",
        "Yes",
        "Call 555 2368",
        "Who was there?",
        "All 12 of them",
    ]
    assert not is_telemetry(make_cues([(i, i + 1, text) for i, text in enumerate(lines)]))
    assert not is_telemetry(make_cues(ENGLISH))


def test_drawings_signs_and_karaoke(tmp_path: Path) -> None:
    frames = [
        f"Dialogue: 0,0:00:05.{n:02},0:00:05.{n + 4:02},Default,,0,0,0,,{{\\pos({n},20)}}Bakery"
        for n in range(0, 80, 4)
    ]
    letters = [
        f"Dialogue: 0,0:00:08.{n:02},0:00:09.00,Default,,0,0,0,fx,{{\\move({n},2,3,4)}}{letter}"
        for n, letter in enumerate("sunrise")
    ]
    path = tmp_path / "a.ass"
    path.write_text(
        make_ass(
            "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}",
            "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\an7\\p4\\c&H00&}m 1 1 b 2 3 4 5",
            "Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\i1}A {\\p1}m 3 3{\\p0}line{\\i0}",
            *frames,
            *letters,
            "Comment: 0,0:00:08.00,0:00:09.00,Default,,0,0,0,karaoke,{\\k20}sun{\\k20}rise",
            "Comment: 0,0:00:09.00,0:00:10.00,Default,,0,0,0,,a note of the translator",
        )
    )
    cues = read_cues(path, Limits())
    assert texts(cues) == ["A line", "Bakery", "sunrise"]
    assert cues[1].place.span == Span(5.0, 5.8)


def test_a_drawing_in_a_track_of_a_film_is_no_line(tmp_path: Path) -> None:
    lines = (
        (1.0, 2.0, r"{\p1}m 0 0 l 100 0 100 100 0 100{\p0}"),
        (3.0, 4.0, r"{\pos(1,2)}The tin soldier, waiting"),
    )
    path = write_film(tmp_path / "a.mkv", [(lines, {}, None)], ass=True)
    assert texts(read(path)) == ["The tin soldier, waiting"]


@pytest.mark.parametrize("text", ["m 0 0 l 100 0 100 100", "m -1.5 2 b 1 2 3 4 5 6 l 3 3"])
def test_a_drawing_that_lost_its_codes_is_no_line(text: str) -> None:
    assert strip_tags(text) == ""
    assert strip_tags(f"I said {text}") == f"I said {text}"


@given(st.text(alphabet="{}\\pm01 al,()", max_size=60))
def test_stripping_ends_and_leaves_one_line(text: str) -> None:
    assert "\n" not in strip_tags(text)


def test_captions_word_by_word_become_lines() -> None:
    words = split_words("Where have you been all this time. I was at the river with a boat today")
    cues = make_cues([(0.3 * i, 0.3 * i + 0.25, word) for i, word in enumerate(words)])
    assert texts(join_words(cues)) == [
        "Where have you been all this time.",
        "I was at the river with a boat today",
    ]
    assert join_words(make_cues(ENGLISH)) == make_cues(ENGLISH)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".m4b"])
def test_chapters_are_cues_with_their_time(tmp_path: Path, suffix: str) -> None:
    titles = ["Intro to beekeeping", "Chapter 2", "Kapitel 03", "00:00:08", "Wintering the hives"]
    chapters = [(2.0 * i, 2.0 * i + 2, title) for i, title in enumerate(titles)]
    cues = read(write_film(tmp_path / f"a{suffix}", chapters=chapters))
    assert texts(cues) == [titles[0], titles[-1]]
    assert {cue.role for cue in cues} == {"chapter"}
    assert cues[0].place.span == Span(0.0, 2.0)
    assert cues[1].place.span is not None
    assert cues[1].place.span.start_s == pytest.approx(8.0, abs=0.01)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("eng", "en"),
        ("de-AT", "de"),
        ("pt_BR", "pt"),
        ("GER", "de"),
        ("fre", "fr"),
        ("Deutsch", "de"),
        ("yue", "yue"),
        ("und", None),
        ("", None),
        (None, None),
        ("x264", None),
    ],
)
def test_tags_of_languages(tag: str | None, code: str | None) -> None:
    assert parse_language(tag) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What are you doing here, this is not the place for it", "en"),
        ("Ich weiß nicht, was das ist, aber es war nicht hier", "de"),
        ("Je ne sais pas ce que vous avez dit mais c'est pour elle", "fr"),
        ("No sé qué es lo que está en la casa, pero no es para ti", "es"),
        ("Non so che cosa è, ma non sono di questo posto", "it"),
        ("Eu não sei o que você está fazendo com isso", "pt"),
        ("Ik weet niet wat het is, maar dat is niet van jou", "nl"),
        ("Nie wiem co to jest, ale już nie ma go tu dla mnie", "pl"),
        ("Я не знаю что это такое, но все это так", "ru"),
        ("Я не знаю що це таке, але він від мене", "uk"),
        ("これは何ですか", "ja"),
        ("这是什么地方", "zh"),
        ("이것은 무엇입니까", "ko"),
        ("Τι είναι αυτό που λες", "el"),
        ("มันคืออะไร", "th"),
        ("OK", None),
        ("Zwetschgen Marillen Birnen Mispeln", None),
    ],
)
def test_the_language_of_a_text(text: str, code: str | None) -> None:
    assert guess_language([text]) == code


spans = st.builds(
    lambda start, length: Span(start, start + length), st.floats(0, 50), st.floats(0, 9)
)


@given(st.lists(spans, max_size=30), spans)
def test_cues_near_a_span_are_those_that_touch_it(cue_spans: list[Span], span: Span) -> None:
    index = CueIndex(Cue("a", Place(span=each)) for each in cue_spans)
    expected = [
        each for each in cue_spans if each.start_s < span.end_s and each.end_s > span.start_s
    ]
    assert sorted(found.start_s for found, _ in index.find_near(span)) == sorted(
        each.start_s for each in expected
    )
