"""Annotations as they are handed out, small and made up; and what is wrong with them."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsearch.errors import ConfigError
from mmsearch.evaluation import KnownQuery, LibraryFile, readers
from mmsearch.evaluation.file_lookup import FileFinder
from mmsearch.evaluation.layouts import LAYOUTS, detect_layout, read_layout, read_queries
from mmsearch.evaluation.sounds import list_clip_stems
from mmsearch.types import Modality, Span

Files = dict[str, LibraryFile]


def held(*paths: Path | str, kind: Modality = Modality.IMAGE) -> Files:
    return {str(path): LibraryFile(f"asset {path}", kind) for path in paths}


def written(path: Path, content: str | bytes | dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pairs(known: list[KnownQuery]) -> list[tuple[str, list[str]]]:
    return [(query.query, sorted(query.relevant)) for query in known]


# JSON lines


def test_a_query_file_is_read_with_paths_beside_it(tmp_path: Path) -> None:
    rows = [
        {"query": "drums", "relevant": ["a.ogg"], "kinds": ["audio"], "span": [1, 2.5]},
        {"query": "dogs", "relevant": ["b.jpg", "c.mp4"], "spans": {"c.mp4": [3, 4]}},
        {"query": "unicorns", "relevant": [], "remark": "there are none"},
    ]
    path = written(tmp_path / "queries.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")

    first, second, third = read_queries(path)

    assert first == KnownQuery(
        "drums", frozenset({str(tmp_path / "a.ogg")}), ("audio",),
        ((str(tmp_path / "a.ogg"), Span(1, 2.5)),),
    )  # fmt: skip
    assert second.spans == ((str(tmp_path / "c.mp4"), Span(3, 4)),)
    assert third == KnownQuery("unicorns", frozenset())


def test_the_media_may_lie_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path / "queries.jsonl", '{"query": "x", "relevant": ["a/../b.jpg"]}')

    layout, known = read_layout(path, {}, media=tmp_path / "media")

    assert (layout, pairs(known)) == ("jsonl", [("x", [str(tmp_path / "media/b.jpg")])])


def test_a_library_made_through_the_real_folder_is_met_through_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real"
    path = written(real / "queries.jsonl", '{"query": "x", "relevant": ["b.jpg"]}')
    written(real / "b.jpg", b"")
    (tmp_path / "link").symlink_to(real)

    _, known = read_layout(tmp_path / "link" / path.name, held(real / "b.jpg"))

    assert known[0].relevant == {str(real / "b.jpg")}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("not json", "no JSON"),
        ("[]", "an object"),
        ("{}", "an object"),
        ('"x"', "an object"),
        ('{"query": "x"}', "an object"),
        ('{"query": "x", "relevant": 3}', "list of texts"),
        ('{"query": "x", "relevant": [3]}', "list of texts"),
        ('{"query": "x", "relevant": "a.jpg"}', "list of texts"),
        ('{"query": 3, "relevant": ["a"]}', "no text"),
        ('{"query": " ", "relevant": ["a"]}', "empty"),
        ('{"query": "x\\u0000", "relevant": ["a"]}', "NUL"),
        ('{"query": "x\\ud800", "relevant": ["a"]}', "half a character"),
        ('{"query": "x", "relevant": ["a\\ud800"]}', "no name of a file"),
        ('{"query": "x", "relevant": ["a\\u0000b"]}', "no name of a file"),
        ('{"query": "x", "relevant": [""]}', "no name of a file"),
        ('{"query": "x", "relevant": ["a"], "span": [1]}', "a span is"),
        ('{"query": "x", "relevant": ["a"], "span": [2, 1]}', "a span is"),
        ('{"query": "x", "relevant": ["a"], "span": [0, NaN]}', "a span is"),
        ('{"query": "x", "relevant": ["a"], "span": [0, 1e999]}', "a span is"),
        ('{"query": "x", "relevant": ["a"], "span": ["0", "1"]}', "a span is"),
        ('{"query": "x", "relevant": ["a"], "span": [false, true]}', "a span is"),
        ('{"query": "x", "relevant": ["a"], "spans": [0, 1]}', "by path"),
        ('{"query": "x", "relevant": ["a"], "spans": {"b": [0, 1]}}', "not relevant"),
        ('{"query": "x", "relevant": [], "span": [1, 2]}', "nothing is relevant"),
        ('{"query": "x", "relevant": ["a"], "kinds": "image"}', "list of texts"),
        ('{"query": "x", "relevant": ["a"], "kinds": ["smell"]}', "no kind 'smell'"),
        ('{"query": "' + "x" * 20_000 + '", "relevant": ["a"]}', "characters"),
        ('{"query": "x", "relevant": ["a"], "span": [0, 1' + "0" * 5000 + "]}", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"query": "x\0", "relevant": ["a"]}', "NUL"),
    ],
)
def test_a_line_that_is_no_query_is_an_error_that_names_it(
    tmp_path: Path, line: str, told: str
) -> None:
    path = tmp_path / "queries.jsonl"
    written(path, '{"query": "fine", "relevant": ["a"]}\n' + line + "\n")

    with pytest.raises(ConfigError, match=rf"queries\.jsonl, line 2: .*{told}") as raised:
        read_queries(path)
    assert len(str(raised.value)) < len(str(path)) + 400


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_a_file_without_queries_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError):
        read_queries(written(tmp_path / "queries.jsonl", content))


@pytest.mark.parametrize("name", [".", "none.jsonl", "none.json", "none.csv"])
def test_what_is_no_file_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_layout(tmp_path / name, {})


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless device here")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_device_without_an_end_is_refused(layout: str) -> None:
    with pytest.raises(ConfigError, match="it is no file"):
        read_layout(Path("/dev/zero"), {}, layout=layout)


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "queries.jsonl")

    with pytest.raises(ConfigError, match="it is no file"):
        read_layout(tmp_path / "queries.jsonl", {})


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_LINE_BYTES", 1 << 20)
    path = written(tmp_path / "queries.jsonl", b'{"query": "' + b"x" * (1 << 21))

    with pytest.raises(ConfigError, match="line 1: is longer than 1 MiB"):
        read_queries(path)


@pytest.mark.parametrize("name", ["queries.jsonl", "captions.json"])
def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as stream:
        stream.truncate(readers.MAX_FILE_BYTES + 1)

    with pytest.raises(ConfigError, match="larger than"):
        read_layout(tmp_path / name, {}, layout="coco" if name.endswith(".json") else "jsonl")


# COCO


COCO: dict[str, Any] = {
    "info": {"description": "made up"},
    "images": [
        {"id": 7, "file_name": "000000000007.jpg"},
        {"id": 9, "file_name": "000000000009.jpg"},
    ],
    "annotations": [
        {"image_id": 9, "id": 1, "caption": "A dog runs. "},
        {"image_id": 7, "id": 2, "caption": "Two\ncats"},
        {"image_id": 9, "id": 3, "caption": "A brown dog"},
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_every_caption_of_coco_is_a_query(tmp_path: Path, indent: int | None) -> None:
    annotation = written(
        tmp_path / "annotations/captions_val2017.json", json.dumps(COCO, indent=indent)
    )
    there = held(*(tmp_path / "val2017" / image["file_name"] for image in COCO["images"]))

    layout, known = read_layout(annotation, there)

    seven, nine = sorted(there)
    assert layout == "coco"
    assert pairs(known) == [("A dog runs.", [nine]), ("Two cats", [seven]), ("A brown dog", [nine])]
    assert {query.kinds for query in known} == {("image",)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"images": 3}, 'no list "images"'),
        ({"annotations": None}, 'no list "annotations"'),
        ({"images": [3]}, r"images\[0\]: is no object"),
        ({"images": [{"id": "7", "file_name": "a"}]}, r'images\[0\]: "id" is missing'),
        ({"images": [{"id": True, "file_name": "a"}]}, r'images\[0\]: "id" is missing'),
        ({"images": [{"id": 7}]}, r'images\[0\]: "file_name" is missing'),
        ({"images": [{"id": 7, "file_name": "a\0"}]}, "no name of a file"),
        ({"annotations": [{"image_id": 8, "caption": "x"}]}, r"annotations\[0\]: there is no"),
        ({"annotations": [{"image_id": 7, "caption": ""}]}, r"annotations\[0\]: the query is"),
        ({"annotations": [{"image_id": 7, "caption": 1}]}, r'annotations\[0\]: "caption" is miss'),
        ({"annotations": []}, "no queries"),
    ],
)  # fmt: skip
def test_a_broken_annotation_of_coco_is_an_error(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    images = [{"id": 7, "file_name": "a.jpg"}]
    notes = [{"image_id": 7, "caption": "x"}]
    content = {"images": images, "annotations": notes} | change

    with pytest.raises(ConfigError, match=told):
        read_layout(written(tmp_path / "captions.json", content), {})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1", b"\xff\xff", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}"]
)
def test_json_that_is_none_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match="is no JSON"):
        read_layout(written(tmp_path / "captions.json", content), {}, layout="coco")


# Karpathy's splits


def karpathy(*splits: str) -> dict[str, Any]:
    return {
        "dataset": "flickr30k",
        "images": [
            {
                "filename": f"{number}.jpg",
                "imgid": number,
                "split": split,
                "sentences": [
                    {"raw": f"{split} {number} {which}", "tokens": [split], "imgid": number}
                    for which in "ab"
                ],
            }
            for number, split in enumerate(splits)
        ],
    }


def test_the_test_split_is_taken_where_there_is_one(tmp_path: Path) -> None:
    path = written(tmp_path / "dataset_flickr30k.json", karpathy("train", "test", "val", "test"))
    there = held(*(f"/photos/{number}.jpg" for number in range(4)))

    _, known = read_layout(path, there, media=Path("/photos"))
    _, val = read_layout(path, there, split="val", layout="flickr")
    _, every = read_layout(path, there, split="all")

    assert pairs(known) == [
        ("test 1 a", ["/photos/1.jpg"]),
        ("test 1 b", ["/photos/1.jpg"]),
        ("test 3 a", ["/photos/3.jpg"]),
        ("test 3 b", ["/photos/3.jpg"]),
    ]
    assert [query.query for query in val] == ["val 2 a", "val 2 b"]
    assert len(every) == 8


def test_a_split_that_there_is_not_is_an_error_that_lists_them(tmp_path: Path) -> None:
    path = written(tmp_path / "dataset.json", karpathy("train", "val"))

    with pytest.raises(ConfigError, match=r"no split 'test'.*train, val, all"):
        read_layout(path, {}, split="test")
    assert len(read_layout(path, {})[1]) == 4


@pytest.mark.parametrize(
    "images",
    [[{"sentences": 3, "filename": "a"}], [{"sentences": [3], "filename": "a"}],
     [{"sentences": [{"raw": 3}], "filename": "a"}], [{"sentences": [{"raw": "x"}]}]],
)  # fmt: skip
def test_a_broken_split_is_an_error(tmp_path: Path, images: list[Any]) -> None:
    with pytest.raises(ConfigError):
        read_layout(written(tmp_path / "dataset.json", {"images": images}), {})


# Flickr, a caption a line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results_20130124.token", "1.jpg#0\tTwo men .\n1.jpg#1\tA yard , green\n2.jpg#0\tA dog\n"),
        ("captions.txt", 'image,caption\n1.jpg,Two men .\n1.jpg,"A yard , green"\n2.jpg,A dog\n'),
        (
            "results.csv",
            "image_name| comment_number| comment\n1.jpg| 0| Two men .\n1.jpg| 1| A yard , green\n"
            "2.jpg| 4   A dog\n",  # so it stands in the file that is passed around
        ),
    ],
)
def test_captions_a_line_are_read(tmp_path: Path, name: str, content: str) -> None:
    there = held("/photos/1.jpg", "/photos/2.jpg")

    layout, known = read_layout(written(tmp_path / name, content), there, media=Path("/photos"))

    assert layout == "flickr"
    assert pairs(known) == [
        ("Two men .", ["/photos/1.jpg"]),
        ("A yard , green", ["/photos/1.jpg"]),
        ("A dog", ["/photos/2.jpg"]),
    ]


def test_a_line_that_is_no_caption_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.token", "1.jpg#0\tTwo men\nwhat is this\n")

    with pytest.raises(ConfigError, match="line 2: is no name of a photograph"):
        read_layout(path, {})


# sounds


def test_every_caption_of_clotho_is_a_query(tmp_path: Path) -> None:
    header = "file_name,caption_1,caption_2,keywords\n"
    path = written(
        tmp_path / "clotho_captions_evaluation.csv",
        "\ufeff" + header + 'Creek 2.1.wav,"Water, running",A creek,x\nDoor.wav,A door,Wood,x\n',
    )
    there = held("/clips/Creek 2.1.wav", "/clips/Door.flac", kind=Modality.AUDIO)

    layout, known = read_layout(path, there, media=Path("/clips"))

    assert layout == "clotho"
    assert pairs(known) == [
        ("Water, running", ["/clips/Creek 2.1.wav"]),
        ("A creek", ["/clips/Creek 2.1.wav"]),
        ("A door", ["/clips/Door.flac"]),
        ("Wood", ["/clips/Door.flac"]),
    ]
    assert known[0].kinds == ("audio",)


@pytest.mark.parametrize(
    "name",
    ["-1a_b.wav", "Y-1a_b.wav", "-1a_b_30.flac", "Y-1a_b_30.000_40.000.wav",
     "-1a_b_30000_40000.wav", "-1a_b_30_40.mp3", "103549.wav"],
)  # fmt: skip
def test_clips_of_audiocaps_are_found_by_the_names_they_go_by(tmp_path: Path, name: str) -> None:
    path = written(
        tmp_path / "test.csv",
        "audiocap_id,youtube_id,start_time,caption\n"
        "103549,-1a_b,30,Constant rattling noise\n103548,-1a_b,30,Something rattles\n",
    )
    there = held(f"/clips/{name}", "/clips/other.wav", kind=Modality.AUDIO)

    layout, known = read_layout(path, there)

    if name == "103549.wav":  # a number is of one caption: its clip goes by several
        known = known[:1]
    assert layout == "audiocaps"
    assert {path for query in known for path in query.relevant} == {f"/clips/{name}"}


def test_a_clip_with_its_start_goes_before_one_without(tmp_path: Path) -> None:
    header = "audiocap_id,youtube_id,start_time,caption\n"
    path = written(tmp_path / "test.csv", header + "1,abc,30,first\n2,abc,60,second\n")
    there = held("/clips/abc_30.wav", "/clips/abc_60.wav", "/clips/abc.wav", kind=Modality.AUDIO)

    assert pairs(read_layout(path, there)[1]) == [
        ("first", ["/clips/abc_30.wav"]),
        ("second", ["/clips/abc_60.wav"]),
    ]


def test_a_clip_that_is_not_there_is_named_as_it_should_be(tmp_path: Path) -> None:
    header = "audiocap_id,youtube_id,start_time,caption\n"
    path = written(tmp_path / "test.csv", header + "1,abc,30,first\n")

    (query,) = read_layout(path, {}, media=Path("/clips"))[1]

    assert query.relevant == {"/clips/abc_30.000_40.000.wav"}


@pytest.mark.parametrize("start", ["", "x", "nan", "inf", "1e999"])
def test_a_start_that_is_none_is_an_error(start: str) -> None:
    with pytest.raises(ValueError, match="no start"):
        list(list_clip_stems("abc", start, "1"))


ESC50 = (
    "filename,fold,target,category,esc10,src_file,take\n"
    "1-100032-A-0.wav,1,0,dog,True,100032,A\n"
    "1-100038-A-14.wav,1,14,chirping_birds,False,100038,A\n"
    "2-110389-A-0.wav,2,0,dog,True,110389,A\n"
)


def test_a_category_of_esc50_is_answered_by_all_its_clips(tmp_path: Path) -> None:
    path = written(tmp_path / "meta/esc50.csv", ESC50)
    clips = [f"{tmp_path}/audio/{line.split(',')[0]}" for line in ESC50.splitlines()[1:]]

    layout, known = read_layout(path, held(*clips, kind=Modality.AUDIO))
    _, fold = read_layout(path, held(*clips), split="2")

    assert layout == "esc50"
    assert pairs(known) == [("dog", [clips[0], clips[2]]), ("chirping birds", [clips[1]])]
    assert pairs(fold) == [("dog", [clips[2]])]
    with pytest.raises(ConfigError, match="no fold '9'"):
        read_layout(path, {}, split="9")


# tables


@pytest.mark.parametrize(
    ("layout", "content", "told"),
    [
        ("clotho", "file,caption_1\na,b\n", "line 1: there is no column file_name"),
        ("audiocaps", "youtube_id,caption\na,b\n", "line 1: there is no column start_time"),
        ("esc50", "filename\na\n", "line 1: there is no column category"),
        ("clotho", "file_name,caption_1\na,b\na\n", "line 3: 2 columns are named, 1 are here"),
        ("clotho", "file_name,caption_1\na,b,c\n", "line 2: 2 columns are named, 3 are here"),
        ("clotho", "file_name,caption_1\na,\n", "line 2: the query is empty"),
        ("clotho", "file_name,caption_1\n,x\n", "line 2: '' is no name of a file"),
        ("clotho", 'file_name,caption_1\na,"b\nc\n', "line 3: is no CSV"),
        ("clotho", 'file_name,caption_1\na,"' + "b" * 200_000 + '"\n', "line 2: is no CSV"),
        ("clotho", "file_name,caption_1\na,b\0\n", "line 2: a NUL"),
        ("clotho", b"file_name,caption_1\na,\xff\n", "line 2: cannot be read as UTF-8"),
        ("clotho", "file_name,caption_1\n", "no queries"),
        ("clotho", "", "no queries"),
        ("audiocaps", "youtube_id,start_time,caption\na/../b,1,x\n", "line 2: .* is no id"),
        ("audiocaps", "youtube_id,start_time,caption\nab,one,x\n", "line 2: .* is no start"),
        ("esc50", "filename,category\na.wav,_\n", "line 2: the query is empty"),
    ],
)
def test_a_broken_table_is_an_error_that_names_the_line(
    tmp_path: Path, layout: str, content: str | bytes, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        read_layout(written(tmp_path / "table.csv", content), {}, layout=layout)


@pytest.mark.parametrize("layout", ["jsonl", "clotho", "audiocaps"])
def test_a_split_of_what_has_none_is_an_error(tmp_path: Path, layout: str) -> None:
    with pytest.raises(ConfigError, match="no splits"):
        read_layout(written(tmp_path / "x", "x"), {}, layout=layout, split="test")


# layouts


def test_a_layout_is_known_by_its_file(tmp_path: Path) -> None:
    line = '{"query": "x", "relevant": ["a"]}\n'

    assert detect_layout(written(tmp_path / "a.jsonl", "junk")) == "jsonl"
    assert detect_layout(written(tmp_path / "a.json", line + line)) == "jsonl"
    assert detect_layout(written(tmp_path / "a.txt", line)) == "jsonl"
    assert detect_layout(written(tmp_path / "b.json", COCO)) == "coco"
    assert detect_layout(written(tmp_path / "c.csv", ESC50)) == "esc50"


@pytest.mark.parametrize("content", ["", "hello\n", "a,b\n1,2\n", "\n{}"])
def test_an_unknown_layout_is_asked_for(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match="--layout, which can be jsonl, coco, flickr"):
        read_layout(written(tmp_path / "a.txt", content), {})


def test_a_layout_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no layout 'msmarco': it can be auto, jsonl"):
        read_layout(written(tmp_path / "a", "x"), {}, layout="msmarco")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(alphabet='{}[]",:#|\t\n\0abc01-', max_size=200).map(str.encode),
        st.tuples(
            st.sampled_from([
                b"file_name,caption_1\n", b"youtube_id,start_time,caption\n",
                b"filename,category,fold\n", b"image,caption\n", b"a.jpg#0\t",
                b'{"images": [{', b'{"query": "x", "relevant": ',
            ]),
            st.binary(max_size=100),
        ).map(b"".join),
    ),
    st.sampled_from(LAYOUTS),
)  # fmt: skip
def test_any_file_is_read_or_refused_with_an_error_of_ours(
    tmp_path: Path, content: bytes, layout: str
) -> None:
    path = written(tmp_path / "queries", content)
    with contextlib.suppress(ConfigError):
        _, known = read_layout(path, {}, layout=layout)
        assert known
        assert all(query.query and "\0" not in query.query for query in known)


# finding files


def test_a_name_that_two_files_have_asks_for_the_folder() -> None:
    there = held("/one/a.jpg", "/two/a.jpg")

    with pytest.raises(ConfigError, match=r"/one/a\.jpg and at /two/a\.jpg.*--media"):
        FileFinder(there, Path("/notes/x.json")).find("a.jpg")
    assert FileFinder(there, Path("/notes/x.json"), Path("/two")).find("a.jpg") == "/two/a.jpg"
    assert FileFinder(there, Path("/one/x.json")).find("a.jpg") == "/one/a.jpg"


def test_a_name_that_copies_share_is_no_question() -> None:
    there = {path: LibraryFile("same", Modality.IMAGE) for path in ("/one/a.jpg", "/two/a.jpg")}

    assert FileFinder(there, Path("/notes/x.json")).find("a.jpg") == "/one/a.jpg"


def test_only_files_below_the_media_are_meant() -> None:
    there = held("/elsewhere/a.jpg")

    finder = FileFinder(there, Path("/notes/x.json"), Path("/media"))

    assert finder.find("a.jpg") == "/media/a.jpg"


def test_a_name_is_met_however_its_letters_are_composed() -> None:
    there = held("/clips/Cafe\u0301.wav")

    assert FileFinder(there, Path("/x.csv")).find("Caf\u00e9.wav") == "/clips/Cafe\u0301.wav"
