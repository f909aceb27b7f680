"""A small application behind the guard, to be run as a server of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mmsearch.server.guard.connections import ConnectionLimits
from mmsearch.server.guard.guard import Guard
from mmsearch.server.guard.hosts import list_allowed_hosts
from mmsearch.server.guard.runner import STOPPING, serve


async def hello(request: Request) -> Response:
    return JSONResponse({"hello": request.url.path})


async def echo(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params["s"]))
    return PlainTextResponse("at last")


async def endless(request: Request) -> Response:
    is_stopping = request.scope["extensions"][STOPPING]

    async def ticks() -> AsyncIterator[bytes]:
        while not is_stopping():
            yield b"tick\n"
            await asyncio.sleep(0.05)
        yield b"stopped\n"

    return StreamingResponse(ticks(), media_type="text/plain")


async def large(request: Request) -> Response:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(int(request.query_params["mb"])):
            yield b"x" * 1024**2

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def broken(request: Request) -> Response:
    raise ValueError(request.url.path)


async def answer_back(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())


def plain_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/hello", hello),
            Route("/healthz", hello),
            Route("/echo", echo, methods=["POST"]),
            Route("/slow", slow),
            Route("/endless", endless),
            Route("/large", large),
            Route("/broken", broken),
            WebSocketRoute("/socket", answer_back),
        ]
    )


def main(options: dict[str, Any]) -> None:
    refused: dict[str, int] = {}

    def note(name: str) -> None:
        refused[name] = refused.get(name, 0) + 1

    app = plain_app()
    app.add_route("/refused", lambda _request: JSONResponse(refused))
    token = options.get("token")
    guard = Guard(
        app,
        hosts=list_allowed_hosts("127.0.0.1", None, options.get("hosts", ())),
        token=token,
        max_body_bytes=options.get("max_body_bytes", 1024**2),
        on_refused=note,
    )
    serve(
        guard,
        host=options.get("host", "127.0.0.1"),
        port=options.get("port", 0),
        has_token=token is not None,
        limits=ConnectionLimits(**options.get("limits", {})),
        on_bound=lambda url: print(url, flush=True),
        on_refused=note,
    )
    print("served", flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
