"""Creates the application of the HTTP API: routes, error handlers, lifespan."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio
from fastapi import FastAPI

from mmsearch.library.library import Library
from mmsearch.models.provisioning import Runtime
from mmsearch.server.http import assets, embeddings, jobs, problems, search
from mmsearch.server.http import openapi as documents
from mmsearch.server.http.backend import Backend
from mmsearch.server.http.metrics import MeteredApp, Metrics
from mmsearch.server.http.settings import ServerSettings
from mmsearch.server.media import routes

_TAGS = [
    {"name": "search", "description": "Words, examples and files in, hits out."},
    {"name": "assets", "description": "What the library has, by id, never by path."},
    {"name": "embeddings", "description": "In OpenAI's shape: its clients work as they are."},
    {"name": "library", "description": "What is in the library, and how it gets there."},
    {"name": "server", "description": "How the server does."},
]
_UNOBSERVED: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""Options by which FastAPI reports nothing to anybody, whatever the environment says."""


def create_app(settings: ServerSettings, library: Library | None = None) -> FastAPI:
    """Creates the API over `library`, or over that of `settings`, opened when it starts.

    All requests share the library; whoever opened it closes it. To be served behind
    `mmsearch.server.guard.guard.Guard`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            opened = library
            if opened is None:
                # Words are encoded on the CPU, where that takes milliseconds and no torch.
                opened = Library.open(settings.library, create=False, runtime=Runtime(device="cpu"))
                stack.callback(opened.close)
            backend = Backend(settings, opened, app.state.metrics)
            app.state.backend = backend
            app.state.metrics.observe_jobs(backend.jobs)
            threading.Thread(target=backend.warm_up, daemon=True).start()
            try:
                yield
            finally:
                await anyio.to_thread.run_sync(backend.close)

    app = FastAPI(
        title="mmsearch",
        version=version("mmsearch"),
        description=documents.DESCRIPTION,
        openapi_tags=_TAGS,
        lifespan=lifespan,
        docs_url=None,  # its page loads from a CDN
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_UNOBSERVED,
    )
    problems.install_handlers(app)
    writing = jobs.create_router(lambda: app.state.backend.jobs, allow_write=settings.allow_write)
    for router in (search.router, assets.router, embeddings.router, writing):
        app.include_router(router)
    metrics = Metrics()
    app.state.metrics = metrics
    app.add_middleware(MeteredApp, metrics=metrics)
    app.router.routes.append(metrics.create_route())
    app.router.routes.extend(
        routes.create_media_routes(
            lambda: app.state.backend.library, lambda: app.state.backend.previews, prefix="/v1"
        )
    )
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(documents.describe(app, has_token=settings.token is not None))
        return described

    app.openapi = openapi  # type: ignore[method-assign]
    return app
