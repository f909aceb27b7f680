"""The guard lets through what it should, and tells what it does not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import ConfigError
from mmsearch.server.guard import tokens
from mmsearch.server.guard.guard import Guard
from mmsearch.server.guard.hosts import (
    ANY_ADDRESS,
    format_url,
    is_allowed_host,
    is_loopback,
    list_allowed_hosts,
)
from mmsearch.server.guard.refusals import HEAD_BYTES, HEAD_FIELDS, TARGET_BYTES
from mmsearch.server.guard.tokens import GUESSES_AT_ONCE, AccessToken, GuessLimiter, read_token

HOSTS = list_allowed_hosts("127.0.0.1", 8765)
TOKEN = "a-token-of-some-length"
OWN = (("Host", "127.0.0.1:8765"),)
Pairs = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What came out of an application."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_closed: bool = False
    taken: int = 0
    """Blocks of the request's body that were asked for."""

    @property
    def problem(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        shown = json.loads(self.body)
        assert shown["status"] == self.status
        assert shown["title"]
        assert shown["detail"]
        return str(shown["type"]).removeprefix("urn:mmsearch:problem:")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Tells how much it got; headers and errors as the path says."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            if scope["path"] == "/raises":
                raise ConnectionResetError
            break
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"server", b"secret/1.0")]
    if scope["path"] == "/own":
        headers += [(b"Cache-Control", b"max-age=60"), (b"Content-Security-Policy", b"sandbox")]
    if scope["path"] == "/broken":
        raise ValueError(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(length).encode()})


def ask(
    guard: Guard,
    path: str = "/",
    headers: Pairs = OWN,
    *,
    method: str = "GET",
    body: Iterable[bytes] = (),
    kind: str = "http",
    client: str = "10.0.0.1",
    query: bytes = b"",
) -> Answer:
    return asyncio.run(
        asked(guard, path, headers, method=method, body=body, kind=kind, client=client, query=query)
    )


async def asked(
    guard: Guard,
    path: str = "/",
    headers: Pairs = OWN,
    *,
    method: str = "GET",
    body: Iterable[bytes] = (),
    kind: str = "http",
    client: str = "10.0.0.1",
    query: bytes = b"",
) -> Answer:
    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": (client, 1234),
        "extensions": {},
    }
    if kind == "http":
        scope["method"] = method
    blocks = [*body, b""]
    answer = Answer()

    async def receive() -> dict[str, Any]:
        if not blocks:
            return {"type": "http.disconnect"}
        block = blocks.pop(0)
        answer.taken += 1
        return {"type": "http.request", "body": block, "more_body": bool(blocks)}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not answer.status, "an answer was begun twice"
            answer.status = message["status"]
            answer.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        elif message["type"] == "websocket.accept":
            answer.status = 101
        elif message["type"] == "websocket.close":
            answer.is_closed = True
        else:
            answer.body += message.get("body", b"")

    await guard(scope, receive, send)
    return answer


def host(value: str) -> Pairs:
    return (("Host", value),)


@pytest.mark.parametrize(
    "value", ["127.0.0.1:8765", "localhost:8765", "LocalHost:8765", "[::1]:8765"]
)
def test_names_of_this_machine_are_answered_to(value: str) -> None:
    assert ask(Guard(app, hosts=HOSTS), headers=host(value)).status == 200


@pytest.mark.parametrize(
    "value",
    [
        "evil.example:8765", "127.0.0.1", "127.0.0.1:80", "localhost",
        "localhost:8765.evil.example", "127.0.0.1.evil.example:8765",
        "evil.example@127.0.0.1:8765", "localhost:8765:80",
        "10.0.0.7:8765", "[::2]:8765", "localhost:", ":8765", "127.1:8765", "2130706433:8765",
        "localhost:8765/", "localhost:８７６５".encode().decode("latin-1"), "[::1:8765", "\x00",
    ],
)  # fmt: skip
def test_other_names_are_not(value: str) -> None:
    """A page that was led here by DNS asks for the name that it came by."""
    answer = ask(Guard(app, hosts=HOSTS), headers=host(value))

    assert answer.status == 421
    assert answer.problem == "wrong-host"


@pytest.mark.parametrize("headers", [(), host(""), (*OWN, *OWN), (*OWN, ("Host", "evil.example"))])
def test_a_request_names_one_host(headers: Pairs) -> None:
    assert ask(Guard(app, hosts=HOSTS), headers=headers).problem == "no-host"


def test_names_can_be_added() -> None:
    hosts = list_allowed_hosts("10.0.0.7", 8765, ["Search.example.org", "other.example:443"])

    assert is_allowed_host("search.example.org", hosts)
    assert is_allowed_host("search.example.org:1234", hosts)
    assert is_allowed_host("10.0.0.7:8765", hosts)
    assert is_allowed_host("other.example:443", hosts)
    assert not is_allowed_host("other.example", hosts)
    assert not is_allowed_host("10.0.0.8:8765", hosts)


def test_a_server_on_all_addresses_is_asked_for_by_any_address_but_no_name() -> None:
    hosts = list_allowed_hosts("0.0.0.0", 8765)

    assert ANY_ADDRESS in hosts
    assert is_allowed_host("192.168.1.5:8765", hosts)
    assert is_allowed_host("[fd00::5]:8765", hosts)
    assert not is_allowed_host("evil.example:8765", hosts)
    assert not is_allowed_host(ANY_ADDRESS, hosts)


def test_a_usual_port_need_not_be_written() -> None:
    assert is_allowed_host("localhost", list_allowed_hosts("127.0.0.1", 80))
    assert not is_allowed_host("localhost", list_allowed_hosts("127.0.0.1", 8080))


@pytest.mark.parametrize("name", ["", "a b", "http://x", "x/y", "*", "*.example.org", "<address>"])
def test_what_is_no_name_cannot_be_added(name: str) -> None:
    with pytest.raises(ConfigError, match="no name of a host"):
        list_allowed_hosts("127.0.0.1", 8765, [name])


def test_loopback_is_told_from_other_addresses() -> None:
    for name in ("127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST"):
        assert is_loopback(name), name
    for name in ("0.0.0.0", "::", "192.168.0.1", "localhost.example", "", "127.0.0.1.example"):
        assert not is_loopback(name), name
    assert format_url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert format_url("::", 1) == "http://[::1]:1"
    assert format_url("fd00::1", 1) == "http://[fd00::1]:1"


@given(st.text(max_size=40))
def test_only_what_was_allowed_is_answered_to(written: str) -> None:
    assert is_allowed_host(written, HOSTS) == (written in HOSTS)


CROSS = (*OWN, ("Origin", "http://evil.example"))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1",
        "http://127.0.0.1:8765.evil.example", "file://", "", "http://[", "127.0.0.1:8765",
        "ftp://127.0.0.1:8765", "http://user@127.0.0.1:8765",
    ],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(origin: str, method: str) -> None:
    answer = ask(Guard(app, hosts=HOSTS), headers=(*OWN, ("Origin", origin)), method=method)

    assert answer.status == 403
    assert answer.problem == "other-site"
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8765", "https://127.0.0.1:8765"])
def test_the_own_page_may_ask(origin: str) -> None:
    headers = (*OWN, ("Origin", origin), ("Sec-Fetch-Site", "same-origin"))

    assert ask(Guard(app, hosts=HOSTS), headers=headers, method="POST").status == 200


def test_an_origin_can_be_allowed() -> None:
    guard = Guard(app, hosts=HOSTS, origins=frozenset({"https://app.example"}))
    headers = (*OWN, ("Sec-Fetch-Site", "cross-site"))

    assert ask(guard, headers=(*headers, ("Origin", "https://app.example"))).status == 200
    assert ask(guard, headers=(*headers, ("Origin", "http://app.example"))).status == 403


@pytest.mark.parametrize(
    ("site", "mode", "destination", "method", "status"),
    [
        ("none", "navigate", "document", "GET", 200),
        ("same-origin", "cors", "empty", "POST", 200),
        ("cross-site", "navigate", "document", "GET", 200),  # a link
        ("cross-site", "navigate", "document", "POST", 403),  # a form
        ("cross-site", "navigate", "iframe", "GET", 403),
        ("cross-site", "navigate", "embed", "GET", 403),
        ("cross-site", "no-cors", "image", "GET", 403),
        ("cross-site", "no-cors", "script", "GET", 403),
        ("cross-site", "no-cors", "video", "HEAD", 403),
        ("same-site", "no-cors", "image", "GET", 403),  # another port of this machine
        ("same-site", "cors", "empty", "DELETE", 403),
    ],
)
def test_nothing_is_taken_into_a_page_of_another_site(
    site: str, mode: str, destination: str, method: str, status: int
) -> None:
    headers = (
        *OWN,
        ("Sec-Fetch-Site", site),
        ("Sec-Fetch-Mode", mode),
        ("Sec-Fetch-Dest", destination),
    )

    assert ask(Guard(app, hosts=HOSTS), headers=headers, method=method).status == status


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        (OWN, True),  # no browser
        ((*OWN, ("Origin", "http://127.0.0.1:8765")), True),
        (CROSS, False),
        ((*OWN, ("Origin", "null")), False),
        ((*OWN, ("Origin", "http://localhost:3000")), False),
        ((*OWN, ("Sec-Fetch-Site", "cross-site")), False),
        (host("evil.example"), False),
    ],
)
def test_websockets_are_guarded_too(headers: Pairs, is_let_in: bool) -> None:
    answer = ask(Guard(app, hosts=HOSTS), headers=headers, kind="websocket")

    assert (answer.status == 101) == is_let_in
    assert answer.is_closed != is_let_in


def test_without_the_token_nothing_is_answered_but_open_paths() -> None:
    guard = Guard(app, hosts=HOSTS, token=TOKEN, open_paths=("/healthz",))

    assert ask(guard).problem == "no-token"
    assert ask(guard).headers["www-authenticate"].startswith("Bearer")
    assert ask(guard, kind="websocket").is_closed
    assert ask(guard, "/healthz").status == 200
    assert ask(guard, "/healthz", method="POST").status == 401
    assert ask(guard, "/healthz/").status == 401
    assert ask(guard, "/healthz", host("evil.example")).status == 421


@pytest.mark.parametrize("written", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"BEARER {TOKEN} "])
def test_the_token_opens(written: str) -> None:
    guard = Guard(app, hosts=HOSTS, token=TOKEN)

    assert ask(guard, headers=(*OWN, ("Authorization", written))).status == 200
    assert ask(guard, headers=(*OWN, ("Authorization", written)), kind="websocket").status == 101


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "WRONG_S", 0.01)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    "written",
    [
        "", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}", "Bearer null", "Bearer \xff", f"Bearer{TOKEN}",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
    ],
)  # fmt: skip
def test_nothing_else_opens(written: str) -> None:
    refused: Counter[str] = Counter()
    guard = Guard(app, hosts=HOSTS, token=TOKEN, on_refused=lambda name: refused.update([name]))
    answer = ask(guard, headers=(*OWN, ("Authorization", written)))

    assert answer.status == 401
    assert answer.problem == "wrong-token"
    assert guard.wrong_token_count == 1
    assert refused == {"wrong-token": 1}
    assert TOKEN.encode() not in answer.body


@pytest.mark.usefixtures("fast")
def test_a_token_twice_opens_nothing() -> None:
    guard = Guard(app, hosts=HOSTS, token=TOKEN)
    twice = (*OWN, ("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other"))

    assert ask(guard, headers=twice).status == 401


def test_a_token_in_the_address_opens_nothing() -> None:
    guard = Guard(app, hosts=HOSTS, token=TOKEN)

    for name in ("token", "access_token", "authorization", "api_key"):
        assert ask(guard, query=f"{name}={TOKEN}".encode()).problem == "no-token"
    assert ask(guard, headers=(*OWN, ("Cookie", f"token={TOKEN}"))).problem == "no-token"


def test_guessing_is_slow_and_the_right_token_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    over = asyncio.Event()

    async def sleep(delay_s: float) -> None:
        delays.append(delay_s)
        await over.wait()

    monkeypatch.setattr(tokens, "asyncio", SimpleNamespace(sleep=sleep))
    guard = Guard(app, hosts=HOSTS, token=TOKEN)
    right = (*OWN, ("Authorization", f"Bearer {TOKEN}"))

    async def attack() -> tuple[list[Answer], Answer]:
        guesses = [
            asyncio.create_task(asked(guard, headers=(*OWN, ("Authorization", f"Bearer {n}"))))
            for n in range(200)
        ]
        while len(delays) < GUESSES_AT_ONCE:
            await asyncio.sleep(0)
        other = await asked(guard, headers=right, client="10.0.0.2")
        assert sum(not guess.done() for guess in guesses) >= GUESSES_AT_ONCE
        over.set()
        return await asyncio.gather(*guesses), other

    answers, other = asyncio.run(attack())

    counts = Counter(answer.problem for answer in answers)
    assert counts == {"wrong-token": GUESSES_AT_ONCE, "many-guesses": 200 - GUESSES_AT_ONCE}
    assert guard.wrong_token_count == GUESSES_AT_ONCE  # the others were not even looked at
    assert delays == [tokens.WRONG_S] * GUESSES_AT_ONCE
    assert other.status == 200
    assert not guard._limiter._waiting  # nothing is kept of who is not there any more


@given(st.binary(max_size=60))
def test_only_the_token_is_right(given_value: bytes) -> None:
    scheme, _, rest = given_value.partition(b" ")
    is_it = scheme.lower() == b"bearer" and rest.strip() == TOKEN.encode()

    assert AccessToken(TOKEN).matches(given_value) == is_it


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    for written in (b"", b"Bearer x", b"Bearer " + TOKEN.encode(), b"Basic " + b"y" * 5000):
        AccessToken(TOKEN).matches(written)

    assert compared == [(32, 32)] * 4  # always, and whatever its length


def test_memory_of_guesses_is_bounded_by_those_who_wait() -> None:
    async def many() -> int:
        guesses = GuessLimiter()
        tasks = [asyncio.create_task(guesses.delay_answer(str(n))) for n in range(500)]
        await asyncio.sleep(0)
        for task in tasks:  # the clients leave
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert guesses.wrong_count == 500
        return len(guesses._waiting)

    assert asyncio.run(many()) == 0


def test_a_token_is_read_from_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)

    assert read_token(file) == TOKEN


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_a_file_that_others_can_read_holds_no_secret(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)

    with pytest.raises(ConfigError, match="chmod 600"):
        read_token(file)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"a token with spaces",
        b"\xff" * 20,
        b"line one 12345\nline two 12345",
        "ümläute-überall-hier".encode(),
    ],
)
def test_what_is_no_token_is_told(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(ConfigError, match="token"):
        read_token(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_token(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(tmp_path)


def test_the_environment_gives_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_token() is None
    monkeypatch.setenv("MMSEARCH_TOKEN", "")
    assert read_token() is None
    monkeypatch.setenv("MMSEARCH_TOKEN", TOKEN)
    assert read_token() == TOKEN
    monkeypatch.setenv("MMSEARCH_TOKEN", "short")
    with pytest.raises(ConfigError, match="MMSEARCH_TOKEN"):
        read_token()


def test_a_body_up_to_the_limit_is_passed_on() -> None:
    guard = Guard(app, hosts=HOSTS, max_body_bytes=100)

    assert ask(guard, method="POST", body=[b"x" * 50, b"y" * 50]).body == b"100"
    headers = (*OWN, ("Content-Length", "00100"))
    assert ask(guard, headers=headers, method="POST", body=[b"x" * 100]).body == b"100"


@pytest.mark.parametrize("path", ["/", "/raises"])
def test_a_body_beyond_it_is_refused_while_it_comes(path: str) -> None:
    guard = Guard(app, hosts=HOSTS, max_body_bytes=100)
    answer = ask(guard, path, method="POST", body=[b"x" * 60] * 50)

    assert answer.status == 413
    assert answer.problem == "too-large"
    assert answer.taken == 2


@pytest.mark.parametrize("length", ["101", "99999999999999999999", "9" * 6000])
def test_a_body_that_says_it_is_too_large_is_not_waited_for(length: str) -> None:
    guard = Guard(app, hosts=HOSTS, max_body_bytes=100)
    headers = (*OWN, ("Content-Length", length))

    assert ask(guard, headers=headers, method="POST").problem == "too-large"


def test_errors_of_the_app_are_its_own() -> None:
    with pytest.raises(ValueError, match="/broken"):
        ask(Guard(app, hosts=HOSTS), "/broken")


def test_answers_are_kept_to_their_type_and_their_site() -> None:
    answer = ask(Guard(app, hosts=HOSTS))

    assert answer.headers == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }


def test_what_the_app_says_of_caching_and_policy_stands() -> None:
    answer = ask(Guard(app, hosts=HOSTS, policy="default-src 'self'"), "/own")

    assert answer.headers["cache-control"] == "max-age=60"
    assert answer.headers["content-security-policy"] == "sandbox"
    other = ask(Guard(app, hosts=HOSTS, policy="default-src 'self'"))
    assert other.headers["content-security-policy"] == "default-src 'self'"


def test_refusals_have_the_headers_too() -> None:
    answer = ask(Guard(app, hosts=HOSTS), headers=host("evil.example"))

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_heads_and_addresses_are_bounded() -> None:
    guard = Guard(app, hosts=HOSTS)

    assert ask(guard, headers=(*OWN, ("X", "y" * HEAD_BYTES))).problem == "large-head"
    assert ask(guard, headers=(*OWN, *[("X", "y")] * HEAD_FIELDS)).problem == "large-head"
    assert ask(guard, "/" + "a" * TARGET_BYTES).problem == "long-target"
    assert ask(guard, query=b"q" * (TARGET_BYTES + 1)).problem == "long-target"


@pytest.mark.parametrize("path", ["*", "http://127.0.0.1:8765/", "", "evil"])
def test_a_path_begins_with_a_slash(path: str) -> None:
    assert ask(Guard(app, hosts=HOSTS), path).problem == "no-path"


def test_lifespan_passes() -> None:
    seen: list[str] = []

    async def living(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(Guard(living, hosts=HOSTS)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]

    assert seen == ["lifespan"]
