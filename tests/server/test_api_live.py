"""The API as a server: many clients, clients that leave, work that takes too long, the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mmsearch.library.examples import Decoding
from mmsearch.library.library import Library
from mmsearch.media.isolation import CancelledError
from mmsearch.query.algebra import Query
from mmsearch.serialization.answers import build_hit
from mmsearch.serialization.json_format import write_json
from mmsearch.server.http.app import create_app
from tests.fakes import FakeEncoders, fake_library, write_picture, write_text
from tests.patience import HANG_S, wait_until
from tests.server.live import command, problem, served, settings_of

QUERIES = ("red", "green lamp", "blue door", "red house by the sea", "window", "a lamp")
CLIENTS = 64


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("live")
    for colour in ("red", "green", "blue"):
        write_picture(folder / "files" / f"{colour}.png", colour)
        for thing in ("door", "window", "lamp", "house by the sea"):
            write_text(folder / "files" / f"{colour} {thing}.txt", f"a {colour} {thing}")
    with fake_library(folder / "library") as opened:
        opened.index(folder / "files")
        yield opened


def ask(url: str, query: str, client: httpx.Client | None = None) -> httpx.Response:
    asked = {"query": query, "min_score": 0}
    if client is not None:
        return client.post(f"{url}/v1/search", json=asked, timeout=HANG_S)
    return httpx.post(f"{url}/v1/search", json=asked, timeout=HANG_S)


def flood(url: str, each: int) -> list[tuple[str, httpx.Response]]:
    """So many searches of each of 64 clients, all at once."""
    start = threading.Barrier(CLIENTS)

    def run(number: int) -> list[tuple[str, httpx.Response]]:
        with httpx.Client(verify=False) as client:  # certificates take a while to load
            start.wait(HANG_S)
            queries = [QUERIES[(number + at) % len(QUERIES)] for at in range(each)]
            return [(query, ask(url, query, client)) for query in queries]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [one for listed in pool.map(run, range(CLIENTS)) for one in listed]


@pytest.mark.slow
def test_64_clients_get_the_answers_of_the_library(library: Library) -> None:
    wanted = {
        query: [
            json.loads(write_json(build_hit(hit))) for hit in library.search(query, min_score=0)
        ]
        for query in QUERIES
    }
    with served(create_app(settings_of(library), library)) as url:
        answers = flood(url, 4)
    assert Counter(answer.status_code for _, answer in answers) == {200: 4 * CLIENTS}
    for query, answer in answers:
        got = [hit | dict.fromkeys(("x",)) for hit in answer.json()["hits"]]
        for hit, expected in zip(got, wanted[query], strict=True):
            assert hit.items() >= expected.items()


def test_a_full_queue_is_told_and_nothing_else_goes_wrong(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Library.search

    def slowly(self: Library, *args: Any, **named: Any) -> Any:
        time.sleep(0.05)
        return search(self, *args, **named)

    monkeypatch.setattr(Library, "search", slowly)
    app = create_app(settings_of(library, threads=2, queue=4), library)
    with served(app) as url:
        answers = flood(url, 2)
        metrics = httpx.get(f"{url}/metrics").text
    counts = Counter(answer.status_code for _, answer in answers)
    assert set(counts) == {200, 429}
    assert counts[200] >= 6
    assert f'mmsearch_refused_total{{reason="full"}} {counts[429]}.0' in metrics
    for _, answer in answers:
        if answer.status_code == 429:
            told = problem(answer, 429, "busy")
            assert int(answer.headers["retry-after"]) == told["retry_after_s"] >= 1


def test_a_search_that_takes_too_long_is_given_up(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()

    def endless(self: Library, query: Query, *, decoding: Decoding, **named: Any) -> Any:
        while not decoding.is_stopped():
            time.sleep(0.005)
        given_up.set()
        raise CancelledError

    monkeypatch.setattr(Library, "search", endless)
    app = create_app(settings_of(library, threads=1, timeout_s=0.3), library)
    with served(app) as url, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ask(url, "red"), range(2)))
    assert given_up.is_set()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[-1] == 504  # at work
    assert statuses[0] in (503, 504)  # waiting, or begun when the first was given up
    problem(next(answer for answer in answers if answer.status_code == 504), 504, "too-slow")


def test_nothing_is_done_for_a_client_that_has_left(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopped = threading.Event(), threading.Event()
    queries: list[str] = []

    def watched(self: Library, query: Query, *, decoding: Decoding, **named: Any) -> Any:
        queries.append(str(query))
        begun.set()
        while not decoding.is_stopped():
            time.sleep(0.005)
        stopped.set()
        raise CancelledError

    monkeypatch.setattr(Library, "search", watched)
    app = create_app(settings_of(library, threads=1, timeout_s=HANG_S), library)
    with served(app) as url:
        host, port = url.removeprefix("http://").split(":")
        connections = []
        for name in ("first", "second"):
            body = json.dumps({"query": name}).encode()
            head = (
                f"POST /v1/search HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            connection = socket.create_connection((host, int(port)))
            connection.sendall(head.encode() + body)
            connections.append(connection)
            assert begun.wait(HANG_S)
        wait_until(lambda: app.state.backend.quick.pending_count == 2)
        for connection in connections:
            connection.close()
        assert stopped.wait(HANG_S)
        wait_until(lambda: app.state.backend.quick.pending_count == 0)
    assert queries == ["first"]


def test_files_are_deleted_when_a_client_leaves_in_the_middle(library: Library) -> None:
    app = create_app(settings_of(library), library)
    with served(app) as url:
        host, port = url.removeprefix("http://").split(":")
        folder = Path(app.state.backend._spool.path)
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                f"POST /v1/search HTTP/1.1\r\nHost: {host}\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 900000\r\n\r\n"
                '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
                + b"a" * 400_000
            )
            wait_until(lambda: list(folder.rglob("upload-0")))
        wait_until(lambda: not list(folder.iterdir()))
    assert not folder.exists()


def test_slow_work_keeps_no_search_waiting(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(Library, "status", lambda self: release.wait(HANG_S))
    app = create_app(settings_of(library, threads=1), library)
    with served(app) as url, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(httpx.get, f"{url}/v1/status", timeout=HANG_S)
        wait_until(lambda: app.state.backend.slow.pending_count)
        assert ask(url, "red").status_code == 200
        assert not slow.done()
        release.set()
        slow.result()


def test_what_is_indexed_meanwhile_is_found(tmp_path: Path) -> None:
    write_text(tmp_path / "files" / "a.txt", "a red lamp")
    with fake_library(tmp_path / "library") as opened:
        opened.index(tmp_path / "files")
        with served(create_app(settings_of(opened), opened)) as url, httpx.Client() as client:
            assert ask(url, "lamp", client).json()["total"] == 1
            write_text(tmp_path / "files" / "b.txt", "a green lamp")
            with fake_library(tmp_path / "library", FakeEncoders()) as other:
                other.index(tmp_path / "files")
            assert ask(url, "lamp", client).json()["total"] == 2


def test_the_command_serves_until_it_is_told_to_stop(small_library: Path) -> None:
    with command(small_library) as (url, process):
        assert httpx.get(f"{url}/readyz").status_code == 200
        told = httpx.post(f"{url}/v1/search", json={"query": "beach", "limit": 1}).json()
        assert told["hits"][0]["path"].endswith("beach.jpg")
        headers = httpx.get(f"{url}/v1/status").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert httpx.get(f"{url}/v1/status", headers={"Host": "evil.example"}).status_code == 421
        assert (
            httpx.post(f"{url}/v1/index", json={"paths": [str(small_library)]}).status_code == 403
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_what_is_being_answered_is_answered_before_the_end(small_library: Path) -> None:
    with command(small_library, "--timeout", "60") as (url, process), ThreadPoolExecutor(8) as pool:
        # Whisper takes a while over them.
        sound = (Path(__file__).parents[2] / "sample_data/recordings").glob("*.flac")
        content = max(sound, key=lambda one: one.stat().st_size).read_bytes() + b"\0"
        files = {"request": (None, "{}", "application/json"), "file": ("a.flac", content)}
        answer = pool.submit(httpx.post, f"{url}/v1/search", files=files, timeout=HANG_S)
        wait_until(
            lambda: (
                "mmsearch_requests_in_flight 2.0" in httpx.get(f"{url}/metrics").text
                or answer.done()
            )
        )
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert answer.result().status_code in (200, 503)
        assert process.wait(HANG_S) == 0


def test_a_token_is_asked_of_all_but_the_probes(small_library: Path) -> None:
    token = "correct-horse-battery"
    with command(small_library, env={"MMSEARCH_TOKEN": token}) as (url, _):
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/v1/status").status_code == 401
        assert httpx.get(f"{url}/openapi.json").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        document = httpx.get(f"{url}/openapi.json", headers=headers).json()
        assert document["paths"]["/v1/search"]["post"]["security"]
        answer = httpx.post(f"{url}/v1/search", json={"query": "beach"}, headers=headers)
        assert answer.status_code == 200


@pytest.mark.slow
def test_a_client_may_index_below_the_roots(tmp_path: Path) -> None:
    write_text(tmp_path / "root" / "a.txt", "a lighthouse on a rock in the sea")
    write_text(tmp_path / "other" / "b.txt", "a secret")
    with command(tmp_path / "library", "--allow-write", "--root", str(tmp_path / "root")) as (
        url,
        _,
    ):
        told = httpx.post(f"{url}/v1/search", json={"query": "lighthouse"}).json()
        assert told["hint"].startswith("the library is empty")
        outside = httpx.post(f"{url}/v1/index", json={"paths": [str(tmp_path / "other")]})
        problem(outside, 403, "outside-roots")
        job = httpx.post(f"{url}/v1/index", json={"paths": [str(tmp_path / "root")]}).json()
        wait_until(lambda: httpx.get(url + job["url"]).json()["state"] in ("done", "failed"))
        assert httpx.get(url + job["url"]).json()["counts"]["indexed"] == 1
        told = httpx.post(f"{url}/v1/search", json={"query": "lighthouse"}).json()
        assert [Path(hit["path"]).name for hit in told["hits"]] == ["a.txt"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--library", "nowhere"], "no library"),
        (["--host", "0.0.0.0"], "--token-file"),
        (["--allow-write"], "--root"),
        (["--root", "."], "--allow-write"),
        (["--allow-write", "--root", "nowhere"], "nowhere"),
        (["--token-file", "nowhere"], "nowhere"),
        (["--max-upload", "much"], "no size"),
    ],
)
def test_the_command_says_what_is_wrong(
    small_library: Path, arguments: list[str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mmsearch", "serve", "--library", str(small_library), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ,
    )
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_packages_the_command_says_how_to_get_them(small_library: Path) -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None; from mmsearch.cli.app import main; "
        f"sys.argv = ['mmsearch', 'serve', '--library', {str(small_library)!r}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "pip install 'mmsearch[server]'" in done.stderr
