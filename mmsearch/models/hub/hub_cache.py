"""The hub's cache of a repository, in the layout that all programs share that use the hub.

    models--OWNER--NAME/refs/main            a commit
                        snapshots/COMMIT/    links to blobs, under the names of files
                        blobs/HASH           contents
See huggingface.co/docs/huggingface_hub/guides/manage-cache.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mmsearch.errors import ModelError
from mmsearch.models.hub.repository import RemoteFile
from mmsearch.models.weights import check_file_name
from mmsearch.runtime.atomic_files import write_atomically

LOCK_TIMEOUT_S = 3600.0
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubCache:
    """The cached files of one repository."""

    root: Path
    source: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"models--{self.source.replace('/', '--')}"

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.root / self.name

    def find_commit(self, revision: str) -> str:
        """Returns the commit of a revision when it was cached; empty if it was not."""
        if _COMMIT.fullmatch(revision):
            return revision
        try:
            commit = self._ref_path(revision).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
        return commit if commit.isalnum() else ""

    def save_commit(self, revision: str, commit: str) -> None:
        """Records the commit of a revision, once all its files are here."""
        if not _COMMIT.fullmatch(revision):
            path = self._ref_path(revision)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, commit)

    def snapshot_folder(self, commit: str) -> Path:
        """Returns the folder in which the files of a commit have their names."""
        return self.folder / "snapshots" / commit

    def list_names(self, commit: str) -> list[str]:
        """Lists the files of a commit that are here, as far as links lead to something."""
        folder = self.snapshot_folder(commit)
        return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

    def partial_path(self, file: RemoteFile) -> Path:
        """Returns the path of a partial file; huggingface_hub leaves such a name alone."""
        return self.folder / "blobs" / f"{file.blob}.mmsearch.incomplete"

    @contextmanager
    def lock_file(self, file: RemoteFile) -> Iterator[None]:
        """Holds the lock under which huggingface_hub fetches the same content.

        Raises ModelError where another process holds it for an hour.
        """
        path = self.root / ".locks" / self.name / f"{file.blob}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.partial_path(file).parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout as exc:
            raise ModelError(
                f"another process has been fetching {file.name} of {self.source} for over an "
                f"hour: wait for it, or end it and try again"
            ) from exc

    def has(self, file: RemoteFile) -> bool:
        """Tests if a content is here, under any name."""
        return self._blob_path(file).is_file()

    def finish(self, file: RemoteFile) -> None:
        """Keeps a partial file that is complete."""
        part = self.partial_path(file)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(self._blob_path(file))

    def link(self, file: RemoteFile, commit: str) -> Path:
        """Links a content to its name in a commit."""
        blob, pointer = self._blob_path(file), self.snapshot_folder(commit) / file.name
        if pointer.is_file():
            return pointer
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except FileExistsError:
            return pointer  # another process did it
        except OSError:
            blob.replace(pointer)  # a disk without links: then the client keeps no blobs either
        return pointer

    def remove(self, file: RemoteFile, commit: str) -> None:
        """Deletes a content with a wrong hash."""
        (self.snapshot_folder(commit) / file.name).unlink(missing_ok=True)
        self._blob_path(file).unlink(missing_ok=True)
        self.partial_path(file).unlink(missing_ok=True)

    def _blob_path(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / file.blob

    def _ref_path(self, revision: str) -> Path:
        return self.folder / "refs" / check_file_name(revision or "main")
