"""Brings the files of a model from the hub into the hub's cache."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmsearch.errors import ModelError
from mmsearch.models.hub.repository import Listing, RemoteFile, client, headers
from mmsearch.models.hub.transfer import Remote, fetch, size_of
from mmsearch.models.hub.wanted import Wanted, hub_hash, is_whole, mismatch
from mmsearch.models.weights import check_no_pickle

PROGRESS_S = 0.1
"""Between two events of progress, but for the first and the last."""
SPARE = 1.1
"""Times what is to be fetched must be free on the disk."""


@dataclass(frozen=True, slots=True)
class Download:
    """How far the fetching of a model is: bytes of all its files, what was there before included.

    `name` is the file that is being fetched.
    """

    name: str
    done_bytes: int
    total_bytes: int


def bring(listing: Listing, wanted: Wanted, on_progress: Callable[[Download], None]) -> None:
    """Fetch what is absent; what is collected gets its name only after its hash was checked.

    Raises WeightsMismatch where the hub sends other content twice, ModelError for a full disk, and
    what `transfer.fetch` raises.
    """
    cache, commit = wanted.cache, listing.commit
    absent = wanted.absent(listing)
    missing = [file for file in absent if not cache.has(file)]
    begun_bytes = sum(size_of(cache.part(file)) for file in missing)
    _check_space(wanted, sum(file.size_bytes for file in missing) - begun_bytes)
    progress = _Progress(missing, on_progress)
    for file in absent:
        with cache.fetching(file):
            if cache.has(file):  # another revision has it, another process brought it, or damaged
                if is_whole(cache.link(file, commit), file):
                    continue
                cache.remove(file, commit)
            _collect(file, commit, wanted, progress)
            cache.put(file)
            cache.link(file, commit)
    progress.end()


def _collect(file: RemoteFile, commit: str, wanted: Wanted, progress: _Progress) -> None:
    """Collect one file, anew where what arrives first is not what the hub says."""
    settings, part = wanted.asked.settings, wanted.cache.part(file)
    remote = Remote(
        url=client().hf_hub_url(
            wanted.asked.source, file.name, revision=commit, endpoint=settings.endpoint
        ),
        size_bytes=file.size_bytes,
        headers=headers(),
        timeout_s=settings.data_timeout_s,
    )
    found = ""
    for _ in range(2):
        fetch(remote, part, lambda size: progress.at(file, size))
        if is_whole(part, file):
            try:
                check_no_pickle(part, name=file.name, ctranslate2=True)
            except ModelError:
                part.unlink()
                raise
            return
        found = hub_hash(part, file)
        part.unlink()
    raise mismatch(wanted.asked, remote.url, found, file.sha256 or file.blob)


def _check_space(wanted: Wanted, missing_bytes: int) -> None:
    folder = wanted.cache.folder.absolute()
    while not folder.exists():
        folder = folder.parent
    lacking_bytes = missing_bytes * SPARE - shutil.disk_usage(folder).free
    if missing_bytes > 0 and lacking_bytes > 0:
        raise ModelError(
            f"{wanted.asked.source} takes {missing_bytes / 1e9:.2f} GB, for which "
            f"{lacking_bytes / 1e9:.2f} GB are missing on the disk of {wanted.cache.root}: free "
            f"them, or set HF_HOME to a folder on another disk"
        )


class _Progress:
    """Turns the sizes of single files into events for all of them, not too many a second."""

    def __init__(self, files: Sequence[RemoteFile], tell: Callable[[Download], None]) -> None:
        self._tell = tell
        self._total_bytes = sum(file.size_bytes for file in files)
        self._sizes: dict[str, int] = {}
        self._next_s = 0.0

    def at(self, file: RemoteFile, size: int) -> None:
        """A file has so many bytes now."""
        self._sizes.pop(file.name, None)
        self._sizes[file.name] = size
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + PROGRESS_S
            self.end()

    def end(self) -> None:
        """Tell how it stands, whenever the last event was."""
        if self._sizes:
            done_bytes = min(sum(self._sizes.values()), self._total_bytes)
            self._tell(Download(next(reversed(self._sizes)), done_bytes, self._total_bytes))
