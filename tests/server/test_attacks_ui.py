"""`mmsearch ui` answers to its own page alone, also on its websocket, and to this machine alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.server.hostile_clients import Served, read_reply, receive, serving

pytest.importorskip("streamlit")

PATHS = ("/", "/_stcore/health", "/_stcore/host-config", "/mm/assets/x/media", "/nothing")
SECRET = b"root:x:0:0"


@pytest.fixture(scope="module")
def ui(small_library: Path) -> Iterator[Served]:
    command = [sys.executable, "-m", "mmsearch", "ui", "--no-browser", "--port", "0", "--library"]
    with serving([*command, str(small_library)]) as served:
        yield served
        assert served.ask("/_stcore/health").status == 200
        assert served.stop() == 0


def upgrade(*headers: tuple[str, str]) -> list[tuple[str, str]]:
    return [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        *headers,
    ]


def test_no_page_answers_to_another_name(ui: Served) -> None:
    for path in PATHS:
        assert ui.ask(path, host=f"evil.example:{ui.port}").status == 421, path
    assert ui.ask("/").status == 200


def test_no_page_of_another_site_gets_anything(ui: Served) -> None:
    for path in PATHS:
        for origin in ("http://evil.example", "null", "http://localhost:3000"):
            reply = ui.ask(path, headers=[("Origin", origin)])
            assert reply.status == 403, (path, origin)
            assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", None),
        ("http://localhost:3000", None),
        ("null", None),
        ("http://evil.example", "evil.example"),
    ],
)
def test_the_websocket_opens_for_no_other_page(ui: Served, origin: str, host: str | None) -> None:
    reply = ui.ask("/_stcore/stream", headers=upgrade(("Origin", origin)), host=host)

    assert reply.status in (403, 421)


def test_the_websocket_opens_for_the_own_page(ui: Served) -> None:
    with ui.connect() as client:
        own = ("Origin", f"http://{ui.name}")
        client.sendall(ui.request("/_stcore/stream", headers=upgrade(own)))
        assert receive(client).startswith(b"HTTP/1.1 101 ")


def test_paths_lead_to_no_file(ui: Served) -> None:
    for path in (
        "/mm/assets/..%2f..%2f..%2fetc%2fpasswd/media", "/mm/assets/../../../etc/passwd",
        "/static/../../../../../etc/passwd", "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/media/../../etc/passwd", "/component/..%2f..%2fetc/passwd", "/app/static/%2e%2e/x",
        "/_stcore/bidi-components/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/%00",
    ):  # fmt: skip
        with ui.connect() as client:
            client.sendall(ui.request(path))
            reply = read_reply(client)
        assert SECRET not in reply.body, path
        assert reply.status < 500, path


def test_it_listens_for_nobody_else(cli: Cli, small_library: Path) -> None:
    for host in ("0.0.0.0", "::"):
        ran = cli("ui", "--no-browser", "--host", host, "--port", "0", "--library", small_library)
        assert ran.returncode == 1
        assert b"http://" not in ran.stdout
        assert b"others can reach" in ran.stderr
