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
from mmsearch.server.mcp.indexing_tools import IndexingTools
from mmsearch.server.mcp.search_tools import ReadingTools

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
class MCPSettings:
    """The library to serve; nothing is indexed without `allow_write`, and then below `roots`."""

    library: Path
    allow_write: bool = False
    roots: tuple[Path, ...] = ()

    def checked(self) -> MCPSettings:
        """Returns itself; raises ConfigError for settings at odds, or a root that is not there."""
        if self.allow_write and not self.roots:
            raise ConfigError("--allow-write needs --root DIR: say below which folders to index")
        if self.roots and not self.allow_write:
            raise ConfigError("--root goes with --allow-write: nothing is indexed without it")
        for root in self.roots:
            if not root.is_dir():
                raise ConfigError(f"--root {root}: there is no such folder")
        return self


class LazyLibrary:
    """The library, its previews and its jobs, each opened once, when it is first needed."""

    def __init__(self, settings: MCPSettings) -> None:
        self._path = settings.library
        self._roots = settings.roots
        self._lock = threading.RLock()
        self._library: Library | None = None
        self._previews: Previews | None = None
        self._jobs: Jobs | None = None

    def open_library(self) -> Library:
        """Opens the library; raises what `Library.open` raises, each time anew."""
        from mmsearch.library.library import Library
        from mmsearch.models.provisioning import Runtime

        with self._lock:
            if self._library is None:
                # Words are encoded on the CPU, where that takes milliseconds and no torch.
                self._library = Library.open(
                    self._path, create=False, runtime=Runtime(device="cpu")
                )
            return self._library

    def open_previews(self) -> Previews:
        """Opens the maker of pictures; raises what `library` raises."""
        from mmsearch.previews import Previews

        with self._lock:
            if self._previews is None:
                self._previews = Previews(self.open_library(), workers=1)
            return self._previews

    def open_jobs(self) -> Jobs:
        """Opens the runner of indexing jobs."""
        from mmsearch.jobs import Jobs

        with self._lock:
            if self._jobs is None:
                self._jobs = Jobs(self._path, roots=self._roots)
            return self._jobs

    def warm_up(self) -> None:
        """Loads what a search needs, in a thread of its own."""

        def load() -> None:
            # What goes wrong here goes wrong again, and is told, where it is used.
            with contextlib.suppress(MmsearchError):
                self.open_library().warm_up()

        threading.Thread(target=load, daemon=True, name="warm-up").start()

    def close(self) -> None:
        """Ends the jobs and the decoders; what the jobs have finished is kept."""
        for service in (self._jobs, self._previews, self._library):
            if service is not None:
                service.close()


def create_server(settings: MCPSettings, library: LazyLibrary) -> MCPServer[Any]:
    """Creates the server with its tools, those that write only where that is allowed."""
    from importlib.metadata import version

    roots = tuple(os.path.realpath(root) for root in settings.roots)
    reading = ReadingTools(
        library.open_library,
        library.open_previews,
        answers.IndexingPermission(is_allowed=settings.allow_write, roots=roots),
    )
    tools = [
        _make_tool(reading.search, "Search my files", _READS),
        _make_tool(reading.similar, "More like this", _READS),
        _make_tool(reading.get_segment, "Read a part of a file", _READS),
        _make_tool(reading.status, "What is in the library", _READS),
    ]
    if settings.allow_write:
        indexing = IndexingTools(library.open_jobs)
        tools += [
            _make_tool(indexing.index, "Index folders and files", _WRITES),
            _make_tool(indexing.job, "How far an indexing job is", _READS),
        ]
    return MCPServer(
        "mmsearch",
        title="mmsearch",
        instructions=INSTRUCTIONS,
        version=version("mmsearch"),
        tools=tools,
        log_level="WARNING",
    )


def _make_tool(function: Callable[..., Any], title: str, annotations: ToolAnnotations) -> Tool:
    """Makes a tool that refuses unknown arguments: a filter must not be ignored silently."""
    tool = Tool.from_function(function, title=title, annotations=annotations)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = arguments.model_json_schema(by_alias=True)
    return tool


def run(settings: MCPSettings) -> None:
    """Serves until standard input ends.

    Raises ConfigError for settings that cannot be, what `Library.open` raises, and LibraryNotFound
    where nothing may be indexed.
    """
    library = LazyLibrary(settings.checked())
    try:
        library.open_library()
    except LibraryNotFound:
        if not settings.allow_write:  # else `index` makes one
            raise
    server = create_server(settings, library)
    _end_on_signals(library)
    library.warm_up()
    try:
        server.run("stdio")
    finally:
        library.close()


def _end_on_signals(library: LazyLibrary) -> None:
    """Ends the process at once on a signal, though a thread waits for a line.

    A thread of its own reads signals from a pipe. Handlers in Python run in the main thread, which
    sleeps on when a signal comes in the moment before it begins to wait.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    ending = (signal.SIGINT, signal.SIGTERM)

    def give_way(number: int, frame: FrameType | None) -> None:
        del number, frame
        for ending_signal in ending:
            signal.signal(ending_signal, signal.SIG_DFL)  # who asks twice means it

    def end() -> None:
        while (number := os.read(reading, 1)[0]) not in ending:
            pass
        library.close()
        os._exit(128 + number)

    threading.Thread(target=end, daemon=True, name="signals").start()
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for ending_signal in ending:
        signal.signal(ending_signal, give_way)
