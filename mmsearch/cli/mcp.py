"""`mmsearch mcp`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli.options import LibraryOption
from mmsearch.config import default_library
from mmsearch.errors import MissingExtra

AllowWriteOption = Annotated[
    bool, typer.Option("--allow-write", help="The model may index what lies below a --root.")
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option("--root", metavar="DIR", help="With --allow-write: only below; repeatable."),
]


def mcp(
    library: LibraryOption = None, allow_write: AllowWriteOption = False, root: RootOption = None
) -> None:
    """Serve the library to a model that speaks MCP, over standard input and output."""
    try:
        from mmsearch.server.mcp import server
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("mcp", "mcp_types", "anyio", "pydantic"):
            raise
        raise MissingExtra(
            "the MCP server needs the extra: pip install 'mmsearch[server]'"
        ) from exc
    server.run(
        server.MCPSettings(
            (library or default_library()).expanduser(),
            allow_write=allow_write,
            roots=tuple(folder.expanduser() for folder in root or ()),
        )
    )
