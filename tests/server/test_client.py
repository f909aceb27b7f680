"""`--server`: a search that a running server answers, told as one of this machine is."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.client import RemoteLibrary, parsing
from mmsearch.client.address import ServerAddress, parse_address
from mmsearch.client.http import ANSWER_BYTES
from mmsearch.errors import ConfigError, MissingExtra, MmsearchError, QueryError, StoreError
from mmsearch.library.library import Library
from mmsearch.query import algebra as queries
from mmsearch.query.ranking import Ranking
from mmsearch.serialization.answers import build_hit, build_search
from mmsearch.serialization.json_format import JsonShapeError, write_json
from mmsearch.serialization.rounding import round_hit
from mmsearch.types import (
    Asset,
    Box,
    Hit,
    Metadata,
    Modality,
    Moment,
    Place,
    Segment,
    SegmentKind,
    SpaceScore,
    Span,
)
from tests.conftest import ROOT, Cli
from tests.patience import HANG_S

START_S = 60
TOKEN = "a-token-that-nobody-guesses"

Search = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def url(small_library: Path) -> Iterator[str]:
    """A server over the small library, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsearch", "serve", "--port", "0", "--json", "--library",
         str(small_library)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MMSEARCH_TOKEN": TOKEN},
    )  # fmt: skip
    try:
        watchdog = threading.Timer(START_S, process.kill)
        watchdog.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        yield json.loads(line)["url"]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def remote(url: str, cli: Cli) -> Search:
    """The command, asking the server."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
        return cli(*words, env={"MMSEARCH_SERVER": url, "MMSEARCH_TOKEN": TOKEN})

    return run


@pytest.fixture
def library(url: str) -> Iterator[RemoteLibrary]:
    with RemoteLibrary(url, token=TOKEN) as opened:
        yield opened


# the same as a library of this machine


@pytest.mark.parametrize(
    "words",
    [
        ["search", "a kitten"],
        ["search", "country", "--min-score", "0", "--explain"],
        ["search", "country", "--min-score", "0", "--paths", "-0"],
        ["search", "ask not what your country", "--no-group", "-n", "4", "--export", "-",
         "--export-as", "edl"],
        ["search", "the people", "--export", "-", "--export-as", "csv", "--min-score", "0"],
        ["search", "--not", "a beach", "--ranking", "fusion=rrf", "--paths", "--", "+2:cat",
         "-dog"],
        ["search", "x", "--min-score", "0", "--ext", "md,txt", "--size", "..1MB", "--not", "kitten",
         "--after", "2001", "--where", "not (camera ~ canon or path ~ 'no such')", "--paths"],
        ["search", "canal", "--kinds", "audio", "--min-score", "0", "--export", "-",
         "--export-as", "m3u"],
        ["search", "kitten", "--min-score", "0.999999"],
        ["similar", str(ROOT / "sample_data/photos/IMG_0031.jpg"), "--min-score", "0"],
    ],
    ids=lambda words: " ".join(words[:3]),
)  # fmt: skip
def test_a_server_answers_as_the_library_itself(
    words: list[str], remote: Search, cli: Cli, small_library: Path
) -> None:
    here = cli(words[0], "--library", small_library, *words[1:])
    there = remote(*words)

    assert there.returncode == here.returncode in (0, 4)
    assert there.stdout.decode() == here.stdout.decode()
    assert there.stderr == here.stderr
    assert here.stdout or here.returncode == 4


def test_json_is_the_same_but_for_the_time_it_took(
    remote: Search, cli: Cli, small_library: Path
) -> None:
    words = ["search", "country", "--json", "--min-score", "0"]
    here = json.loads(cli(*words, "--library", small_library).stdout)
    there = json.loads(remote(*words).stdout)

    assert there.pop("took_ms") > 0
    assert here.pop("took_ms") > 0
    assert there == here
    assert there["total"] > 3


BORDERLINE_WORDS = (
    "country", "kitten", "beach", "bread", "garden", "bicycle", "canal", "people", "nation",
    "house", "train", "water", "music", "coffee", "mountain", "letter", "chain", "tomato", "war",
)  # fmt: skip


def test_figures_are_not_rounded_twice_on_their_way_from_a_server(
    remote: Search, cli: Cli, small_library: Path
) -> None:
    """0.25847 is 0.258 with three digits, and 0.2585 is not: the server tells four."""
    with Library.open(small_library, create=False) as opened:
        word = next(
            word
            for word in BORDERLINE_WORDS
            for hit in opened.search(word, min_score=0)
            for space in hit.spaces.values()
            if f"{space.similarity:.3f}" != f"{round(space.similarity, 4):.3f}"
        )
    words = ["search", word, "--min-score", "0", "--explain"]
    here = cli(*words, "--library", small_library)

    assert remote(*words).stdout.decode() == here.stdout.decode()
    assert b"similarity" in here.stdout


@given(
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 5_000), st.floats(0, 60),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)  # fmt: skip
def test_a_hit_that_was_told_is_the_hit_as_it_is_shown(
    score: float, other: float, start_s: float, length_s: float, edges: list[float]
) -> None:
    span = Span(start_s, start_s + length_s)
    segment = Segment("5" * 32, "a" * 32, SegmentKind.FRAME, Place(span=span), "words")
    moment = Moment(segment, other, Box(*edges), span)
    hit = Hit(
        1, score, "/film.mp4", Asset("a" * 32, Modality.VIDEO, 0, Metadata()), segment,
        {"image": SpaceScore(1, other, score)}, (moment,),
    )  # fmt: skip
    shown = round_hit(hit)
    sent = json.loads(write_json(build_hit(hit, explains=True)))
    (told,) = parsing.read_hits({"hits": [sent]})

    assert told == shown == round_hit(shown)


def test_folders_are_those_of_this_machine(
    library: RemoteLibrary, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(samples)

    found = library.search("kitten", under=["photos/../videos"], min_score=0)

    assert [Path(hit.path).name for hit in found] == ["MVI_0007.mp4"]


def test_a_file_that_the_library_has_not_is_sent(
    remote: Search, samples: Path, tmp_path: Path
) -> None:
    strange = tmp_path / 'a "strange"\nname; filename=x.png'
    Image.open(samples / "photos/IMG_0031.jpg").resize((200, 150)).save(strange, "PNG")

    for words in (
        ["search", "--image", strange],
        ["similar", strange],
        ["search", "tabby", "--not", "breakfast", "--image", strange],
    ):
        ran = remote(*words, "--paths")
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.splitlines()[0].endswith(b"IMG_0031.jpg")


def test_filters_alone_list_what_passes(remote: Search, cli: Cli, small_library: Path) -> None:
    near = cli("search", "--kinds", "text", "--library", small_library, "--paths")
    ran = remote("search", "--kinds", "text", "--paths")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == near.stdout
    assert len(ran.stdout.splitlines()) == 3


def test_what_cannot_be_asked_with_is_told_in_words(remote: Search, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    text = tmp_path / "text.txt"
    text.write_text("Only words.")
    os.mkfifo(tmp_path / "pipe")
    for words, said in (
        (["--image", broken], b"broken.png"),
        (["--image", text], b"is text, not image"),
        (["--audio", ROOT / "sample_data/photos/IMG_0031.jpg"], b"is image, not audio"),
        (["--image", tmp_path / "none.png"], b"there is no file"),
        (["--image", tmp_path / "pipe"], b"there is no file"),
        (["--image", tmp_path], b"there is no file"),
        (["x", "--kinds", "kitten"], b"/kinds/0"),
        (["x", "-n", "10000"], b"less than or equal to 1000"),
        (["x", "--where", "size >> 3"], b"the filter cannot be read"),
        (["x", "asset:" + "0" * 32], b"the library has no asset"),
        ([], b"the query is empty"),
    ):
        ran = remote("search", *words)
        assert (ran.returncode, ran.stdout) == (1, b""), words
        assert said in ran.stderr, (words, ran.stderr)
        assert b"Traceback" not in ran.stderr


# which library is meant


def test_the_command_line_beats_the_environment(remote: Search, cli: Cli, tmp_path: Path) -> None:
    named = remote("search", "kitten", "--library", tmp_path / "none")
    from_environment = cli(
        "search", "kitten", "--server", "http://127.0.0.1:1",
        env={"MMSEARCH_LIBRARY": str(tmp_path / "none")},
    )  # fmt: skip

    assert b"there is no library" in named.stderr
    assert b"http://127.0.0.1:1 cannot be asked" in from_environment.stderr
    assert named.returncode == from_environment.returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--server", "http://127.0.0.1:1", "--library", "x"],
        ["--server", "http://127.0.0.1:1", "--index", "hnsw"],
        ["--server", "http://127.0.0.1:1", "--heat-maps", "maps"],
        ["--token-file", "x"],
    ],
)
def test_options_that_make_no_sense_with_a_server_are_refused(
    words: list[str], cli: Cli, tmp_path: Path
) -> None:
    ran = cli("search", "kitten", *words, cwd=tmp_path)

    assert ran.returncode == 2
    assert not list(tmp_path.iterdir())


def test_a_search_by_a_server_loads_nothing_that_a_library_takes(url: str) -> None:
    script = (
        "import os, sys\n"
        "def leave(code):\n"
        "    names = ('numpy', 'pyarrow', 'lance', 'onnxruntime', 'asyncio',\n"
        "             'mmsearch.library.library')\n"
        "    print([name for name in names if name in sys.modules], file=sys.stderr)\n"
        "    sys.stderr.flush()\n"
        "    kill(code)\n"
        "kill, os._exit = os._exit, leave\n"
        "from mmsearch.cli.app import main\n"
        f"sys.argv[1:] = ['search', 'a kitten', '--server', {url!r}, '--paths']\n"
        "main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=ROOT, check=False, timeout=60,
        env={**os.environ, "MMSEARCH_TOKEN": TOKEN},
    )  # fmt: skip

    assert ran.stdout.count(b"\n") >= 1
    assert ran.stderr.decode().strip() == "['asyncio']"


# tokens and addresses


def test_the_token_comes_from_a_file_or_the_environment(url: str, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    none = cli("search", "kitten", "--server", url)
    wrong = cli("search", "kitten", "--server", url, env={"MMSEARCH_TOKEN": TOKEN[::-1]})
    right = cli("search", "kitten", "--server", url, "--token-file", file)

    assert none.returncode == wrong.returncode == 1
    assert b"asks for a token" in none.stderr or b"Authorization" in none.stderr
    assert b"MMSEARCH_TOKEN" in none.stderr
    assert TOKEN.encode() not in none.stderr + wrong.stderr
    assert TOKEN[::-1].encode() not in wrong.stderr
    assert right.returncode == 0
    assert TOKEN not in repr(RemoteLibrary(url, token=TOKEN)._exchange)


def test_addresses_are_read() -> None:
    for written, expected in (
        ("http://127.0.0.1:8100", ServerAddress("http", "127.0.0.1", 8100)),
        ("http://localhost/", ServerAddress("http", "localhost", 80)),
        (" https://Example.org/a/b/ ", ServerAddress("https", "example.org", 443, "/a/b")),
        ("http://[::1]:81", ServerAddress("http", "::1", 81)),
    ):
        assert parse_address(written) == expected
        assert parse_address(str(expected)) == expected
    for written in ("", "localhost:8100", "ftp://a", "file:///etc/passwd", "http://", "http://a:b",
                    "http://a:99999", "http://u:p@a", "http://a?q=1", "http://a#f", "http://a b",
                    "http://a/\r\nX: y", "http://ä", "//a", "http://[::1", "unix:/x"):  # fmt: skip
        with pytest.raises(ConfigError):
            parse_address(written)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_crashes_the_reading_of_an_address(written: str) -> None:
    with contextlib.suppress(ConfigError):
        found = parse_address("http://" + written)
        assert found.host
        assert "\n" not in str(found)


def test_a_proxy_is_for_other_machines_alone(
    url: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "127.0.0.1:2")
    monkeypatch.setenv("no_proxy", "near.example")

    for own in ("http://127.0.0.1", "http://127.8.8.8", "http://[::1]", "https://localhost"):
        assert parse_address(own).proxy() is None
    assert parse_address("http://far.example").proxy() == ServerAddress("http", "127.0.0.1", 1)
    assert parse_address("https://far.example").proxy() == ServerAddress("http", "127.0.0.1", 2)
    assert parse_address("http://near.example").proxy() is None
    assert cli("search", "kitten", "--server", url, env={"MMSEARCH_TOKEN": TOKEN}).returncode == 0


# what a server may answer


class Fake:
    """A server that answers each request with the next of some bytes, then goes silent."""

    def __init__(self, *answers: bytes | Iterator[bytes]) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            for answer in self._answers:
                taken, _ = self._socket.accept()
                with taken:
                    self.requests.append(_request(taken))
                    with contextlib.suppress(OSError):
                        for piece in [answer] if isinstance(answer, bytes) else answer:
                            taken.sendall(piece)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._socket.close()
        self._thread.join(HANG_S)


def _request(taken: socket.socket) -> bytes:
    taken.settimeout(HANG_S)
    read = b""
    while b"\r\n\r\n" not in read:
        read += taken.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < length:
        body += taken.recv(65536)
    return head + b"\r\n\r\n" + body


def said(content: bytes, *, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + content


def problem(status: int, name: str, detail: str) -> bytes:
    told = {
        "type": f"urn:mmsearch:problem:{name}",
        "title": "T",
        "status": status,
        "detail": detail,
    }
    return said(json.dumps(told).encode(), status=f"{status} X", kind="application/problem+json")


NOTHING = said(write_json(build_search("x", "mini", 1.0, [])).encode())


def asked(*answers: bytes | Iterator[bytes], timeout_s: float = 10) -> tuple[Any, Fake]:
    """What a search comes to, and the server that answered it."""
    server = Fake(*answers)
    try:
        with RemoteLibrary(server.url, timeout_s=timeout_s) as library:
            return library.search("kitten"), server
    except MmsearchError as exc:
        return exc, server
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answer", "error", "expected"),
    [
        (problem(422, "bad-query", "the query is odd"), QueryError, "the query is odd"),
        (problem(422, "bad-media", "a.png: broken"), QueryError, "a.png: broken"),
        (problem(413, "too-large", "at most 1"), QueryError, "at most 1"),
        (problem(401, "no-token", "this server asks for a token"), ConfigError, "MMSEARCH_TOKEN"),
        (problem(421, "wrong-host", "another host"), ConfigError, "another host"),
        (problem(404, "not-found", "nothing is here"), ConfigError, "nothing is here"),
        (problem(429, "busy", "many wait"), StoreError, "try again"),
        (problem(503, "unavailable", "later"), StoreError, "try again"),
        (problem(500, "internal-error", "the log says more"), StoreError, "the log says more"),
        (problem(422, "bad-query", "\x1b[31mred\x07"), QueryError, "�[31mred�"),
        (said(b"[]", status="422 X", kind="application/problem+json"), StoreError, "422"),
        (said(b"<h1>hello</h1>", kind="text/html"), StoreError, "no mmsearch is served"),
        (said(b"nginx", status="502 X", kind="text/html"), StoreError, "502"),
        (said(b"{"), StoreError, "no JSON"),
        (said(b"[" * 200_000), StoreError, "no JSON"),
        (said(b"\xff\xfe"), StoreError, "no JSON"),
        (said(b"9" * 10_000), StoreError, "no JSON"),
        (said(b"{}"), StoreError, "otherwise than"),
        (said(b"[1]"), StoreError, "otherwise than"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{}",
         StoreError, "otherwise than"),
        (b"hello\r\n\r\n", StoreError, "cannot be asked"),
        (b"", StoreError, "cannot be asked"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000 + b"\r\n", StoreError, "cannot be asked"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", StoreError, "cannot be asked"),
    ],
)  # fmt: skip
def test_whatever_a_server_answers_is_an_error_in_words(
    answer: bytes, error: type[MmsearchError], expected: str
) -> None:
    found, _ = asked(answer)

    assert type(found) is error
    assert expected in str(found)
    assert len(str(found)) < 3_000


def test_a_redirect_is_not_followed() -> None:
    elsewhere = Fake(NOTHING)
    head = f"HTTP/1.1 307 X\r\nLocation: {elsewhere.url}/v1/search\r\nContent-Length: 0\r\n\r\n"
    found, _ = asked(head.encode())
    elsewhere.close()

    assert isinstance(found, StoreError)
    assert "not followed" in str(found)
    assert elsewhere.requests == []


def test_an_answer_without_end_is_left() -> None:
    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        while True:
            yield b" " * (1 << 20)

    found, _ = asked(endless())

    assert isinstance(found, StoreError)
    assert f"{ANSWER_BYTES:,}" in str(found)


def test_an_answer_that_drips_is_left() -> None:
    def dripping() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        while True:
            time.sleep(0.05)
            yield b" "

    began = time.monotonic()
    found, _ = asked(dripping(), timeout_s=0.5)

    assert "does not answer in 0.5 s" in str(found)
    assert time.monotonic() - began < HANG_S


def test_what_is_asked_goes_as_json_without_files() -> None:
    server = Fake(NOTHING)
    with RemoteLibrary(server.url, token=TOKEN) as library:
        found = library.search(
            queries.parse(["+2:cat", "-dog", "asset:" + "0" * 32]),
            limit=3, kinds=["image"], where="ext = jpg", min_score=0,
            ranking=Ranking(words=False, dedupe=False),
        )  # fmt: skip
    server.close()
    head, _, body = server.requests[0].partition(b"\r\n\r\n")

    assert found == []
    assert library.preset == "mini"
    assert head.startswith(b"POST /v1/search HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}".encode() in head
    assert json.loads(body) == {
        "terms": [{"text": "cat", "weight": 2.0}, {"asset": "0" * 32, "weight": 1.0}],
        "not": [{"text": "dog", "weight": 1.0}],
        "limit": 3, "kinds": ["image"], "in": [], "without": [], "where": "ext = jpg",
        "min_score": 0, "group": True, "dedupe": False, "ranking": "fusion=calibrated,words=off",
        "explain": False,
    }  # fmt: skip


def test_a_file_that_the_server_has_is_not_sent(samples: Path) -> None:
    known = said(json.dumps({"id": "0" * 32, "kind": "image"}).encode())
    server = Fake(known, NOTHING)
    with RemoteLibrary(server.url) as library:
        library.similar(samples / "photos/beach.jpg")
    server.close()
    asset, search = server.requests

    assert asset.startswith(b"GET /v1/assets/")
    assert json.loads(search.partition(b"\r\n\r\n")[2])["terms"][0]["asset"] in asset.decode()
    assert len(search) < 2_000


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(samples: Path) -> None:
    known = said(json.dumps({"id": "0" * 32, "kind": "image"}).encode())
    server = Fake(known.replace(b"Connection: close\r\n", b""), NOTHING)
    with RemoteLibrary(server.url) as library:
        assert library.similar(samples / "photos/beach.jpg") == []
    server.close()

    assert len(server.requests) == 2


# JSON back into values


@pytest.fixture(scope="module")
def hits(small_library: Path) -> list[Hit]:
    with Library.open(small_library, create=False) as library:
        found = library.search("ask not what your country can do, kitten", limit=12, min_score=0)
    assert {"image", "audio", "video"} <= {hit.kind.value for hit in found}
    return found


def test_hits_come_back_as_they_were_told(hits: list[Hit]) -> None:
    told = json.loads(write_json(build_search("q", "mini", 1.0, hits)))
    found = parsing.read_hits(told)

    assert write_json(build_search("q", "mini", 1.0, found)) == json.dumps(told, ensure_ascii=False)
    assert len(found) == len(hits) > 5
    for one, other in zip(found, hits, strict=True):
        assert one.kind is other.kind
        assert one.asset.indexed_at == other.asset.indexed_at
        assert one.segment.id == other.segment.id
        assert isinstance(one.kind, Modality)


def test_details_make_a_hit_whole(url: str, hits: list[Hit]) -> None:
    with RemoteLibrary(url, token=TOKEN, explains=True, has_details=True) as library:
        found = library.search("ask not what your country can do, kitten", limit=12, min_score=0)

    assert [hit.asset for hit in found] == [hit.asset for hit in hits]
    assert [hit.segment.tags for hit in found] == [
        tuple(
            dataclasses.replace(tag, probability=round(tag.probability, 4))
            for tag in hit.segment.tags
        )
        for hit in hits
    ]
    assert any(hit.segment.tags for hit in found)
    for one, other in zip(found, hits, strict=True):
        for name, space in one.spaces.items():
            assert space.similarity == pytest.approx(other.spaces[name].similarity, abs=1e-4)


def test_retrievers_take_a_server_for_a_library(
    url: str, small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    langchain = pytest.importorskip("mmsearch.integrations.langchain", exc_type=MissingExtra)
    monkeypatch.setenv("MMSEARCH_TOKEN", TOKEN)
    there = langchain.MmsearchRetriever(library=url, min_score=0).invoke("country")
    here = langchain.MmsearchRetriever(library=small_library, min_score=0).invoke("country")

    assert len(here) > 5
    assert there == here


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)  # of the machine, not of what is tested
@given(data=st.data())
def test_any_change_to_an_answer_is_understood_or_refused(
    hits: list[Hit], data: st.DataObject
) -> None:
    told = json.loads(write_json(build_search("q", "mini", 1.0, hits[:3])))
    at: Any = told
    while True:
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        deeper = at[key]
        if not (isinstance(deeper, dict | list) and deeper) or data.draw(st.booleans()):
            break
        at = deeper
    at[key] = data.draw(JSON)

    with contextlib.suppress(JsonShapeError):
        found = parsing.read_hits(told)
        assert write_json(build_search("q", parsing.read_preset(told), 1.0, found))


def test_halves_of_characters_become_whole(hits: list[Hit]) -> None:
    told = json.loads(write_json(build_search("q", "mini", 1.0, hits[:1])))
    told["hits"][0]["path"] = "/a/\ud800.jpg"

    (found,) = parsing.read_hits(told)

    io.BytesIO().write(found.path.encode())
