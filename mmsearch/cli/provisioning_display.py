"""Shows on stderr how models are fetched and converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from mmsearch.formatting import format_size

if TYPE_CHECKING:
    from mmsearch.models.provisioning import ProvisioningEvent


class ProvisioningDisplay:
    """A bar for each step where stderr is a terminal, else a line; nothing when hidden."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._last: tuple[str, str] | None = None

    def __enter__(self) -> ProvisioningDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, event: ProvisioningEvent) -> None:
        """Shows one event of `mmsearch.models.provisioning`."""
        if not self._is_shown:
            return
        step = (event.model, event.what)
        if not self._console.is_terminal:
            if step != self._last:
                total = f" ({format_size(event.total_bytes)})" if event.total_bytes else ""
                self._console.print(f"{event.model}: {event.what}{total}", markup=False)
            self._last = step
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[amount]}", markup=False),
                console=self._console,
            )
            self._progress.start()
        self._draw(self._progress, step, event)

    def _draw(self, progress: Progress, step: tuple[str, str], event: ProvisioningEvent) -> None:
        if step not in self._tasks:
            for task in self._tasks.values():  # the steps before are done
                progress.update(task, total=1.0, completed=1.0)
            label = f"{event.model}: {event.what}"
            self._tasks[step] = progress.add_task(label, total=None, amount="")
        if event.total_bytes:
            progress.update(
                self._tasks[step],
                total=event.total_bytes,
                completed=event.done_bytes,
                amount=f"{format_size(event.done_bytes)} of {format_size(event.total_bytes)}",
            )
        elif event.share is not None:
            progress.update(self._tasks[step], total=1.0, completed=event.share)
