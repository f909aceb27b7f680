"""Fetches the files of a model from the hub into the hub's cache."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmsearch.errors import ModelError
from mmsearch.models.hub.file_selection import (
    FileSelectionRequest,
    compute_hub_hash,
    explain_mismatch,
    is_intact,
)
from mmsearch.models.hub.repository import Listing, RemoteFile, build_headers, import_client
from mmsearch.models.hub.transfer import RemoteUrl, fetch, file_size
from mmsearch.models.weights import check_no_pickle

PROGRESS_S = 0.1
"""Between two events of progress, but for the first and the last."""
SPARE = 1.1
"""Times what is to be fetched must be free on the disk."""


@dataclass(frozen=True, slots=True)
class Download:
    """The progress of fetching a model: bytes of all its files, those already here included.

    `name` is the file that is being fetched.
    """

    name: str
    done_bytes: int
    total_bytes: int


def fetch_files(
    listing: Listing, selection: FileSelectionRequest, on_progress: Callable[[Download], None]
) -> None:
    """Fetches absent files; a file gets its name only after its hash was checked.

    Raises WeightsMismatch where the hub sends other content twice, ModelError for a full disk, and
    what `transfer.fetch` raises.
    """
    cache, commit = selection.cache, listing.commit
    absent = selection.list_absent(listing)
    missing = [file for file in absent if not cache.has(file)]
    begun_bytes = sum(file_size(cache.partial_path(file)) for file in missing)
    _check_space(selection, sum(file.size_bytes for file in missing) - begun_bytes)
    progress = _DownloadProgress(missing, on_progress)
    for file in absent:
        with cache.lock_file(file):
            if cache.has(file):  # another revision has it, another process brought it, or damaged
                if is_intact(cache.link(file, commit), file):
                    continue
                cache.remove(file, commit)
            _fetch_file(file, commit, selection, progress)
            cache.finish(file)
            # On a disk without links a damaged file may still have the name.
            (cache.snapshot_folder(commit) / file.name).unlink(missing_ok=True)
            cache.link(file, commit)
    progress.report()


def _fetch_file(
    file: RemoteFile, commit: str, selection: FileSelectionRequest, progress: _DownloadProgress
) -> None:
    """Fetches one file, once more where the first content is not that of the hub."""
    settings, part = selection.model.settings, selection.cache.partial_path(file)
    remote = RemoteUrl(
        url=import_client().hf_hub_url(
            selection.model.source, file.name, revision=commit, endpoint=settings.endpoint
        ),
        size_bytes=file.size_bytes,
        headers=build_headers(),
        timeout_s=settings.data_timeout_s,
    )
    found = ""
    for _ in range(2):
        fetch(remote, part, lambda size: progress.update(file, size))
        if is_intact(part, file):
            try:
                check_no_pickle(part, name=file.name, ctranslate2=True)
            except ModelError:
                part.unlink()
                raise
            return
        found = compute_hub_hash(part, file)
        part.unlink()
    raise explain_mismatch(selection.model, remote.url, found, file.sha256 or file.blob)


def _check_space(selection: FileSelectionRequest, missing_bytes: int) -> None:
    folder = selection.cache.folder.absolute()
    while not folder.exists():
        folder = folder.parent
    lacking_bytes = missing_bytes * SPARE - shutil.disk_usage(folder).free
    if missing_bytes > 0 and lacking_bytes > 0:
        raise ModelError(
            f"{selection.model.source} takes {missing_bytes / 1e9:.2f} GB, for which "
            f"{lacking_bytes / 1e9:.2f} GB are missing on the disk of {selection.cache.root}: free "
            f"them, or set HF_HOME to a folder on another disk"
        )


class _DownloadProgress:
    """Turns the sizes of single files into events for all of them, not too many a second."""

    def __init__(self, files: Sequence[RemoteFile], tell: Callable[[Download], None]) -> None:
        self._tell = tell
        self._total_bytes = sum(file.size_bytes for file in files)
        self._sizes: dict[str, int] = {}
        self._next_s = 0.0

    def update(self, file: RemoteFile, size: int) -> None:
        """Records the bytes of a file."""
        self._sizes.pop(file.name, None)
        self._sizes[file.name] = size
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + PROGRESS_S
            self.report()

    def report(self) -> None:
        """Reports the progress, whenever the last event was."""
        if self._sizes:
            done_bytes = min(sum(self._sizes.values()), self._total_bytes)
            self._tell(Download(next(reversed(self._sizes)), done_bytes, self._total_bytes))
