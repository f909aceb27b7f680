"""Searches over HTTP: the same answers as in the process, with files, and errors that say why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mmsearch.library.library import Library
from mmsearch.media.base import LoadOptions
from mmsearch.media.isolation import Decoder
from mmsearch.query import algebra as queries
from mmsearch.query.ranking import Ranking
from mmsearch.serialization.answers import build_hit
from mmsearch.serialization.json_format import write_json
from mmsearch.server.http import uploads
from mmsearch.server.http.answers import LinkedSearchAnswer
from mmsearch.types import Hit
from tests.fakes import fake_library, write_film, write_picture, write_sound, write_text
from tests.server.live import client_of, problem

ANSWER = TypeAdapter(LinkedSearchAnswer)
LINKS = ("asset_url", "thumbnail_url", "media_url")


@pytest.fixture(scope="module")
def library(small_library: Path) -> Iterator[Library]:
    with Library.open(small_library) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    with client_of(library) as client:
        yield client


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library of pictures of one colour and texts, with encoders that cost nothing."""
    folder = tmp_path_factory.mktemp("colours")
    for colour in ("red", "green", "blue"):
        for shade in (100, 150, 200):
            write_picture(folder / "files" / f"{colour}-{shade}.png", colour, shade=shade)
    write_text(folder / "files" / "red.txt", "the red lighthouse stands on a rock")
    write_sound(folder / "files" / "hum.wav")
    write_film(folder / "files" / "film.mp4", ["red", "green", "blue"])
    with fake_library(folder / "library") as opened:
        opened.index(folder / "files")
        yield opened


@pytest.fixture(scope="module")
def coloured(colours: Library) -> Iterator[TestClient]:
    with client_of(colours) as client:
        yield client


def searched(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.post("/v1/search", json=asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def as_told(hit: Hit) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(write_json(build_hit(hit)))
    return told


def plain(hit: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hit.items() if name not in LINKS}


@pytest.mark.parametrize(
    "asked",
    [
        {"query": "a dog on a beach", "limit": 5},
        {"query": "bicycle chain +0.5:garden -kitchen", "min_score": 0},
        {"query": '"four score"', "kinds": ["text", "audio"]},
        {"query": "water", "where": "kind = audio", "min_score": 0, "dedupe": False},
        {"query": "people", "min_score": 0, "group": False, "limit": 30},
        {"query": "breakfast", "after": "1990", "before": "2100", "ranking": "fusion=rrf"},
    ],
)
def test_answers_are_those_of_the_library(
    client: TestClient, library: Library, asked: dict[str, Any]
) -> None:
    ranking = Ranking.parse(asked.get("ranking", ""))
    hits = library.search(
        queries.parse(queries.split(asked["query"])),
        **{name: asked[name] for name in ("limit", "kinds", "where", "min_score") if name in asked},
        after=asked.get("after"),
        before=asked.get("before"),
        ranking=Ranking(
            fusion=ranking.fusion,
            group=asked.get("group", True),
            dedupe=asked.get("dedupe", True),
        ),
    )
    told = searched(client, **asked)
    assert [plain(hit) for hit in told["hits"]] == [as_told(hit) for hit in hits]
    assert told["total"] == len(hits)
    assert told["preset"] == "mini"


def test_answers_are_as_the_document_says(client: TestClient, coloured: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schema = {
        "$ref": "#/components/schemas/LinkedSearchAnswer",
        "components": document["components"],
    }
    checker = jsonschema.Draft202012Validator(schema)
    seen = 0
    for asked in (
        {"query": "beach", "explain": True, "min_score": 0, "limit": 100},
        {"query": "qwertyuiop zxcvbnm", "min_score": 1},
        {"query": "red", "explain": True, "min_score": 0},
        {"kinds": ["image", "audio"], "explain": True},
    ):
        for one in (client, coloured):
            told = searched(one, **asked)
            checker.validate(told)
            ANSWER.validate_python(told)
            seen += told["total"]
    assert seen > 20


def test_no_match_is_an_answer_with_a_hint(client: TestClient) -> None:
    told = searched(client, query="qwertyuiop", kinds=["video"], min_score=0.99)
    assert told["total"] == 0
    assert told["hits"] == []
    assert "fewer filters" in told["hint"]
    assert "hint" not in searched(client, query="beach")


def test_filters_alone_list_what_passes(client: TestClient) -> None:
    told = searched(client, kinds=["image"])
    assert (told["query"], told["total"]) == ("", 5)
    assert {(hit["kind"], hit["score"]) for hit in told["hits"]} == {("image", 1.0)}
    none = searched(client, where="size > 1TB")
    assert (none["total"], none["hint"]) == (0, "nothing passes: try fewer filters")


def test_a_hit_links_to_its_moment(coloured: TestClient) -> None:
    told = searched(coloured, query="green", kinds=["video"], min_score=0)
    (hit,) = told["hits"]
    start, end = hit["moments"][0]["start_s"], hit["moments"][0]["end_s"]
    assert hit["media_url"] == f"/v1/assets/{hit['asset_id']}/media#t={start:g},{end:g}"
    picture = coloured.get(hit["thumbnail_url"])
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/jpeg"
    media = coloured.get(hit["media_url"], headers={"Range": "bytes=0-9"})
    assert media.status_code == 206
    assert coloured.get(hit["asset_url"]).json()["paths"] == [hit["path"]]


def test_links_stay_below_what_a_proxy_puts_in_front(colours: Library) -> None:
    with client_of(colours) as client:
        behind = TestClient(client.app, root_path="/find")
        hit = behind.post("/v1/search", json={"query": "red"}).json()["hits"][0]
    assert hit["asset_url"].startswith("/find/v1/assets/")


def test_explain_marks_the_words_and_tells_similarities(client: TestClient) -> None:
    told = searched(client, query="government of the people", explain=True)
    hit = next(hit for hit in told["hits"] if hit["path"].endswith("gettysburg_address.txt"))
    text = hit["segment"]["text"]
    assert {text[start:end].lower() for start, end in hit["matches"]} >= {"people"}
    assert all("similarity" in space for space in hit["spaces"].values())


def test_terms_weigh_and_avoid(coloured: TestClient) -> None:
    told = searched(
        coloured,
        terms=[{"text": "red", "weight": 2}, {"text": "green"}],
        **{"not": [{"text": "green"}]},
        kinds=["image"],
        min_score=0.4,
    )
    assert told["query"] == "2:red +green -green"
    assert {Path(hit["path"]).stem.split("-")[0] for hit in told["hits"]} == {"red"}


def test_an_asset_is_an_example_and_can_be_left_out(coloured: TestClient) -> None:
    first = searched(coloured, query="blue", kinds=["image"])["hits"][0]
    told = searched(
        coloured,
        terms=[{"asset": first["asset_id"]}],
        kinds=["image"],
        without=[first["asset_id"]],
        dedupe=False,
    )
    assert first["asset_id"] not in {hit["asset_id"] for hit in told["hits"]}
    assert "blue" in told["hits"][0]["path"]
    assert told["query"] == f"asset:{first['asset_id']}"


def test_folders_narrow_as_text(coloured: TestClient, colours: Library) -> None:
    everywhere = searched(coloured, query="red", min_score=0)
    folder = str(Path(everywhere["hits"][0]["path"]).parent)
    asked = {"query": "red", "min_score": 0}
    assert searched(coloured, **asked, **{"in": [folder]})["total"] == everywhere["total"]
    assert searched(coloured, **asked, **{"in": ["/nowhere"]})["total"] == 0
    problem(coloured.post("/v1/search", json=asked | {"in": ["files"]}), 422, "invalid-request")


@pytest.mark.parametrize(
    ("asked", "name", "said"),
    [
        ({}, "invalid-request", "say what to look for"),
        ({"query": "  "}, "invalid-request", "/query"),
        ({"query": "red", "limt": 3}, "invalid-request", "/limt: there is no such member"),
        ({"query": "red", "limit": 1001}, "invalid-request", "/limit"),
        ({"query": "red", "limit": "3"}, "invalid-request", "/limit"),
        ({"query": "red", "kinds": ["pictures"]}, "invalid-request", "/kinds/0"),
        ({"query": "red", "min_score": 2}, "invalid-request", "/min_score"),
        ({"query": "red", "without": ["x"]}, "invalid-request", "/without/0"),
        ({"terms": [{"text": "a", "asset": "b"}]}, "invalid-request", "/terms/0"),
        ({"terms": [{"text": "a", "weight": 0}]}, "invalid-request", "/weight"),
        ({"query": "+"}, "bad-query", "nothing behind"),
        ({"query": "-red"}, "bad-query", "not only what to avoid"),
        ({"query": "/etc/passwd"}, "bad-query", "no files are read here"),
        ({"query": "like ./beach.jpg"}, "bad-query", "no files are read here"),
        ({"query": "2000:red"}, "bad-query", "a weight lies between"),
        ({"query": "+a " * 40}, "bad-query", "at most 32"),
        ({"query": "red", "where": "size >"}, "bad-query", "size >"),
        ({"query": "red", "after": "someday"}, "bad-query", "someday"),
        ({"query": "red", "ranking": "fusion=best"}, "bad-query", "best"),
    ],
)
def test_what_cannot_be_answered_is_told(
    coloured: TestClient, asked: dict[str, Any], name: str, said: str
) -> None:
    assert said in problem(coloured.post("/v1/search", json=asked), 422, name)["detail"]


def test_an_unknown_asset_is_told(coloured: TestClient) -> None:
    for asked in ({"terms": [{"asset": "0" * 32}]}, {"query": "asset:" + "0" * 32}):
        told = problem(coloured.post("/v1/search", json=asked), 404, "no-such-asset")
        assert told["asset_id"] == "0" * 32


@pytest.mark.parametrize(
    ("body", "media_type", "status", "name"),
    [
        (b'{"query": "red"', "application/json", 400, "malformed-request"),
        (b'{"query": "\xff"}', "application/json", 400, "malformed-request"),
        (b'{"query": "\\ud800"}', "application/json", 400, "malformed-request"),
        (b'["red"]', "application/json", 422, "invalid-request"),
        (b'{"query": "red"}', "text/plain", 415, "unsupported-media-type"),
        (b"query=red", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b'{"query": "red"}', "", 415, "unsupported-media-type"),
        (b"[" * 100_000, "application/json", 400, "malformed-request"),
        (b" " * 3_000_000, "application/json", 413, "too-large"),
        (b"", "multipart/form-data", 400, "malformed-request"),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400, "malformed-request"),
        (b"nothing", "multipart/form-data; boundary=x", 400, "malformed-request"),
    ],
)
def test_bodies_that_are_none_are_refused(
    coloured: TestClient, body: bytes, media_type: str, status: int, name: str
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    problem(coloured.post("/v1/search", content=body, headers=headers), status, name)


def test_a_whole_number_may_be_written_with_a_point(coloured: TestClient) -> None:
    assert searched(coloured, query="red", limit=2.0)["total"] == 2


SEARCH = {"request": (None, "{}", "application/json")}


def test_a_file_is_an_example(
    client: TestClient, library: Library, samples: Path, sample_data: Path
) -> None:
    known = samples / "photos/beach.jpg"
    with known.open("rb") as file:
        answer = client.post("/v1/search", files={**SEARCH, "file": ("x.jpg", file)})
    hits = library.search(queries.file(known))
    assert [plain(hit) for hit in answer.json()["hits"]] == [as_told(hit) for hit in hits]
    assert answer.json()["query"] == "x.jpg"
    new = sample_data / "photos/IMG_0032.jpg"
    new = new if new.is_file() else sorted((sample_data / "photos").glob("*.jpg"))[-1]
    with new.open("rb") as file:
        answer = client.post("/v1/search", files={**SEARCH, "file": ("new.jpg", file)})
    hits = library.search(queries.file(new))
    assert [hit["asset_id"] for hit in answer.json()["hits"]] == [hit.asset.id for hit in hits]


def test_files_are_weighed_and_avoided_by_the_names_of_their_parts(
    coloured: TestClient, tmp_path: Path
) -> None:
    red = write_picture(tmp_path / "a.png", "red", shade=180).read_bytes()
    blue = write_picture(tmp_path / "b.png", "blue", shade=180).read_bytes()
    asked = {
        "terms": [{"upload": "wanted", "weight": 2}],
        "not": [{"upload": "unwanted"}],
        "kinds": ["image"],
        "min_score": 0,
        "limit": 3,
    }
    answer = coloured.post(
        "/v1/search",
        files={
            "request": (None, json.dumps(asked), "application/json"),
            "wanted": ("red one.png", red),
            "unwanted": ("blue one.png", blue),
        },
    )
    told = answer.json()
    assert told["query"] == "2:red one.png -blue one.png"
    assert {Path(hit["path"]).stem.split("-")[0] for hit in told["hits"]} == {"red"}


def test_several_files_are_looked_for_together(coloured: TestClient, tmp_path: Path) -> None:
    red = write_picture(tmp_path / "a.png", "red").read_bytes()
    words = b"the red lighthouse stands on a rock"
    answer = coloured.post(
        "/v1/search",
        files=[
            ("request", (None, '{"query": "red"}', "application/json")),
            ("file", ("a.png", red)),
            ("file", ("b.txt", words)),
        ],
    )
    assert answer.json()["query"] == "red +a.png +b.txt"
    assert answer.json()["hits"][0]["path"].endswith(("red.txt", ".png"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"file": ("a.txt", b"words")}, "the part 'request' is missing"),
        (SEARCH, "there is no file among the parts"),
        ({**SEARCH, "other": ("a.txt", b"words")}, "the part 'other' is called neither"),
        (
            {
                "request": (None, '{"terms": [{"upload": "x"}]}', "application/json"),
                "file": ("a.txt", b"words"),
            },
            "no file was sent as the part 'x'",
        ),
    ],
)
def test_parts_that_do_not_fit_are_told(
    coloured: TestClient, files: dict[str, Any], said: str
) -> None:
    answer = coloured.post("/v1/search", files=files)
    assert said in problem(answer, 422, "invalid-request")["detail"]


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/x.png", "/etc/passwd", "a\0b.png", "..", "C:\\x.png", "x" * 5000]
)
def test_the_name_of_a_file_is_no_path(
    coloured: TestClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    receive = uploads.read_multipart

    async def noted(*args: Any, **named: Any) -> uploads.MultipartSearch:
        received = await receive(*args, **named)
        seen.extend(one.path for one in received.parts)
        return received

    monkeypatch.setattr("mmsearch.server.http.search.uploads.read_multipart", noted)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + b'"\r\n\r\nwords of a file\r\n--x--\r\n'
    )
    answer = coloured.post(
        "/v1/search", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    if answer.status_code != 200:  # a NUL in a header is no header
        problem(answer, 400, "malformed-request")
        return
    (path,) = seen
    assert path.name in ("upload-0", "upload-0.png")
    assert path.parent.parent.parent.name.startswith("mmsearch-uploads-")
    assert not path.parent.exists()


def test_what_is_wrong_with_a_file_is_told_under_its_own_name(
    coloured: TestClient, tmp_path: Path
) -> None:
    for name, content in (
        ("torn.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100),
        ("empty", b""),
        ("what.bin", bytes(range(256)) * 4),
        ("program.zip", b"PK\x03\x04" + b"\0" * 100),
    ):
        answer = coloured.post("/v1/search", files={**SEARCH, "file": (name, content)})
        told = problem(answer, 422, "bad-media")
        assert told["detail"].startswith(f"{name} cannot be searched by: ")
        assert "/" not in told["detail"]
        assert told["part"] == "file"


def test_one_process_decodes_file_after_file_broken_ones_too(
    colours: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: list[int] = []
    load = Decoder.load

    def noted(self: Decoder, path: Path, options: LoadOptions) -> Any:
        yield from load(self, path, options)
        assert self._process is not None
        processes.append(self._process.pid)

    monkeypatch.setattr(Decoder, "load", noted)
    with client_of(colours) as client:
        for shade in (60, 70, 80):
            picture = write_picture(tmp_path / "a.png", "red", shade=shade).read_bytes()
            answer = client.post("/v1/search", files={**SEARCH, "file": ("a.png", picture)})
            assert answer.status_code == 200
            problem(
                client.post("/v1/search", files={**SEARCH, "file": ("b.png", picture[:40])}),
                422,
                "bad-media",
            )
    assert len(processes) == 3
    assert len(set(processes)) == 1
    assert not psutil.pid_exists(processes[0])


def test_files_are_bounded(colours: Library) -> None:
    with client_of(colours, max_upload_bytes=100_000) as client:
        for files in (
            {**SEARCH, "file": ("a.txt", b"a" * 100_001)},
            {
                "request": (None, '{"terms": [{"upload": "b"}]}', "application/json"),
                "file": ("a.txt", b"a" * 60_000),
                "b": ("a.txt", b"a" * 60_000),
            },
            {"request": (None, " " * 2_200_000, "application/json")},
        ):
            problem(client.post("/v1/search", files=files), 413, "too-large")
        many = [("request", SEARCH["request"])]
        many += [("file", (None, "words", "text/plain"))] * 9
        told = problem(client.post("/v1/search", files=many), 413, "too-large")
        assert "at most 8 files" in told["detail"]
        assert not list(Path(client.app.state.backend._spool.path).iterdir())


def test_only_the_first_minute_of_a_recording_is_listened_to(
    coloured: TestClient, tmp_path: Path
) -> None:
    long = write_sound(tmp_path / "long.wav", seconds=200).read_bytes()
    answer = coloured.post("/v1/search", files={**SEARCH, "file": ("long.wav", long)})
    assert answer.status_code == 200
    assert answer.json()["hits"][0]["path"].endswith("hum.wav")


def test_a_picture_beyond_the_limit_is_refused(coloured: TestClient, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "large.png"
    Image.new("1", (10_100, 10_000)).save(path)
    answer = coloured.post("/v1/search", files={**SEARCH, "file": ("a.png", path.read_bytes())})
    told = problem(answer, 422, "bad-media")["detail"]
    assert told == "a.png cannot be searched by: 10100x10000 is 101 megapixels, the limit is 100"


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    asked=st.fixed_dictionaries(
        {},
        optional={
            "query": st.text(max_size=60) | st.none(),
            "terms": st.lists(st.fixed_dictionaries({"text": st.text(max_size=20)}), max_size=3),
            "not": st.lists(st.fixed_dictionaries({"text": st.text(max_size=20)}), max_size=3),
            "where": st.text(max_size=40),
            "after": st.text(max_size=12),
            "in": st.lists(st.text(max_size=20).map("/".__add__), max_size=2),
            "limit": st.integers(-1, 1001),
            "min_score": st.floats(-0.1, 1.1),
            "ranking": st.text(max_size=20),
        },
    )
)
def test_whatever_is_asked_is_answered_or_refused(
    coloured: TestClient, asked: dict[str, Any]
) -> None:
    answer = coloured.post("/v1/search", json=asked)
    assert answer.status_code in (200, 400, 404, 422), answer.text
    if answer.status_code == 200:
        ANSWER.validate_python(answer.json())
