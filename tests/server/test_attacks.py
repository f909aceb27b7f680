"""Clients that misbehave are cut off, and the others are answered all the while."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mmsearch.errors import ConfigError
from mmsearch.server.guard.runner import bind
from mmsearch.server.guard.tokens import GUESSES_AT_ONCE
from tests.patience import HANG_S, wait_until
from tests.server.hostile_clients import (
    ROOT,
    Served,
    is_closed_within,
    plain,
    read_reply,
    receive,
    serving,
)

TOKEN = "correct-horse-battery"
MB = 1024**2
HASTY = {"head_s": 1.0, "body_s": 1.0, "drain_s": 0.5, "idle_s": 1, "stall_s": 1.0, "stop_s": 2}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """With short deadlines, so that tests need not wait for them."""
    with serving(plain(limits={**HASTY, "connections": 300})) as served:
        yield served
        assert served.ask().status == 200  # after all of it


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "10.0.0.1", "127.0.0.1.nip.io"]
)
def test_a_name_that_dns_led_here_is_not_answered_to(server: Served, host: str) -> None:
    reply = server.ask(host=f"{host}:{server.port}" if ":" not in host else host)

    assert reply.status == 421
    assert b"hello" not in reply.body


def test_a_request_without_a_host_or_with_two_is_refused(server: Served) -> None:
    for head in (
        b"GET /hello HTTP/1.1\r\n\r\n",
        b"GET /hello HTTP/1.0\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: %b\r\nHost: evil\r\n\r\n" % server.name.encode(),
        b"GET /hello HTTP/1.1\r\nHost : %b\r\n\r\n" % server.name.encode(),
        b"GET http://%b/hello HTTP/1.1\r\nHost: evil\r\n\r\n" % server.name.encode(),
        b"GET http://evil/hello HTTP/1.1\r\nHost: %b\r\n\r\n" % server.name.encode(),
    ):
        with server.connect() as client:
            client.sendall(head)
            assert read_reply(client).status in (400, 421), head


def test_a_page_of_another_site_gets_nothing(server: Served) -> None:
    cross = [("Origin", "http://evil.example")]
    for method, path in (("POST", "/echo"), ("GET", "/hello"), ("OPTIONS", "/echo")):
        reply = server.ask(path, method=method, headers=cross)
        assert reply.status == 403
        assert not [name for name in reply.headers if name.startswith("access-control")]
    assert server.ask(headers=[("Sec-Fetch-Site", "cross-site")]).status == 403
    assert server.ask(headers=[("Origin", f"http://{server.name}")]).status == 200


def upgrade(*headers: tuple[str, str]) -> list[tuple[str, str]]:
    return [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        *headers,
    ]


def test_websockets_open_for_the_own_page_alone(server: Served) -> None:
    own = [("Origin", f"http://{server.name}")]
    with server.connect() as client:
        client.sendall(server.request("/socket", headers=upgrade(*own)))
        assert receive(client).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"\x81\x82\x00\x00\x00\x00hi")
        assert receive(client) == b"\x81\x02HI"
    assert server.ask("/socket", headers=upgrade(("Origin", "http://evil.example"))).status == 403
    assert server.ask("/socket", headers=upgrade(), host="evil.example").status == 421


def test_a_websocket_outlives_the_deadlines_of_requests(server: Served) -> None:
    with server.connect() as client:
        client.sendall(server.request("/socket", headers=upgrade()))
        assert receive(client).startswith(b"HTTP/1.1 101 ")
        assert not is_closed_within(client, 2.5)
        client.settimeout(HANG_S)
        client.sendall(b"\x81\x82\x00\x00\x00\x00hi")
        assert receive(client) == b"\x81\x02HI"


def test_guessing_tokens_is_slow_and_disturbs_nobody() -> None:
    """A hundred guesses at once; whoever has the token is answered meanwhile from elsewhere."""
    with serving(plain(token=TOKEN)) as server:
        assert server.ask().status == 401
        assert server.ask(f"/hello?token={TOKEN}").status == 401
        clients = [server.connect() for _ in range(100)]
        began = time.monotonic()
        for number, client in enumerate(clients):
            client.sendall(server.request(headers=[("Authorization", f"Bearer {number:020}")]))
        elsewhere = socket.create_connection(
            ("127.0.0.1", server.port), HANG_S, source_address=("127.0.0.9", 0)
        )
        with elsewhere:
            elsewhere.sendall(server.request(headers=[("Authorization", f"Bearer {TOKEN}")]))
            assert read_reply(elsewhere).status == 200
        statuses = [read_reply(client).status for client in clients]
        took_s = time.monotonic() - began
        for client in clients:
            client.close()

        assert statuses.count(401) == GUESSES_AT_ONCE
        assert statuses.count(429) == 100 - GUESSES_AT_ONCE
        assert took_s >= 0.9
        assert server.ask(headers=[("Authorization", f"Bearer {TOKEN}")]).status == 200


def test_two_hundred_half_requests_are_cut_and_others_are_answered(server: Served) -> None:
    """Slow-loris: a head that never ends, a byte now and then."""
    half = server.request()[:-2] + b"X-Slow: "
    clients = [server.connect() for _ in range(200)]
    for client in clients:
        client.sendall(half)
    for _ in range(10):
        for client in clients[:20]:
            try:
                client.sendall(b"a")
            except ConnectionError:
                continue
        assert server.ask().status == 200
        time.sleep(0.1)

    assert all(is_closed_within(client, HANG_S) for client in clients)
    for client in clients:
        client.close()


@pytest.mark.parametrize("head", [b"", b"G", b"GET /hello HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_must_come_in_time(server: Served, head: bytes) -> None:
    with server.connect() as client:
        client.sendall(head)
        began = time.monotonic()
        assert is_closed_within(client, HANG_S)
        assert time.monotonic() - began > 0.5


def test_a_second_head_must_come_in_time_too(server: Served) -> None:
    with server.connect() as client:
        client.sendall(server.request())
        assert read_reply(client).status == 200
        client.sendall(b"GET ")
        began = time.monotonic()
        reply = read_reply(client)
        assert reply.status == 408
        assert time.monotonic() - began > 0.5


def test_a_body_must_come_in_time(server: Served) -> None:
    with server.connect() as client:
        headers = [("Content-Length", "1000")]
        client.sendall(server.request("/echo", method="POST", headers=headers) + b"x")
        reply = read_reply(client)
    assert reply.status == 408
    assert reply.json()["type"] == "urn:mmsearch:problem:slow-request"


def test_a_body_that_trickles_is_cut_as_well(server: Served) -> None:
    with server.connect() as client:
        headers = [("Transfer-Encoding", "chunked")]
        client.sendall(server.request("/echo", method="POST", headers=headers))
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < HANG_S:
                client.sendall(b"1\r\nx\r\n")
                time.sleep(0.05)
        assert 0.5 < time.monotonic() - began < HANG_S


def test_a_body_that_is_large_and_steady_may_take_its_time() -> None:
    limits = {**HASTY, "body_bytes_per_s": 60_000 / HANG_S}
    with serving(plain(limits=limits, max_body_bytes=MB)) as server, server.connect() as client:
        headers = [("Content-Length", "60000")]
        client.sendall(server.request("/echo", method="POST", headers=headers))
        for _ in range(30):  # 3 s, of which one is given and the others are earned
            client.sendall(b"x" * 2000)
            time.sleep(0.1)
        assert read_reply(client).json() == {"bytes": 60000}


def test_an_application_that_is_slow_is_not_the_fault_of_the_client(server: Served) -> None:
    assert server.ask("/slow?s=2.5").body == b"at last"


def test_who_takes_no_bytes_is_cut(server: Served) -> None:
    before = refused(server, "slow-reader")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((server.host, server.port))
        client.sendall(server.request("/large?mb=50"))
        wait_until(lambda: refused(server, "slow-reader") > before, poll_s=0.1)
        assert refused(server, "slow-reader") == before + 1


def refused(server: Served, name: str) -> int:
    return int(server.ask("/refused").json().get(name, 0))


def test_who_takes_them_slowly_but_steadily_gets_all(server: Served) -> None:
    with server.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(server.request("/large?mb=8"))
        length = 0
        began = time.monotonic()
        while length < 8 * MB and (block := receive(client)):
            length += len(block)
            time.sleep(0.005)
        assert length >= 8 * MB
        assert time.monotonic() - began > 0.5


def test_a_long_line_and_many_fields_are_refused(server: Served) -> None:
    for head in (
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n",
        b"GET /hello HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n",
        b"GET /hello HTTP/1.1\r\n" + b"X: a\r\n" * 20_000,
        b"GET /hello HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"Host: x\r\n\r\n",
    ):
        with server.connect() as client:
            client.sendall(head)
            assert read_reply(client).status in (0, 400, 414, 431), head[:40]
    assert server.ask("/hello", headers=[("X", "a" * 40_000)]).status == 431
    assert server.ask("/" + "a" * 9_000).status == 414


def test_an_endless_head_takes_no_memory(server: Served) -> None:
    before = server.memory_bytes()
    with server.connect() as client:
        try:
            for _ in range(500):
                client.sendall(b"X" * 100_000)
        except (ConnectionError, TimeoutError):
            pass
    assert server.ask().status == 200
    assert server.memory_bytes() - before < 20 * MB


@pytest.mark.parametrize("length", [str(MB + 1), "9" * 15, "9" * 19, "9" * 25, "9" * 5000])
def test_a_body_that_says_it_is_too_large_is_not_read(server: Served, length: str) -> None:
    reply = server.ask("/echo", method="POST", headers=[("Content-Length", length)])

    assert reply.status in (400, 413)


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "-1")],
        [("Content-Length", "0x10")],
        [("Content-Length", "1"), ("Content-Length", "2")],
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip")],
        [("Transfer-Encoding", "chunked, identity")],
    ],
)
def test_lengths_that_contradict_themselves_are_refused(
    server: Served, headers: list[tuple[str, str]]
) -> None:
    """Two readings of one request are how a second is smuggled in."""
    with server.connect() as client:
        client.sendall(server.request("/echo", method="POST", headers=headers) + b"0\r\n\r\n")
        reply = read_reply(client)
        # RFC 9112 lets a server prefer Transfer-Encoding, if it then closes the connection.
        assert reply.status in (400, 501) or (reply.status == 200 and reply.json() == {"bytes": 0})
        assert reply.status != 200 or is_closed_within(client, HANG_S)


def test_more_body_than_was_said_is_another_request(server: Served) -> None:
    with server.connect() as client:
        request = server.request("/echo", method="POST", headers=[("Content-Length", "3")])
        client.sendall(request + b"abcGARBAGE\r\n\r\n")
        data = b""
        while block := receive(client):  # until it is closed
            data += block
    assert data.index(b'{"bytes":3}') < data.index(b"HTTP/1.1 400 ")


def test_an_endless_chunked_body_is_refused_while_it_comes(server: Served) -> None:
    before = server.memory_bytes()
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    with server.connect() as client:
        headers = [("Transfer-Encoding", "chunked")]
        client.sendall(server.request("/echo", method="POST", headers=headers))
        status = 0
        client.settimeout(5)
        try:
            while sent < 2000 * MB:
                client.sendall(chunk)
                sent += len(chunk)
                if sent > 2 * MB and not status:
                    status = read_reply(client).status
        except (ConnectionError, TimeoutError):
            pass
    assert status == 413
    assert sent < 100 * MB  # it was cut, not taken to its end
    assert server.memory_bytes() - before < 20 * MB


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n", b"-1\r\n", b"5\r\nabc", b"ffffffffffffffffff\r\n", b"5;" + b"x" * 99_999]
)
def test_broken_chunks_end_the_connection(server: Served, chunks: bytes) -> None:
    with server.connect() as client:
        headers = [("Transfer-Encoding", "chunked")]
        client.sendall(server.request("/echo", method="POST", headers=headers) + chunks)
        assert read_reply(client).status in (0, 400, 408, 431)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000, b"\xff\xfe\xfd\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n", b"GET  /  HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"SSH-2.0-x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /hello\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\x00: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
    ],
)  # fmt: skip
def test_garbage_ends_its_connection_alone(server: Served, garbage: bytes) -> None:
    with server.connect() as client:
        client.sendall(garbage)
        assert read_reply(client).status in (0, 400, 405, 408, 421, 505)
    assert server.ask().status == 200


def test_pipelined_requests_are_answered_in_their_order(server: Served) -> None:
    with server.connect() as client:
        client.sendall(b"".join(server.request(f"/hello?{n}") for n in range(50)))
        data = b""
        while data.count(b"HTTP/1.1 200") < 50 and (block := receive(client)):
            data += block
    assert data.count(b"HTTP/1.1 200") == 50


def test_an_answer_does_not_wait_for_what_came_before_it(server: Served) -> None:
    """Head and body are written one after the other: without TCP_NODELAY that takes 40 ms."""

    def took_s(client: socket.socket) -> float:
        began = time.monotonic()
        client.sendall(server.request())
        assert read_reply(client).status == 200
        return time.monotonic() - began

    def are_soon() -> bool:
        with server.connect() as client:
            return sorted(took_s(client) for _ in range(30))[10] < 0.03

    wait_until(are_soon)  # a busy machine may need several tries; 40 ms each are never so quick


def test_a_flood_of_pipelined_requests_takes_no_memory(server: Served) -> None:
    before = server.memory_bytes()
    request = server.request()
    with server.connect() as client:
        client.settimeout(3)
        try:
            for _ in range(100):
                client.sendall(request * 1000)  # and no answer is read
        except (ConnectionError, TimeoutError):
            pass
        assert server.ask().status == 200
    assert server.memory_bytes() - before < 30 * MB


def test_errors_tell_nothing_of_the_inside(server: Served) -> None:
    reply = server.ask("/broken")

    assert reply.status == 500
    assert b"ValueError" not in reply.body
    assert b"Traceback" not in reply.body
    assert "server" not in reply.headers


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
     "/....//etc/passwd", "/hello/..%00", "/%c0%ae%c0%ae/etc/passwd", "/\\..\\etc\\passwd"],
)  # fmt: skip
def test_paths_lead_nowhere_else(server: Served, path: str) -> None:
    assert server.ask(path).status == 404


def test_connections_beyond_the_limit_crowd_out_those_that_ask_nothing() -> None:
    limits = {"connections": 50, "head_s": 30.0}
    with serving(plain(limits=limits)) as server:
        idle = [server.connect() for _ in range(50)]
        for _ in range(20):
            assert server.ask().status == 200
        crowded = refused(server, "crowded-out")
        for client in idle:
            client.close()
    assert crowded >= 1  # the others came where a connection had just ended


def test_connections_beyond_the_limit_are_turned_away_while_all_are_at_work() -> None:
    limits = {"connections": 20, "head_s": 30.0}
    with serving(plain(limits=limits)) as server:
        working = [server.connect() for _ in range(20)]
        for client in working:
            client.sendall(server.request("/slow?s=1.5"))
        time.sleep(0.3)
        reply = server.ask()
        assert reply.status == 503
        assert reply.headers["retry-after"] == "1"
        assert [read_reply(client).status for client in working] == [200] * 20
        for client in working:
            client.close()
        time.sleep(0.2)
        assert server.ask().status == 200


@pytest.mark.slow
@pytest.mark.parametrize("limit_files", [None, 1024])
def test_ten_thousand_connections_in_waves(limit_files: int | None) -> None:
    """As many at once as this process may open; 10,000 in all, half of them with half a request."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    at_once = min(2_500, soft - 200)
    with serving(plain(), limit_files=limit_files) as server:
        for _ in range(20):
            server.ask()
        before = server.memory_bytes()
        highest, made, slowest_s = before, 0, 0.0
        deadline = time.monotonic() + 120
        while made < 10_000 and time.monotonic() < deadline:
            wave = []
            for number in range(at_once):
                try:
                    client = server.connect(5.0)
                    if number % 2:
                        client.sendall(b"GET /hello HTTP/1.1\r\n")
                except OSError:
                    continue
                wave.append(client)
                if number % 500 == 0:
                    began = time.monotonic()
                    assert server.ask().status in (200, 503)
                    slowest_s = max(slowest_s, time.monotonic() - began)
            made += len(wave)
            began = time.monotonic()
            assert server.ask().status == 200  # beside thousands that ask nothing
            slowest_s = max(slowest_s, time.monotonic() - began)
            highest = max(highest, server.memory_bytes())
            for client in wave:
                client.close()
        assert made >= 10_000
        assert server.process.poll() is None
        assert [server.ask().status for _ in range(50)] == [200] * 50
        print(f"{made} connections, {(highest - before) / MB:.1f} MB, slowest {slowest_s:.3f} s")
        assert highest - before < 100 * MB
        assert slowest_s < 5.0


def test_it_listens_for_this_machine_alone_without_a_token() -> None:
    for host in ("0.0.0.0", "::"):
        ran = subprocess.run(
            plain(host=host), cwd=ROOT, capture_output=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert ran.returncode != 0
        assert b"others can reach" in ran.stderr
        assert b"set a token" in ran.stderr
        assert b"http://" not in ran.stdout


def test_with_a_token_it_may_listen_for_others() -> None:
    with serving(plain(host="0.0.0.0", token=TOKEN)) as server:
        assert server.ask().status == 401
        assert server.ask(headers=[("Authorization", f"Bearer {TOKEN}")]).status == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1", "[::1]"])
def test_any_address_of_loopback_will_do(host: str) -> None:
    with serving(plain(host=host)) as server:
        assert server.ask(host=f"localhost:{server.port}").status == 200
        assert server.ask(host=f"evil.example:{server.port}").status == 421


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "", "256.1.1.1", "127.0.0.1:80"])
def test_an_address_that_cannot_be_is_told(host: str) -> None:
    with pytest.raises(ConfigError, match="leave --host out"):
        bind(host, 0, has_token=True).close()


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = subprocess.run(
            plain(port=taken.getsockname()[1]), cwd=ROOT, capture_output=True, timeout=60,
            check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert b"another program does; name another --port" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_what_is_being_answered_end(number: int) -> None:
    with serving(plain(limits={"stop_s": 5})) as server:
        with server.connect() as client, server.connect() as idle, server.connect() as endless:
            client.sendall(server.request("/slow?s=1"))
            endless.sendall(server.request("/endless"))
            idle.sendall(b"GET /")
            time.sleep(0.3)
            began = time.monotonic()
            server.process.send_signal(number)
            assert read_reply(client).body == b"at last"
            told = read_reply(endless).body
            assert b"stopped" in told  # it was told, and ended its answer itself
            assert server.process.wait(HANG_S) == 0
            assert time.monotonic() - began < 4
        assert server.process.stdout is not None
        assert server.process.stdout.read() == b"served\n"


def test_a_signal_waits_only_so_long() -> None:
    with serving(plain(limits={"stop_s": 1})) as server, server.connect() as client:
        client.sendall(server.request("/slow?s=10000"))
        time.sleep(0.3)
        assert server.stop() == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with serving(plain(limits={"stop_s": 10_000})) as server, server.connect() as client:
        client.sendall(server.request("/slow?s=10000"))
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        server.stop(signal.SIGTERM)  # returns when it has ended, or fails


def test_an_error_on_its_start_is_raised_and_nothing_is_printed() -> None:
    program = """
from starlette.applications import Starlette
from contextlib import asynccontextmanager
from mmsearch.errors import LibraryNotFound
from mmsearch.server.guard.runner import serve
@asynccontextmanager
async def lifespan(app):
    raise LibraryNotFound("nothing is there")
    yield
try:
    serve(Starlette(lifespan=lifespan), on_bound=print)
except LibraryNotFound as exc:
    print("told:", exc)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert ran.stdout == b"told: nothing is there\n"
    assert b"Traceback" not in ran.stderr
