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
    partial: Annotated[
        bool, typer.Option("--partial", help="List the files that were read in part, and why.")
    ] = False,
    json_object: JsonOption = False,
) -> None:
    """Show what is in the library."""
    from mmsearch.cli import render
    from mmsearch.library.library import Library
    from mmsearch.serialization.json_format import write_json

    with Library.open(library or default_library(), create=False) as opened:
        if failed:
            rows = opened.failed()
            if json_object:
                failures = [
                    {"path": row.path, "error": row.error, "message": row.message} for row in rows
                ]
                typer.echo(json.dumps({"failed": failures}, ensure_ascii=False))
            else:
                render.print_failures(rows)
            return
        if partial:
            files = opened.partial()
            if json_object:
                typer.echo(write_json({"partial": files}))
            else:
                render.print_partial_files(files)
            return
        library_status = opened.status()
    if json_object:
        typer.echo(write_json(library_status))
    else:
        render.print_status(library_status)


def remove(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    library: LibraryOption = None,
    json_object: JsonOption = False,
) -> None:
    """Take files, or all below folders, out of the library; nothing on disk is touched."""
    from mmsearch.library.library import Library

    with Library.open(library or default_library(), create=False) as opened:
        removed = opened.remove(*paths)
    _print_removed(removed, json_object=json_object)


def prune(library: LibraryOption = None, json_object: JsonOption = False) -> None:
    """Take out the files that are gone from disk."""
    from mmsearch.library.library import Library

    with Library.open(library or default_library(), create=False) as opened:
        removed = opened.prune()
    _print_removed(removed, json_object=json_object)


def _print_removed(removed: list[str], *, json_object: bool) -> None:
    if json_object:
        typer.echo(json.dumps({"removed": removed}, ensure_ascii=False))
    else:
        typer.echo(f"{len(removed)} removed from the library", err=True)


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

    findings = checkup.examine_library(library or default_library(), repair=repair)
    if json_object:
        objects = [dataclasses.asdict(finding) for finding in findings]
        typer.echo(json.dumps({"findings": objects}, ensure_ascii=False))
    else:
        render.print_findings(findings)
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)
