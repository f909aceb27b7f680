"""`mmsearch serve` under attack: nothing is served that should not be, and it stays up."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsearch.library.library import Library
from tests.fakes import write_text
from tests.patience import HANG_S
from tests.server.hostile_clients import Reply, Served, is_closed_within, read_reply, serving

MB = 1024**2
TOKEN = "correct-horse-battery"
SEARCH = json.dumps({"query": "lighthouse", "limit": 3, "min_score": 0}).encode()
IS_JSON = ("Content-Type", "application/json")
SECRET = "root:x:0:0"


def served(library: Path, *options: str | Path) -> list[str]:
    return [sys.executable, "-m", "mmsearch", "serve", "--json", "--port", "0", "--library",
            str(library), *map(str, options)]  # fmt: skip


@pytest.fixture(scope="module")
def server(small_library: Path) -> Iterator[Served]:
    with serving(served(small_library)) as server:
        yield server
        assert search(server).status == 200  # after all of it
        assert server.stop() == 0


def search(server: Served, **options: Any) -> Reply:
    headers = [IS_JSON, *options.pop("headers", [])]
    return server.ask("/v1/search", method="POST", body=SEARCH, headers=headers, **options)


@pytest.fixture(scope="module")
def described(server: Served) -> dict[str, Any]:
    found: dict[str, Any] = server.ask("/openapi.json").json()["paths"]
    return found


@pytest.fixture(scope="module")
def asset_id(server: Served) -> str:
    return str(search(server).json()["hits"][0]["asset_id"])


def operations(described: dict[str, Any]) -> list[tuple[str, str]]:
    return [(method.upper(), path) for path, found in described.items() for method in found]


def test_no_route_answers_to_another_name(server: Served, described: dict[str, Any]) -> None:
    assert len(operations(described)) >= 10
    for method, path in [*operations(described), ("GET", "/metrics"), ("GET", "/nothing")]:
        for host in ("evil.example", f"evil.example:{server.port}", f"127.0.0.1.x:{server.port}"):
            assert server.ask(path, method=method, host=host).status == 421, (method, path)


def test_no_route_answers_to_a_page_of_another_site(
    server: Served, described: dict[str, Any]
) -> None:
    for method, path in operations(described):
        for origin in ("http://evil.example", "null", "http://localhost:3000"):
            reply = server.ask(path, method=method, headers=[("Origin", origin)])
            assert reply.status == 403, (method, path)
            assert not [name for name in reply.headers if name.startswith("access-control")]


TRAVERSALS = (
    "..", "../../../../etc/passwd", "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd", "%2fetc%2fpasswd", "//etc/passwd", "..\\..\\etc\\passwd",
    "%c0%ae%c0%ae%c0%afetc%c0%afpasswd", "/etc/passwd%00.jpg", "file:%2f%2f%2fetc%2fpasswd", "%00",
    "....//....//etc/passwd", "~", "*", "'%20OR%20'1'%3d'1", "0%20OR%201=1", "{asset_id}%2f..",
    "%0d%0aX-Injected:%201", "http:%2f%2f169.254.169.254%2f",
)  # fmt: skip


def test_no_path_parameter_leads_out_of_the_library(
    server: Served, described: dict[str, Any], asset_id: str
) -> None:
    with_parameters = [(method, path) for method, path in operations(described) if "{" in path]
    assert len({path for _, path in with_parameters}) >= 5
    for (method, path), value in itertools.product(with_parameters, TRAVERSALS):
        hostile = value.replace("{asset_id}", asset_id)
        before, _, rest = path.partition("{")
        reply = server.ask(before + hostile + rest.partition("}")[2], method=method)
        assert reply.status in (307, 400, 403, 404, 405, 414, 422), (method, path, value)
        assert SECRET.encode() not in reply.body
        assert "x-injected" not in reply.headers


def test_no_query_parameter_names_a_file(server: Served, asset_id: str) -> None:
    for path in ("thumbnail", "media"):
        for name in ("path", "file", "url", "asset_id", "t", "page", "px", "kind", "download"):
            reply = server.ask(f"/v1/assets/{asset_id}/{path}?{name}=../../../../etc/passwd")
            assert SECRET.encode() not in reply.body
            assert reply.status in (200, 404, 415, 422)


@pytest.mark.parametrize(
    "asked",
    [
        {"query": "/etc/passwd"}, {"query": "./../../../../etc/passwd"}, {"query": "file:///etc/passwd"},
        {"query": "+/etc/passwd -x"}, {"terms": [{"text": "/etc/passwd"}]},
    ],
)  # fmt: skip
def test_a_query_reads_no_file(server: Served, asked: dict[str, Any]) -> None:
    body = json.dumps({**asked, "min_score": 0}).encode()
    reply = server.ask("/v1/search", method="POST", body=body, headers=[IS_JSON])

    assert reply.status in (200, 422)
    assert SECRET.encode() not in reply.body


def test_pictures_are_never_fetched(server: Served) -> None:
    """A listener would be called, were a URL of a request ever followed."""
    with serving([sys.executable, "-m", "tests.server.plain_server", "{}"]) as other:
        address = f"http://{other.name}/hello"
        for body in (
            {"model": "image", "input": address},
            {"model": "image", "input": [address]},
        ):
            reply = server.ask(
                "/v1/embeddings", method="POST", body=json.dumps(body).encode(), headers=[IS_JSON]
            )
            assert reply.status in (200, 400, 404, 422)  # taken for words, at the most
        assert other.ask("/refused").json() == {}


def test_two_hundred_half_requests_leave_searches_alone(server: Served) -> None:
    clients = [server.connect() for _ in range(200)]
    for client in clients:
        client.sendall(b"POST /v1/search HTTP/1.1\r\nHost: " + server.name.encode() + b"\r\nX: ")
    for _ in range(20):
        assert search(server).status == 200
        time.sleep(0.05)
    for client in clients:
        client.close()


@pytest.mark.slow
def test_half_requests_are_cut_after_ten_seconds(server: Served) -> None:
    with server.connect() as head:
        head.sendall(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        assert is_closed_within(head, HANG_S)
        assert time.monotonic() - began > 8
    with server.connect() as body:
        headers = [IS_JSON, ("Content-Length", "9")]
        body.sendall(server.request("/v1/search", method="POST", headers=headers))
        assert not is_closed_within(body, 4)  # it has a minute


def test_endless_bodies_are_cut_on_every_route_that_reads_one(
    server: Served, described: dict[str, Any]
) -> None:
    """More than a request may have; of what is read, JSON has a limit of its own."""
    chunk = b"100000\r\n" + b" " * MB + b"\r\n"
    before = server.memory_bytes()
    paths = [path for path, found in described.items() if "post" in found]
    assert {"/v1/search", "/v1/embeddings", "/v1/index"} <= set(paths)
    for path in paths:
        with server.connect() as client:
            headers = [IS_JSON, ("Transfer-Encoding", "chunked")]
            client.sendall(server.request(path, method="POST", headers=headers))
            client.settimeout(10)
            sent = 0
            try:
                while sent < 200:
                    client.sendall(chunk)
                    sent += 1
            except (ConnectionError, TimeoutError):
                pass
            assert sent < 200, path
            assert read_reply(client).status in (0, 403, 413), path
    assert server.memory_bytes() - before < 100 * MB


def test_an_upload_that_is_too_large_is_refused_and_leaves_nothing(
    small_library: Path, tmp_path: Path
) -> None:
    options = served(small_library, "--max-upload", "1MB")
    with serving(options, env={"TMPDIR": str(tmp_path)}) as server:
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'
        headers = [("Content-Type", "multipart/form-data; boundary=b")]
        body = part + b"\xff\xd8" + b"x" * 2 * MB + b"\r\n--b--\r\n"
        reply = server.ask("/v1/search", method="POST", body=body, headers=headers)
        assert reply.status == 413
        (folder,) = tmp_path.glob("mmsearch-uploads-*/files")
        assert list(folder.iterdir()) == []
        assert server.stop() == 0
        assert not folder.parent.exists()


HOSTILE_PER_FOLDER = 7


@pytest.mark.slow
def test_hostile_files_as_queries_break_nothing(server: Served, data: Path) -> None:
    files: list[Path] = []
    for folder in sorted((data / "hostile").iterdir()):
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        files += found[:: max(1, len(found) // HOSTILE_PER_FOLDER)][:HOSTILE_PER_FOLDER]
    assert len(files) >= 20
    before = server.memory_bytes()
    for file in files:
        name = os.fsencode(file.name).replace(b'"', b"")
        body = (
            b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n{"min_score": 0}\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n'
            + file.read_bytes() + b"\r\n--b--\r\n"
        )  # fmt: skip
        headers = [("Content-Type", "multipart/form-data; boundary=b")]
        reply = server.ask("/v1/search", method="POST", body=body, headers=headers, timeout_s=60)
        assert reply.status in (200, 413, 422, 429, 503, 504), (file, reply)
        assert str(file.parent).encode() not in reply.body
    assert search(server).status == 200
    assert server.memory_bytes() - before < 300 * MB


def test_with_a_token_every_route_asks_for_it(small_library: Path, tmp_path: Path) -> None:
    file = write_text(tmp_path / "token", TOKEN)
    file.chmod(0o600)
    with serving(served(small_library, "--token-file", file)) as server:
        assert server.ask("/healthz").status == 200
        assert server.ask("/readyz").status in (200, 503)
        right = ("Authorization", f"Bearer {TOKEN}")
        paths = server.ask("/openapi.json", headers=[right]).json()["paths"]
        for method, path in [*operations(paths), ("GET", "/metrics"), ("GET", "/openapi.json")]:
            if path in ("/healthz", "/readyz"):
                continue
            for asked in (path, f"{path}?token={TOKEN}"):
                reply = server.ask(asked, method=method)
                assert reply.status == 401, (method, path)
                assert reply.headers["www-authenticate"].startswith("Bearer")
        assert search(server, headers=[right]).status == 200
        assert server.ask(headers=[("Authorization", "Bearer wrong")]).status == 401
        figures = server.ask("/metrics", headers=[right]).body.decode()
        assert 'mmsearch_refused_total{reason="wrong-token"} 1.0' in figures
        assert TOKEN not in figures


def test_links_out_of_a_root_are_not_indexed(small_library: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(small_library, library)
    root = tmp_path / "root"
    write_text(root / "inside.txt", "A lantern in the window.")
    secret = write_text(tmp_path / "outside" / "secret.txt", "The combination of the safe is 1234.")
    (root / "folder").symlink_to(secret.parent)
    (root / "file.txt").symlink_to(secret)
    (root / "etc").symlink_to("/etc")

    def index(server: Served, path: Path | str) -> Reply:
        body = json.dumps({"paths": [str(path)]}).encode()
        return server.ask("/v1/index", method="POST", body=body, headers=[IS_JSON])

    with serving(served(library)) as server:
        assert index(server, root).status == 403  # nobody allowed it

    with serving(served(library, "--allow-write", "--root", root)) as server:
        for path in (
            root / "folder", root / "file.txt", root / "etc" / "passwd", root / ".." / "outside",
            secret, "/", "/etc", tmp_path, "..", "~", f"{root}/../outside/secret.txt", f"{root}2",
        ):  # fmt: skip
            reply = index(server, path)
            # What is no absolute path is not even looked at.
            is_absolute = str(path).startswith("/")
            assert reply.status == (403 if is_absolute else 422), path
            name = "outside-roots" if is_absolute else "invalid-request"
            assert reply.json()["type"].endswith(f":{name}")
        assert server.ask("/v1/jobs").json() == {"jobs": []}
        started = index(server, root)
        assert started.status == 202, started.body
        deadline = time.monotonic() + HANG_S
        while (job := server.ask(started.json()["url"]).json())["state"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert job["state"] == "done", job
        assert job["counts"]["indexed"] == 1

    with Library.open(library, create=False) as opened:
        found = [
            hit.path for hit in opened.search("combination of the safe", min_score=0, limit=50)
        ]
    assert str(root / "inside.txt") in found
    assert not [path for path in found if "secret" in path or path.startswith("/etc")]
