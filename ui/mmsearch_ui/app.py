"""Builds the web application: Streamlit's pages, the media of the library, and the guard."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import ConfigError, MissingExtra
from mmsearch_ui import shared_state, zip_download

if TYPE_CHECKING:
    from streamlit import App

SCRIPT = Path(__file__).with_name("main.py")
MAX_UPLOAD_MB = 100
STOP_S = 2
"""Grace period at the end: an open page keeps its connection."""
FORM_BYTES = 1 << 20
"""Room for the rest of a form that holds an uploaded file."""
OPTIONS: dict[str, object] = {
    "browser.gatherUsageStats": False,
    "client.allowedOrigins": [],
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "logger.hideWelcomeMessage": True,
    "runner.magicEnabled": False,
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": MAX_UPLOAD_MB,
    "server.runOnSave": False,
    "server.showEmailPrompt": False,
    "theme.baseRadius": "0.5rem",
    "theme.light.primaryColor": "#2f6f8f",
    "theme.light.backgroundColor": "#fdfdfc",
    "theme.light.secondaryBackgroundColor": "#f2f3f1",
    "theme.light.textColor": "#23282b",
    "theme.light.borderColor": "#dfe2df",
    "theme.dark.primaryColor": "#6fb3d2",
    "theme.dark.backgroundColor": "#16191b",
    "theme.dark.secondaryBackgroundColor": "#1f2427",
    "theme.dark.textColor": "#e4e7e6",
    "theme.dark.borderColor": "#343b3f",
}
"""Streamlit's settings: no telemetry, no file watcher, no deploy button."""


_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def build_policy() -> str:
    """Builds the content security policy: pages load and run only their own parts."""
    import streamlit

    index = Path(streamlit.__file__).parent / "static" / "index.html"
    # Streamlit has a few lines of script in its page; no others may run.
    script_hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE.findall(index.read_bytes())
    ]
    return "; ".join(
        (
            "default-src 'none'",
            # Streamlit loads the scripts of components from blobs.
            " ".join(("script-src 'self' blob:", *script_hashes)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "font-src 'self' data:",
            "connect-src 'self' blob: data:",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "form-action 'self'",
            "base-uri 'self'",
            "frame-ancestors 'none'",
        )
    )


def create_app(host: str) -> App:
    """Creates the application for a server that is bound to `host`; raises MissingExtra.

    To be called once in a process: Streamlit's settings are global.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise MissingExtra("the user interface needs the extra: pip install 'mmsearch[ui]'")
    from starlette.middleware import Middleware
    from streamlit import App, config

    from mmsearch.server.guard.guard import Guard
    from mmsearch.server.guard.hosts import list_allowed_hosts
    from mmsearch.server.media.routes import create_media_routes

    config.get_config_options(force_reparse=True, options_from_flags=dict(OPTIONS))
    guard = Middleware(
        Guard,
        hosts=list_allowed_hosts(host),
        max_body_bytes=MAX_UPLOAD_MB * 1024**2 + FORM_BYTES,
        policy=build_policy(),
    )
    routes = [
        *create_media_routes(
            shared_state.open_library, shared_state.get_previews, shared_state.PREFIX
        ),
        zip_download.build_route(shared_state.open_library, shared_state.PREFIX),
    ]
    return App(SCRIPT, routes=routes, middleware=[guard], lifespan=_lifespan)


def run(library: Path, *, host: str, port: int, on_bound: Callable[[str], None]) -> None:
    """Serves the library at `library` until the process is stopped.

    Calls `on_bound` with the address once the server accepts connections. Raises MissingExtra, and
    ConfigError for an address that is in use or that other machines can reach.
    """
    app = create_app(host)
    from mmsearch.server.guard.connections import ConnectionLimits
    from mmsearch.server.guard.hosts import is_loopback
    from mmsearch.server.guard.runner import serve

    if not is_loopback(host):
        raise ConfigError(
            f"others can reach {host}, and the user interface asks nobody for a password: leave "
            f"--host out; from another machine, `ssh -L 8501:127.0.0.1:8501` leads here"
        )
    shared_state.use_library(library)
    serve(app, host=host, port=port, limits=ConnectionLimits(stop_s=STOP_S), on_bound=on_bound)


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    del app
    shared_state.warm_up()
    try:
        yield
    finally:
        shared_state.close_all()
