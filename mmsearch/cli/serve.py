"""`mmsearch serve`: the HTTP API over a library."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.options import JsonOption, LibraryOption, parse_size_bytes
from mmsearch.config import cpu_count, default_library
from mmsearch.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmsearch.server.http.settings import ServerSettings

HOST = "127.0.0.1"
PORT = 8100
PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
PANEL = "How much at once"


def serve(
    library: LibraryOption = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Where to listen; beyond this machine with a token."
        ),
    ] = HOST,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")
    ] = PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="What every request must carry; MMSEARCH_TOKEN holds it as well.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A further name to answer to; may be repeated."
        ),
    ] = None,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Let clients index what lies below the roots.")
    ] = False,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            "--root", metavar="DIR", help="What clients may have indexed; may be repeated."
        ),
    ] = None,
    max_upload: Annotated[
        str,
        typer.Option(
            "--max-upload",
            metavar="SIZE",
            rich_help_panel=PANEL,
            help="What the files of one search may have together.",
        ),
    ] = "64MB",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, max=64, rich_help_panel=PANEL, help="Searches at work at once."
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            "--queue", min=0, max=10_000, rich_help_panel=PANEL, help="Searches that may wait."
        ),
    ] = 128,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=0.1,
            max=3600.0,
            rich_help_panel=PANEL,
            help="Seconds that a request may take, waiting included.",
        ),
    ] = 30.0,
    json_object: JsonOption = False,
) -> None:
    """Serve the library over HTTP; /openapi.json says what there is."""
    if allow_write and not root:
        raise typer.BadParameter("--allow-write goes with --root: what may be indexed")
    if root and not allow_write:
        raise typer.BadParameter("--root goes with --allow-write")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"mmsearch serve needs the extra server: pip install 'mmsearch[server]' "
            f"({', '.join(missing)} is not installed)"
        )
    from mmsearch.runtime.heap import limit_malloc_arenas
    from mmsearch.server.guard.tokens import read_token
    from mmsearch.server.http.settings import ServerSettings, choose_thread_count

    limit_malloc_arenas()
    settings = ServerSettings(
        library=library or default_library(),
        token=read_token(token_file),
        allow_write=allow_write,
        roots=tuple(_check_exists(folder) for folder in root or ()),
        threads=threads or choose_thread_count(cpu_count()),
        queue=queue,
        timeout_s=timeout,
        max_upload_bytes=parse_size_bytes(max_upload),
    )
    _run_server(settings, host, port, tuple(allow_host or ()), is_json=json_object)


def _check_exists(root: Path) -> Path:
    folder = root.expanduser()
    if not folder.is_dir():
        raise ConfigError(f"--root {root}: there is no such folder")
    return folder.resolve()


def _run_server(
    settings: ServerSettings, host: str, port: int, names: tuple[str, ...], *, is_json: bool
) -> None:
    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime
    from mmsearch.server.guard.guard import Guard
    from mmsearch.server.guard.hosts import list_allowed_hosts
    from mmsearch.server.guard.runner import serve as run
    from mmsearch.server.http.app import create_app

    # Words are encoded on the CPU, where that takes milliseconds and no torch.
    runtime = Runtime(device="cpu")
    with Library.open(settings.library, create=settings.allow_write, runtime=runtime) as opened:
        app = create_app(settings, opened)
        guarded = Guard(
            app,
            hosts=list_allowed_hosts(host, None, names),
            token=settings.token,
            max_body_bytes=settings.max_body_bytes,
            on_refused=app.state.metrics.record_refusal,
        )
        run(
            guarded,
            host=host,
            port=port,
            has_token=settings.token is not None,
            on_refused=app.state.metrics.record_refusal,
            on_bound=_announce(app, settings, is_json=is_json),
        )


def _announce(app: FastAPI, settings: ServerSettings, *, is_json: bool) -> Callable[[str], None]:
    """Returns a function that prints the address of the server once it is ready."""

    def print_address(url: str) -> None:
        app.state.backend.warm_up_ended.wait()
        if is_json:
            event = {"event": "ready", "url": url, "library": str(settings.library)}
            typer.echo(json.dumps(event, ensure_ascii=False))
            sys.stdout.flush()
        else:
            typer.echo(f"mmsearch: {settings.library} is served at {url}", err=True)

    return lambda url: threading.Thread(target=print_address, args=(url,), daemon=True).start()
