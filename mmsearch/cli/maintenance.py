"""`mmsearch status`, `remove`, `prune` and `doctor`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli.options import JsonOption, LibraryOption
from mmsearch.config import default_library


def status(
    library: LibraryOption = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the files that could not be indexed, and why.")
    ] = False,
    json_object: JsonOption = False,
) -> None:
    """What is in the library."""
    from mmsearch import serialization
    from mmsearch.cli import render
    from mmsearch.library.library import Library

    with Library.open(library or default_library(), create=False) as opened:
        if failed:
            rows = opened.failed()
            if json_object:
                listed = [
                    {"path": row.path, "error": row.error, "message": row.message} for row in rows
                ]
                typer.echo(json.dumps({"failed": listed}, ensure_ascii=False))
            else:
                render.print_failures(rows)
            return
        told = opened.status()
    if json_object:
        typer.echo(json.dumps(serialization.status_object(told), ensure_ascii=False))
    else:
        render.print_status(told)


def remove(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    library: LibraryOption = None,
    json_object: JsonOption = False,
) -> None:
    """Take files, or all below folders, out of the library; nothing on disk is touched."""
    from mmsearch.library.library import Library

    with Library.open(library or default_library(), create=False) as opened:
        gone = opened.remove(*paths)
    _tell_removed(gone, json_object=json_object)


def prune(library: LibraryOption = None, json_object: JsonOption = False) -> None:
    """Take out the files that are gone from disk."""
    from mmsearch.library.library import Library

    with Library.open(library or default_library(), create=False) as opened:
        gone = opened.prune()
    _tell_removed(gone, json_object=json_object)


def _tell_removed(gone: list[str], *, json_object: bool) -> None:
    if json_object:
        typer.echo(json.dumps({"removed": gone}, ensure_ascii=False))
    else:
        typer.echo(f"{len(gone)} removed from the library", err=True)


def doctor(
    library: LibraryOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Clear away what is unfinished, rebuild the index.")
    ] = False,
    json_object: JsonOption = False,
) -> None:
    """Check the installation, the weights and the library."""
    from mmsearch.cli import render
    from mmsearch.library import doctor as checkup

    findings = checkup.examine(library or default_library(), repair=repair)
    if json_object:
        listed = [dataclasses.asdict(finding) for finding in findings]
        typer.echo(json.dumps({"findings": listed}, ensure_ascii=False))
    else:
        render.print_findings(findings)
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)
