"""The library that a search asks: one of this machine, or one behind `--server`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.options import LibraryOption
from mmsearch.config import default_library, server_token

if TYPE_CHECKING:
    from mmsearch.client import RemoteLibrary
    from mmsearch.index.index_config import IndexConfig
    from mmsearch.library.library import Library

_LOCAL = {"--index": "index_kind", "--heat-maps": "heat_maps"}


@dataclass(frozen=True, slots=True)
class LibraryTarget:
    """The options that name a library."""

    library: LibraryOption = None
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="URL",
            help="Ask a running `mmsearch serve` instead of opening a library: "
            "http://127.0.0.1:8100.",
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="With --server: what it asks for; MMSEARCH_TOKEN holds it as well.",
        ),
    ] = None

    def is_remote(self, context: typer.Context) -> bool:
        """True if a server is to answer; raises typer.BadParameter for options that exclude it.

        The command line beats the environment: --library there is meant, though MMSEARCH_SERVER
        is set.
        """
        if not self.server:
            if _is_on_command_line(context, "token_file"):
                raise typer.BadParameter("--token-file goes with --server")
            return False
        if _is_on_command_line(context, "library"):
            if _is_on_command_line(context, "server"):
                raise typer.BadParameter("--library and --server exclude each other")
            return False
        for option, name in _LOCAL.items():
            if _is_on_command_line(context, name):
                raise typer.BadParameter(
                    f"{option} is for a library of this machine: leave it out, or --server and "
                    f"MMSEARCH_SERVER"
                )
        return True

    def open_local(self, index: IndexConfig) -> Library:
        """Opens the library of this machine."""
        from mmsearch.library.library import Library
        from mmsearch.models.provisioning import Runtime

        # Words are encoded on the CPU, where that takes milliseconds and no torch.
        runtime = Runtime(device="cpu")
        folder = self.library or default_library()
        return Library.open(folder, create=False, runtime=runtime, index=index)

    def open_remote(self, *, has_details: bool) -> RemoteLibrary:
        """Opens the library behind the server; raises ConfigError for an unfit URL or token."""
        # Only here: a search in a library of this machine does not wait for it.
        from mmsearch.client import RemoteLibrary

        token = None
        if self.token_file is not None or server_token():
            from mmsearch.server.guard.tokens import read_token

            token = read_token(self.token_file)
        return RemoteLibrary(self.server or "", token=token, has_details=has_details)


def _is_on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
