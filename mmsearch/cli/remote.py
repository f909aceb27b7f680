"""`--server`: a search that a running `mmsearch serve` answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.config import server_token

if TYPE_CHECKING:
    from mmsearch.client import RemoteLibrary

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Ask a running `mmsearch serve` instead of opening a library: http://127.0.0.1:8100.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="With --server: what it asks for; MMSEARCH_TOKEN holds it as well.",
    ),
]
_LOCAL = {"--index": "index_kind", "--heat-maps": "heat_maps"}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server that is to answer, and where its token is."""

    url: str
    token_file: Path | None = None

    def opened(self, *, explains: bool, has_details: bool) -> RemoteLibrary:
        """The library behind it; raises ConfigError for a URL or a token that cannot be used."""
        # Only here: a search in a library of this machine does not wait for it.
        from mmsearch.client import RemoteLibrary

        token = None
        if self.token_file is not None or server_token():
            from mmsearch.server.guard.tokens import read_token

            token = read_token(self.token_file)
        return RemoteLibrary(self.url, token=token, explains=explains, has_details=has_details)


def choose_server(
    context: typer.Context, url: str | None, token_file: Path | None
) -> ServerAddress | None:
    """The server to ask, None for a library of this machine; raises typer.BadParameter.

    What the command line says beats the environment: --library there is meant, though
    MMSEARCH_SERVER is set.
    """
    if not url:
        if _is_on_command_line(context, "token_file"):
            raise typer.BadParameter("--token-file goes with --server")
        return None
    if _is_on_command_line(context, "library"):
        if _is_on_command_line(context, "server"):
            raise typer.BadParameter("--library and --server exclude each other")
        return None
    for option, name in _LOCAL.items():
        if _is_on_command_line(context, name):
            raise typer.BadParameter(
                f"{option} is for a library of this machine: leave it out, or --server and "
                f"MMSEARCH_SERVER"
            )
    return ServerAddress(url, token_file)


def _is_on_command_line(context: typer.Context, name: str) -> bool:
    """Whether the command line itself has an option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
