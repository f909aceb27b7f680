"""The MCP server: a library as tools for a model, over standard input and output."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations

from mmsearch.errors import ConfigError, LibraryNotFound, MmsearchError
from mmsearch.server.mcp import answers
from mmsearch.server.mcp.indexing_tools import Indexing
from mmsearch.server.mcp.search_tools import Reading

if TYPE_CHECKING:
    from mmsearch.jobs import Jobs
    from mmsearch.library.library import Library
    from mmsearch.previews import Previews

INSTRUCTIONS = (
    "Searches the user's own files on this machine by meaning: pictures, sounds, moments of videos "
    "and texts. Begin with search; get_segment shows a hit as a whole, similar finds more like it. "
    "Tell the user paths, and times or pages, so that the files can be found again. " + answers.NOTE
)
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served: nothing is indexed without `allow_write`, and then only below `roots`."""

    library: Path
    allow_write: bool = False
    roots: tuple[Path, ...] = ()

    def checked(self) -> Settings:
        """Itself; raises ConfigError for what does not go together, or a root that is not there."""
        if self.allow_write and not self.roots:
            raise ConfigError("--allow-write needs --root DIR: say below which folders to index")
        if self.roots and not self.allow_write:
            raise ConfigError("--root goes with --allow-write: nothing is indexed without it")
        for root in self.roots:
            if not root.is_dir():
                raise ConfigError(f"--root {root}: there is no such folder")
        return self


class Opened:
    """The library, its previews and its jobs: each opened once, when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.library
        self._roots = settings.roots
        self._lock = threading.RLock()
        self._library: Library | None = None
        self._previews: Previews | None = None
        self._jobs: Jobs | None = None

    def library(self) -> Library:
        """The library; raises what `Library.open` raises, each time anew."""
        from mmsearch.library.library import Library
        from mmsearch.models.provisioning import Runtime

        with self._lock:
            if self._library is None:
                # Words are encoded on the CPU, where that takes milliseconds and no torch.
                self._library = Library.open(
                    self._path, create=False, runtime=Runtime(device="cpu")
                )
            return self._library

    def previews(self) -> Previews:
        """What makes pictures of files; raises what `library` raises."""
        from mmsearch.previews import Previews

        with self._lock:
            if self._previews is None:
                self._previews = Previews(self.library(), workers=1)
            return self._previews

    def jobs(self) -> Jobs:
        """What is indexed in the background."""
        from mmsearch.jobs import Jobs

        with self._lock:
            if self._jobs is None:
                self._jobs = Jobs(self._path, roots=self._roots)
            return self._jobs

    def warm_up(self) -> None:
        """Load what a search needs, in a thread of its own."""

        def load() -> None:
            # What goes wrong here goes wrong again, and is told, where it is used.
            with contextlib.suppress(MmsearchError):
                self.library().warm_up()

        threading.Thread(target=load, daemon=True, name="warm-up").start()

    def close(self) -> None:
        """End the jobs and the decoders; what the jobs have finished is kept."""
        for one in (self._jobs, self._previews, self._library):
            if one is not None:
                one.close()


def create_server(settings: Settings, opened: Opened) -> MCPServer[Any]:
    """The server with its tools: those that write only where that is allowed."""
    from importlib.metadata import version

    roots = tuple(os.path.realpath(root) for root in settings.roots)
    reading = Reading(
        opened.library,
        opened.previews,
        answers.Indexing(is_allowed=settings.allow_write, roots=roots),
    )
    tools = [
        _tool(reading.search, "Search my files", _READS),
        _tool(reading.similar, "More like this", _READS),
        _tool(reading.get_segment, "Read a part of a file", _READS),
        _tool(reading.status, "What is in the library", _READS),
    ]
    if settings.allow_write:
        indexing = Indexing(opened.jobs)
        tools += [
            _tool(indexing.index, "Index folders and files", _WRITES),
            _tool(indexing.job, "How far an indexing job is", _READS),
        ]
    return MCPServer(
        "mmsearch",
        title="mmsearch",
        instructions=INSTRUCTIONS,
        version=version("mmsearch"),
        tools=tools,
        log_level="WARNING",
    )


def _tool(function: Callable[..., Any], title: str, annotations: ToolAnnotations) -> Tool:
    """A tool that refuses arguments it does not know: a filter must not be passed over silently."""
    tool = Tool.from_function(function, title=title, annotations=annotations)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = arguments.model_json_schema(by_alias=True)
    return tool


def run(settings: Settings) -> None:
    """Serve until standard input ends.

    Raises ConfigError for settings that cannot be, and, where nothing could be indexed,
    LibraryNotFound and what else `Library.open` raises.
    """
    opened = Opened(settings.checked())
    try:
        opened.library()
    except LibraryNotFound:
        if not settings.allow_write:  # else `index` makes one
            raise
    server = create_server(settings, opened)
    _end_on_signals(opened)
    opened.warm_up()
    try:
        server.run("stdio")
    finally:
        opened.close()


def _end_on_signals(opened: Opened) -> None:
    """End at once when asked to: a thread that waits for a line would hold the usual way up.

    A thread of its own hears of signals through a pipe. Handlers in Python run in the main thread,
    which sleeps on when a signal comes in the moment before it begins to wait.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    ending = (signal.SIGINT, signal.SIGTERM)

    def give_way(number: int, frame: FrameType | None) -> None:
        del number, frame
        for one in ending:
            signal.signal(one, signal.SIG_DFL)  # who asks twice means it

    def end() -> None:
        while (number := os.read(reading, 1)[0]) not in ending:
            pass
        opened.close()
        os._exit(128 + number)

    threading.Thread(target=end, daemon=True, name="signals").start()
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for one in ending:
        signal.signal(one, give_way)
