"""The state that all pages and routes of the process share: library, previews, jobs."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from mmsearch.errors import MmsearchError
from mmsearch.models.provisioning import Runtime

if TYPE_CHECKING:
    from mmsearch.jobs import Jobs
    from mmsearch.library.library import Library
    from mmsearch.previews import Previews

PREFIX = "/mm"
"""Path prefix of the media routes."""


@dataclass
class _SharedState:
    """The values, each created at its first use, by any thread."""

    path: Path | None = None
    library: Library | None = None
    previews: Previews | None = None
    jobs: Jobs | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


_shared = _SharedState()


def use_library(path: Path) -> None:
    """Uses the library at `path` from now on; closes the one before."""
    with _shared.lock:
        close_all()
        _shared.path = path


def library_path() -> Path:
    """Returns the folder of the library, which need not exist yet."""
    if _shared.path is None:
        from mmsearch.config import default_library

        _shared.path = default_library()
    return _shared.path


def open_library() -> Library:
    """Opens the library; raises LibraryNotFound where there is none, and as `Library.open`.

    A failure is not cached: after a first `index` the next call returns the library.
    """
    with _shared.lock:
        if _shared.library is None:
            from mmsearch.library.library import Library

            # On the CPU a query is encoded in milliseconds, without torch.
            runtime = Runtime(device="cpu")
            _shared.library = Library.open(library_path(), create=False, runtime=runtime)
        return _shared.library


def get_previews() -> Previews:
    """Returns the previews; raises as `open_library`."""
    with _shared.lock:
        if _shared.previews is None:
            from mmsearch.previews import Previews

            _shared.previews = Previews(open_library())
        return _shared.previews


def get_jobs() -> Jobs:
    """Returns the background jobs of the process."""
    with _shared.lock:
        if _shared.jobs is None:
            from mmsearch.jobs import Jobs

            _shared.jobs = Jobs(library_path())
        return _shared.jobs


def warm_up() -> None:
    """Loads the models of a search in a thread; a missing library is no error."""

    def load() -> None:
        # The same error is raised again, and shown, at the first search.
        with contextlib.suppress(MmsearchError):
            open_library().warm_up()

    threading.Thread(target=load, daemon=True, name="warm-up").start()


def close_all() -> None:
    """Stops jobs and decoders, and closes the library; all can be opened again."""
    with _shared.lock:
        for resource in (_shared.jobs, _shared.previews, _shared.library):
            if resource is not None:
                resource.close()
        _shared.jobs = _shared.previews = _shared.library = None


def media_url(asset_id: str, *, is_download: bool = False) -> str:
    """Returns the URL of the file of an asset."""
    return f"{PREFIX}/assets/{asset_id}/media{'?download=1' if is_download else ''}"


def thumbnail_url(
    asset_id: str, *, at_s: float | None = None, page: int | None = None, px: int = 320
) -> str:
    """Returns the URL of the image of an asset: of a video at a time, of a document by page."""
    parameters = {"t": None if at_s is None else f"{at_s:.3f}", "page": page, "px": px}
    present = {name: value for name, value in parameters.items() if value is not None}
    return f"{PREFIX}/assets/{asset_id}/thumbnail?{urlencode(present)}"


def waveform_url(asset_id: str, *, span: tuple[float, float] | None = None) -> str:
    """Returns the URL of the waveform of a sound, all of it or a span in seconds."""
    parameters = {"kind": "waveform"}
    if span is not None:
        parameters |= {"start_s": f"{span[0]:.3f}", "end_s": f"{span[1]:.3f}"}
    return f"{PREFIX}/assets/{asset_id}/thumbnail?{urlencode(parameters)}"
