"""The hub's own cache of a repository, in the layout that all programs share that use the hub.

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
from mmsearch.models.weights import safe_name
from mmsearch.runtime.atomic_files import write_whole

LOCK_TIMEOUT_S = 3600.0
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubCache:
    """What is cached of one repository."""

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

    def commit(self, revision: str) -> str:
        """The commit that a revision stood for when it was cached; empty when it was not."""
        if _COMMIT.fullmatch(revision):
            return revision
        try:
            commit = self._ref(revision).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
        return commit if commit.isalnum() else ""

    def point(self, revision: str, commit: str) -> None:
        """Note which commit a revision stands for, once all of it is there."""
        if not _COMMIT.fullmatch(revision):
            path = self._ref(revision)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, commit)

    def snapshot(self, commit: str) -> Path:
        """The folder in which the files of a commit have their names."""
        return self.folder / "snapshots" / commit

    def names(self, commit: str) -> list[str]:
        """The files of a commit that are here, as far as links lead to something."""
        folder = self.snapshot(commit)
        return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

    def part(self, file: RemoteFile) -> Path:
        """Where a file is collected; huggingface_hub lets files of such a name lie."""
        return self.folder / "blobs" / f"{file.blob}.mmsearch.incomplete"

    @contextmanager
    def fetching(self, file: RemoteFile) -> Iterator[None]:
        """Hold the lock under which huggingface_hub fetches the same content.

        Raises ModelError where another process holds it for an hour.
        """
        path = self.root / ".locks" / self.name / f"{file.blob}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.part(file).parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout as exc:
            raise ModelError(
                f"another process has been fetching {file.name} of {self.source} for over an "
                f"hour: wait for it, or end it and try again"
            ) from exc

    def has(self, file: RemoteFile) -> bool:
        """Whether its content is here, under whatever name."""
        return self._blob(file).is_file()

    def put(self, file: RemoteFile) -> None:
        """What was collected is whole: keep it."""
        part = self.part(file)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(self._blob(file))

    def link(self, file: RemoteFile, commit: str) -> Path:
        """Give a content that is here its name in a commit."""
        blob, pointer = self._blob(file), self.snapshot(commit) / file.name
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
        """Throw a content away that is not what it should be."""
        (self.snapshot(commit) / file.name).unlink(missing_ok=True)
        self._blob(file).unlink(missing_ok=True)
        self.part(file).unlink(missing_ok=True)

    def _blob(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / file.blob

    def _ref(self, revision: str) -> Path:
        return self.folder / "refs" / safe_name(revision or "main")
