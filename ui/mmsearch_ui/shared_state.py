"""What all pages and routes of the process share: the library, its previews, its jobs."""

from __future__ import annotations

import contextlib
import threading
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
"""Under which the media routes lie."""


class _Shared:
    """Each thing is made when it is first asked for, once, whichever thread asks."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.path: Path | None = None
        self.library: Library | None = None
        self.previews: Previews | None = None
        self.jobs: Jobs | None = None


_shared = _Shared()


def use(path: Path) -> None:
    """Show the library at `path` from now on; what was open before is closed."""
    with _shared.lock:
        close()
        _shared.path = path


def library_path() -> Path:
    """The folder of the library, which need not be there yet."""
    if _shared.path is None:
        from mmsearch.config import default_library

        _shared.path = default_library()
    return _shared.path


def open_library() -> Library:
    """The library; raises LibraryNotFound where none is yet, and what `Library.open` raises.

    A failure is not kept: who asks again after a first `index` gets the library.
    """
    with _shared.lock:
        if _shared.library is None:
            from mmsearch.library.library import Library

            # Words are encoded on the CPU, where that takes milliseconds and no torch.
            runtime = Runtime(device="cpu")
            _shared.library = Library.open(library_path(), create=False, runtime=runtime)
        return _shared.library


def previews() -> Previews:
    """What makes thumbnails; raises what `open_library` raises."""
    with _shared.lock:
        if _shared.previews is None:
            from mmsearch.previews import Previews

            _shared.previews = Previews(open_library())
        return _shared.previews


def jobs() -> Jobs:
    """The indexing that goes on in the background, whoever looks at it."""
    with _shared.lock:
        if _shared.jobs is None:
            from mmsearch.jobs import Jobs

            _shared.jobs = Jobs(library_path())
        return _shared.jobs


def warm_up() -> None:
    """Load what a search needs, in a thread; a library that is not there yet is no error."""

    def load() -> None:
        # What goes wrong here goes wrong again, and is told, where it is used.
        with contextlib.suppress(MmsearchError):
            open_library().warm_up()

    threading.Thread(target=load, daemon=True, name="warm-up").start()


def close() -> None:
    """Stop jobs and decoders, and let go of the library; all can be opened again."""
    with _shared.lock:
        for one in (_shared.jobs, _shared.previews, _shared.library):
            if one is not None:
                one.close()
        _shared.jobs = _shared.previews = _shared.library = None


def media_url(asset_id: str, *, is_download: bool = False) -> str:
    """Where the file of an asset is served, to be played or to be kept."""
    return f"{PREFIX}/assets/{asset_id}/media{'?download=1' if is_download else ''}"


def thumbnail_url(
    asset_id: str, *, at_s: float | None = None, page: int | None = None, px: int = 320
) -> str:
    """Where the picture of an asset is served: of a video at a time, of a document by page."""
    asked: dict[str, str] = {}
    if at_s is not None:
        asked["t"] = f"{at_s:.3f}"
    if page is not None:
        asked["page"] = str(page)
    asked["px"] = str(px)
    return f"{PREFIX}/assets/{asset_id}/thumbnail?{urlencode(asked)}"


def waveform_url(asset_id: str, *, span: tuple[float, float] | None = None) -> str:
    """Where the drawing of a sound is served, the whole of it or a stretch in seconds."""
    asked = {"kind": "waveform"}
    if span is not None:
        asked |= {"start_s": f"{span[0]:.3f}", "end_s": f"{span[1]:.3f}"}
    return f"{PREFIX}/assets/{asset_id}/thumbnail?{urlencode(asked)}"
