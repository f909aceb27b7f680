"""The command `mmsearch`: wires commands together, and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import click
import typer

from mmsearch.cli import evaluate, index, library, search
from mmsearch.config import settings
from mmsearch.errors import MmsearchError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find images, sounds, moments in video and texts by what they mean. Nothing leaves this "
    "machine.\n\nExit codes: 0 done; 1 error; 2 usage; 3 with --strict when a file failed; 4 "
    "search found nothing that passes the cut-off; 130 interrupted.",
)
_COMMANDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("index", index.index),
    ("search", search.search),
    ("similar", search.similar),
    ("status", library.status),
    ("remove", library.remove),
    ("prune", library.prune),
    ("doctor", library.doctor),
    ("evaluate", evaluate.evaluate),
)
for _name, _command in _COMMANDS:
    app.command(_name)(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mmsearch {version('mmsearch')}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Fill in what the environment and config.toml say, below what the command line says."""
    del version
    group = context.command
    if not isinstance(group, click.Group):
        return
    names = {
        option.name
        for command in group.commands.values()
        for option in command.params
        if isinstance(option, click.Option) and option.name
    }
    given = settings(frozenset(names))
    context.default_map = {
        name: {option.name: given[option.name] for option in command.params if option.name in given}
        for name, command in group.commands.items()
    }


def main() -> None:
    """Run the command line; never returns."""
    # A pipe that closes early (| head) ends the program quietly, as for any filter.
    try:
        command = typer.main.get_command(app)
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as exc:
        code = exc.exit_code
    except click.ClickException as exc:
        exc.show()
        code = exc.exit_code
    except MmsearchError as exc:
        typer.secho(f"mmsearch: {exc}", err=True, fg="red")
        code = EXIT_ERROR
    except (KeyboardInterrupt, click.Abort):
        typer.echo("\nmmsearch: interrupted; everything finished is kept", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes stdout on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_ERROR
    sys.stderr.flush()
    # Not sys.exit: threads that sit in a network would be waited for, or crash on the way out.
    os._exit(code if isinstance(code, int) else 0)
