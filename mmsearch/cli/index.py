"""`mmsearch index`."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.options import (
    DeviceOption,
    ImageModelOption,
    IndexKindOption,
    IndexMemoryOption,
    IndexRecallOption,
    JsonOption,
    KindsOption,
    LibraryOption,
    PrecisionOption,
    SoundModelOption,
    SpeechModelOption,
    TextModelOption,
    collect_models,
    parse_index_config,
    split_kinds,
)
from mmsearch.config import default_library
from mmsearch.errors import ConfigError
from mmsearch.index.index_config import AUTO, DEFAULT_RECALL

if TYPE_CHECKING:
    from mmsearch_indexers.events import Event

EXIT_FAILED_FILES = 3
MEGA = 1_000_000
RAISABLE = ("pages", "picture_pages", "text_chars", "text_bytes", "duration_s", "contents")
"""The limits that `--limit` sets; others have an option of their own."""
PROGRESS_S = 0.5
"""The seconds between two lines of `--progress`."""


def index(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders and files.", show_default=False)
    ],
    library: LibraryOption = None,
    preset: Annotated[str | None, typer.Option(help="For a new library: which models.")] = None,
    image_model: ImageModelOption = None,
    sound_model: SoundModelOption = None,
    speech_model: SpeechModelOption = None,
    text_model: TextModelOption = None,
    ocr: Annotated[
        bool | None,
        typer.Option(
            "--ocr/--no-ocr",
            help="Read the writing in pictures; default where it is installed.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    language: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="What is spoken (en, de, ...); detected if not given."),
    ] = None,
    kinds: KindsOption = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only files that match; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Not the files and folders that match; repeatable."),
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Also files and folders whose name begins with a dot.")
    ] = False,
    within: Annotated[
        list[Path] | None,
        typer.Option(
            "--within", metavar="DIR", help="Follow no link out of these folders; repeatable."
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Take out the files that are gone from these folders.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the files again that failed before.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 3 when a file was not read, or only in part."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Decoder processes; default one a core.")
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, help="Larger pictures are refused.")
    ] = 200.0,
    max_file_gb: Annotated[float, typer.Option(min=0.0, help="Larger files are refused.")] = 64.0,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            help="Raise a limit that `status --partial` names, as in pages=5000; repeatable.",
        ),
    ] = None,
    decode_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="A decoder silent for longer is stopped.")
    ] = 60.0,
    decode_memory_gb: Annotated[
        float, typer.Option(min=0.25, help="What one decoder process may allocate.")
    ] = 2.0,
    index_kind: IndexKindOption = AUTO,
    index_memory: IndexMemoryOption = None,
    index_recall: IndexRecallOption = DEFAULT_RECALL,
    json_lines: JsonOption = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="With --json: also how far it is, twice a second.")
    ] = False,
) -> None:
    """Bring the library up to date with folders or files; unchanged files cost nothing."""
    from mmsearch_indexers.discovery import FileSelection, check_roots
    from mmsearch_indexers.local import IndexOptions

    from mmsearch.cli.provisioning_display import ProvisioningDisplay
    from mmsearch.cli.render import IndexDisplay, print_advice, print_summary
    from mmsearch.library.library import Library
    from mmsearch.media.base import Limits, LoadOptions
    from mmsearch.models.provisioning import Runtime
    from mmsearch.query.request import parse_kinds
    from mmsearch.runtime.device import resolve_device
    from mmsearch.store import manifest
    from mmsearch.store.location import Location

    check_roots(paths)  # before a library is made for them
    folder = Location.parse(library or default_library())
    limits = dataclasses.replace(
        Limits(
            pixels=int(max_megapixels * MEGA),
            file_bytes=int(max_file_gb * 1000 * MEGA),
            stall_s=decode_timeout,
            memory_bytes=int(decode_memory_gb * 1024**3),
        ),
        **_parse_limits(limit or ()),
    )
    wishes = IndexOptions(
        selection=FileSelection(
            tuple(include or ()),
            tuple(exclude or ()),
            hidden,
            within=tuple(str(folder.expanduser().resolve()) for folder in within or ()),
        ),
        kinds=parse_kinds(split_kinds(kinds)),
        options=LoadOptions(limits=limits),
        workers=workers,
        prune=prune,
        retry_failed=retry_failed,
    )
    is_new = not manifest.exists(folder)
    with ProvisioningDisplay(is_shown=not json_lines) as provisioning:
        opened = Library.open(
            folder,
            preset=preset,
            models=collect_models(image_model, sound_model, speech_model, text_model)
            | ({} if ocr is None else {"ocr": "rapidocr" if ocr else "none"}),
            runtime=Runtime(device=device, precision=precision, language=language),
            index=parse_index_config(index_kind, index_memory, index_recall),
            on_provisioning=provisioning.show,
        )
    with opened:
        if (reason := resolve_device(device).reason) and not json_lines:
            typer.echo(f"On the CPU: {reason}", err=True)
        if is_new and opened.manifest.preset == "mini" and not json_lines:
            typer.echo(
                f"New library {folder}, preset mini: small models, offline, English.\n"
                "For CLIP and CLAP quality: pip install 'mmsearch[clip]', then --preset clip with "
                "a new --library.",
                err=True,
            )
        with IndexDisplay(is_shown=not json_lines) as display:
            lines = _JsonLines(with_progress=progress)
            on_event: Callable[[Event], object] = lines.show if json_lines else display.show
            report = opened.index(*paths, on_event=on_event, wishes=wishes)
        if not json_lines:
            print_summary(report, display.failures, display.partial)
            print_advice(opened.status())
    if strict and (report.failed or report.partial):
        raise typer.Exit(EXIT_FAILED_FILES)


def _parse_limits(settings: Sequence[str]) -> dict[str, int]:
    """Reads settings such as `pages=5000`; raises ConfigError for other names and values."""
    limits: dict[str, int] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in RAISABLE or not value.isdecimal():
            raise ConfigError(
                f"--limit {setting}: it takes a name and a whole number, as in pages=5000; the "
                f"names are {', '.join(RAISABLE)}"
            )
        limits[name] = int(value)
    return limits


class _JsonLines:
    """Prints events as JSON lines on standard output, and progress only if asked for."""

    def __init__(self, *, with_progress: bool) -> None:
        self._with_progress = with_progress
        self._shown_s = 0.0

    def show(self, event: Event) -> None:
        """Prints an event; a reader has it at the next line of progress at the latest."""
        from mmsearch_indexers.events import Finished, Progress

        from mmsearch.snapshot.maintenance import IndexProgress

        if isinstance(event, Progress | IndexProgress):
            is_last = isinstance(event, Progress) and event.done == event.total
            is_due = time.monotonic() - self._shown_s >= PROGRESS_S
            if not self._with_progress or not (is_last or is_due):
                return
            self._shown_s = time.monotonic()
        name = type(event).__name__.lower()
        fields = dataclasses.asdict(event)
        sys.stdout.write(json.dumps({"event": name, **fields}, ensure_ascii=False) + "\n")
        if isinstance(event, Progress | IndexProgress | Finished):
            sys.stdout.flush()
