"""Servers in processes of their own, and clients that do not behave."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.patience import HANG_S

ROOT = Path(__file__).parents[2]
WAIT_S = HANG_S


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    host: str
    port: int

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    def connect(self, timeout_s: float = HANG_S) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout_s)

    def memory_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def ask(self, path: str = "/hello", *, timeout_s: float = HANG_S, **options: Any) -> Reply:
        """One request on a connection of its own."""
        with self.connect(timeout_s) as client:
            client.sendall(self.request(path, **options))
            return read_reply(client)

    def request(
        self,
        path: str = "/hello",
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        host: str | None = None,
    ) -> bytes:
        fields = [("Host", self.name if host is None else host), *headers]
        if body:
            fields.append(("Content-Length", str(len(body))))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields)
        return head.encode("latin-1") + b"\r\n" + body

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@dataclass
class Reply:
    """An answer as it came over the wire; `status` is 0 where there was none."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def read_reply(client: socket.socket) -> Reply:
    """The next answer with a length, or whatever came until the connection was closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = receive(client)
        if not block:
            return Reply(0, {}, data)
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    length = int(headers.get("content-length", sys.maxsize))
    while len(body) < length and (block := receive(client)):
        body += block
    return Reply(int(first.split(" ")[1]), headers, body)


def receive(client: socket.socket) -> bytes:
    """Some bytes; none where the other side has closed or reset the connection."""
    try:
        return client.recv(1 << 16)
    except ConnectionError:
        return b""


def is_closed_within(client: socket.socket, seconds: float) -> bool:
    """Whether the other side ends the connection in this time, whatever it says before."""
    deadline = time.monotonic() + seconds
    while (left_s := deadline - time.monotonic()) > 0:
        client.settimeout(left_s)
        try:
            if not receive(client):
                return True
        except TimeoutError:
            return False
    return False


@contextlib.contextmanager
def serving(
    command: Sequence[str], *, env: dict[str, str] | None = None, limit_files: int | None = None
) -> Iterator[Served]:
    """A server that prints its URL in its first line; ended at last."""
    started = list(command)
    if limit_files is not None:
        started = ["/bin/sh", "-c", f'ulimit -n {limit_files}; exec "$@"', "sh", *command]
    process = subprocess.Popen(
        started,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {}), "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline().decode()
        found = re.search(r"http://([^\s\"]+):(\d+)", line)
        if found is None:
            raise AssertionError(line + process.stderr.read().decode())
        yield Served(process, found[1].strip("[]"), int(found[2]))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def plain(**options: Any) -> list[str]:
    """The command of a small application behind the guard."""
    return [sys.executable, "-m", "tests.server.plain_server", json.dumps(options)]
