"""`mmsearch ui`."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch.cli.lazy_pandas import show_pandas
from mmsearch.cli.options import LibraryOption
from mmsearch.config import default_library

PortOption = Annotated[
    int,
    typer.Option(
        "--port", metavar="N", min=0, max=65535, help="Where it listens; 0 takes any free port."
    ),
]
HostOption = Annotated[
    str,
    typer.Option(
        "--host", metavar="ADDRESS", help="An address of this machine that no other can reach."
    ),
]
BrowserOption = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")
]


def ui(
    library: LibraryOption = None,
    port: PortOption = 8501,
    host: HostOption = "127.0.0.1",
    browser: BrowserOption = True,
) -> None:
    """Search, look, listen and index in the browser. Nothing leaves this machine."""
    show_pandas()  # Streamlit is made of it
    import threading
    import webbrowser

    from mmsearch.runtime.heap import limit_malloc_arenas

    limit_malloc_arenas()
    from mmsearch_ui.app import run

    def announce(url: str) -> None:
        typer.echo(f"mmsearch is at {url} (Ctrl-C stops it)")
        if browser:
            # Some browsers are waited for until they end.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    run((library or default_library()).expanduser(), host=host, port=port, on_bound=announce)
