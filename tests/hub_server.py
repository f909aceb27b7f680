"""A hub on loopback: the few routes that its client uses, with faults to order."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

LARGE = frozenset({".safetensors", ".onnx", ".bin", ".pt"})
"""Kept as LFS: told with their sha256, and served by another host after a redirect."""


def git_hash(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str
    token: str
    agent: str
    host: str


@dataclass
class Repository:
    """Commits by number; the newest is main."""

    commits: list[dict[str, bytes]]
    is_gated: bool = False

    def commit(self, revision: str) -> int | None:
        if revision == "main":
            return len(self.commits) - 1
        ids = [commit_id(number) for number in range(len(self.commits))]
        return ids.index(revision) if revision in ids else None


def commit_id(number: int) -> str:
    return f"{number:040x}"


@dataclass
class HubServer:
    """What it has, what it was asked, and what it does wrong.

    Faults are used up in order, one a request. Of a file: "cut" sends the first half and hangs up,
    "wrong" sends other bytes, "silent" never answers, "trickle" stops half way without hanging up,
    "whole" sends all of it whatever range is asked for, and a number is a status. Of "api": a
    number, "silent", or "page" for the login page of a network.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    faults: dict[str, list[str | int]] = field(default_factory=lambda: defaultdict(list))
    requests: list[Request] = field(default_factory=list)
    silence_s: float = 30.0
    ended: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, files: Mapping[str, bytes], *, is_gated: bool = False) -> str:
        """Give a repository one more commit, whose id is returned."""
        repository = self.repositories.setdefault(name, Repository([], is_gated))
        repository.commits.append(dict(files))
        return commit_id(len(repository.commits) - 1)

    def asked(self, *, ending: str = "", api: bool = False) -> list[Request]:
        """The requests for files, or those for what there is."""
        return [
            request
            for request in list(self.requests)
            if request.path.startswith("/api/") == api and request.path.endswith(ending)
        ]

    def environment(self, home: Path) -> dict[str, str]:
        """The variables with which a program talks to this hub, and to no other."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "",
            "HF_HUB_CACHE": "",
            "HUGGINGFACE_HUB_CACHE": "",
            "TRANSFORMERS_OFFLINE": "",
            "HF_TOKEN": "",
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
            "HF_HUB_ETAG_TIMEOUT": "1",
            "NO_PROXY": "*",
        }

    def wait_silently(self) -> None:
        self.ended.wait(self.silence_s)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    hub = HubServer()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: HubServer

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        del format, args

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append(
            Request(
                self.command,
                path,
                self.headers.get("Range", ""),
                self.headers.get("Authorization", ""),
                self.headers.get("User-Agent", ""),
                self.headers.get("Host", ""),
            )
        )
        if path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"))
        elif path.startswith("/cdn/"):
            self._cdn(path)
        elif "/resolve/" in path:
            name, _, rest = path.strip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            self._resolve(name, revision, file)
        else:
            self._error(404)

    def _fault(self, key: str) -> str | int | None:
        faults = self.state.faults[key]
        return faults.pop(0) if faults else None

    def _api(self, rest: str) -> None:
        fault = self._fault("api")
        if fault == "silent":
            return self.state.wait_silently()
        if fault == "page":
            return self._send(200, b"<html>Log in to the network</html>", "text/html")
        if isinstance(fault, int):
            return self._error(fault)
        name, _, revision = rest.partition("/revision/")
        repository = self.state.repositories.get(name)
        if repository is None:
            # As the hub does: who has no token is not told what there is.
            return self._error(401, "RepoNotFound")
        number = repository.commit(revision or "main")
        if number is None:
            return self._error(404, "RevisionNotFound")
        siblings = [_sibling(file, data) for file, data in repository.commits[number].items()]
        answer = {"id": name, "sha": commit_id(number), "siblings": siblings}
        return self._send(200, json.dumps(answer).encode(), "application/json")

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self.state.repositories.get(name)
        if repository is None:
            return self._error(401, "RepoNotFound")
        if repository.is_gated and not self.headers.get("Authorization"):
            return self._error(401, "GatedRepo")
        number = repository.commit(revision)
        if number is None:
            return self._error(404, "RevisionNotFound")
        content = repository.commits[number].get(file)
        if content is None:
            return self._error(404, "EntryNotFound")
        headers = {"X-Repo-Commit": commit_id(number), "ETag": f'"{git_hash(content)}"'}
        if PurePosixPath(file).suffix in LARGE:
            port = self.server.server_address[1]
            headers |= {
                "X-Linked-Size": str(len(content)),
                "X-Linked-ETag": f'"{sha256(content)}"',
                "Location": f"http://localhost:{port}/cdn/{name}/{number}/{file}",
            }
            return self._send(302, b"", headers=headers)
        return self._content(file, content, headers)

    def _cdn(self, path: str) -> None:
        owner, name, number, file = path.removeprefix("/cdn/").split("/", 3)
        content = self.state.repositories[f"{owner}/{name}"].commits[int(number)][file]
        self._content(file, content, {"ETag": f'"{sha256(content)}"'})

    def _content(self, file: str, content: bytes, headers: dict[str, str]) -> None:
        fault = None if self.command == "HEAD" else self._fault(file)
        if fault == "silent":
            return self.state.wait_silently()
        if isinstance(fault, int):
            return self._error(fault)
        if fault == "wrong":
            content = bytes(byte ^ 0xFF for byte in content)
        start, status = 0, 200
        if self.headers.get("Range") and fault != "whole":
            start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                return self._error(416)
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status = 206
        rest = content[start:]
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(rest))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        if fault in ("cut", "trickle"):
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            if fault == "trickle":
                self.state.wait_silently()
            self.close_connection = True
            return None
        self.wfile.write(rest)
        return None

    def _error(self, status: int, code: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": HTTPStatus(status).phrase}
        self._send(status, b"", headers=headers if code else {})

    def _send(
        self,
        status: int,
        body: bytes,
        kind: str = "text/plain",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _sibling(name: str, content: bytes) -> dict[str, object]:
    sibling: dict[str, object] = {
        "rfilename": name,
        "size": len(content),
        "blobId": git_hash(content),
    }
    if PurePosixPath(name).suffix in LARGE:
        sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
    return sibling
