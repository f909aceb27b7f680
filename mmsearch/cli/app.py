"""The command `mmsearch`: registers the commands and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from mmsearch.cli import evaluate, index, labels, maintenance, mcp, models, search, serve, ui
from mmsearch.cli.lazy_pandas import hide_pandas
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
    "machine.\n\nExit codes: 0 done; 1 error; 2 usage; 3 with --strict when a file was not "
    "read whole; 4 "
    "search found nothing that passes the cut-off; 130 interrupted.",
)
_COMMANDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("index", index.index),
    ("search", search.search),
    ("similar", search.similar),
    ("tag", labels.tag),
    ("classify", labels.classify),
    ("status", maintenance.status),
    ("remove", maintenance.remove),
    ("prune", maintenance.prune),
    ("doctor", maintenance.doctor),
    ("evaluate", evaluate.evaluate),
    ("mcp", mcp.mcp),
    ("ui", ui.ui),
    ("serve", serve.serve),
)
for _name, _command in _COMMANDS:
    app.command(_name)(_command)
app.add_typer(models.app, name="models")


def _show_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        typer.echo(f"mmsearch {version('mmsearch')}")
        raise typer.Exit


@app.callback()
def apply_settings(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Applies the settings of environment and config.toml below those of the command line."""
    del version
    values = settings(frozenset(_setting_names(context.command)))
    context.default_map = _build_defaults(context.command, values)


def _setting_names(command: Any) -> Iterator[str]:
    """Yields the names that options have in the environment and in config.toml."""
    for subcommand in getattr(command, "commands", {}).values():
        yield from _options_by_name(subcommand)
        yield from _setting_names(subcommand)


def _build_defaults(command: Any, values: Mapping[str, object]) -> dict[str, Any]:
    """Returns the settings by command and option."""
    return {
        name: {
            option.name: _parse_value(option, values[key])
            for key, option in _options_by_name(subcommand).items()
            if key in values
        }
        | _build_defaults(subcommand, values)
        for name, subcommand in getattr(command, "commands", {}).items()
    }


def _options_by_name(command: Any) -> dict[str, TyperOption]:
    """Returns the options of a command by their long names."""
    return {
        max(option.opts, key=len).lstrip("-").replace("-", "_"): option
        for option in command.params
        if isinstance(option, TyperOption)
    }


def _parse_value(option: TyperOption, value: object) -> object:
    """Parses a setting; a variable holds several values as `PATH` does."""
    if option.multiple and isinstance(value, str):
        return [part for part in value.split(os.pathsep) if part]
    return value


def main() -> None:
    """Runs the command line; never returns."""
    hide_pandas()
    code: object = 0
    try:
        typer.main.get_command(app)()
    except SystemExit as exc:
        code = exc.code
    except MmsearchError as exc:
        typer.secho(f"mmsearch: {exc}", err=True, fg="red")
        code = EXIT_ERROR
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_ERROR
    if code == EXIT_INTERRUPTED:  # from here, or from typer, which catches Ctrl-C itself
        typer.echo("\nmmsearch: interrupted; everything finished is kept", err=True)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # A pipe that closes early (| head) ends the program quietly, as for any filter.
        code = EXIT_ERROR
    sys.stderr.flush()
    # Not sys.exit: threads that sit in a network would be waited for, or crash on the way out.
    os._exit(code if isinstance(code, int) else 0)
