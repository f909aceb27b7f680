"""The API over a library: in this process, or as the command serves it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from mmsearch.library.library import Library
from mmsearch.server.http.app import create_app
from mmsearch.server.http.settings import ServerSettings
from tests.patience import HANG_S

ROOT = Path(__file__).parents[2]
PROBLEM = "urn:mmsearch:problem:"


def settings_of(library: Path | Library, **changes: Any) -> ServerSettings:
    path = library.path if isinstance(library, Library) else library
    return ServerSettings(library=path, **changes)


@contextlib.contextmanager
def client_of(library: Library, **changes: Any) -> Iterator[TestClient]:
    """Over a library that is open; its errors are answered, as by a server."""
    app = create_app(settings_of(library, **changes), library)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """An application at a port of this machine; gives its URL."""
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise AssertionError("the server has not started")
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(HANG_S)


@contextlib.contextmanager
def command(
    library: Path, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`mmsearch serve` in a process of its own; gives its URL."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mmsearch", "serve", "--library", str(library)),
            *("--port", "0", "--json", *arguments),
        ],
        cwd=ROOT,
        env={**os.environ, **(env or {}), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.stderr.read())
        yield json.loads(line)["url"], process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def problem(answer: Any, status: int, name: str) -> dict[str, Any]:
    """The problem that an answer is, which must be of this status and this type."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["type"] == PROBLEM + name
    assert told["status"] == status
    assert told["title"]
    return told
