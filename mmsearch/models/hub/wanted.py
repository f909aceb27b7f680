"""Which files of a repository a model needs, and which of them are not here as they should be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import WeightsMismatch
from mmsearch.models.hash_cache import Stamps
from mmsearch.models.hub import advice
from mmsearch.models.hub.advice import Asked
from mmsearch.models.hub.hub_cache import HubCache
from mmsearch.models.hub.repository import Listing, RemoteFile, chosen
from mmsearch.models.weights import hash_file, is_pickle, is_weights
from mmsearch.types import WeightFile


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, where it is cached, and which of its files are needed."""

    asked: Asked
    cache: HubCache
    patterns: tuple[str, ...]
    expected: Mapping[str, WeightFile]

    def among(self, listing: Listing) -> list[RemoteFile]:
        """Those files of a repository that are needed.

        Raises WeightsMissing where there are no weights but pickles, and WeightsMismatch where the
        hub has others than those that are expected.
        """
        files = {file.name: file for file in listing.files}
        names = chosen(list(files), self.patterns, self.expected)
        has_weights = any(map(is_weights, names))
        if not names or (not has_weights and any(map(is_weights, self.patterns))):
            pickles = sorted(filter(is_pickle, files))
            lacks = f"only {', '.join(pickles[:3])}" if pickles else "no such files"
            raise advice.unusable(self.asked, self.asked.page, lacks)
        for name, file in self.expected.items():
            if name not in files:
                raise WeightsMismatch(
                    f"{self.asked.page} has no {name} at {listing.commit}, but it is pinned: take "
                    f"away the pin, or name the revision that had it"
                )
            if files[name].sha256 not in ("", file.sha256):
                where = f"{self.asked.page}: {name}"
                raise mismatch(self.asked, where, files[name].sha256, file.sha256)
        return [files[name] for name in names]

    def absent(self, listing: Listing) -> list[RemoteFile]:
        """What is needed and not in the cache, or damaged there; unchanged files are not read."""
        folder = self.cache.snapshot(listing.commit)
        stamps = Stamps.of(folder, inside=False)
        absent = [
            file
            for file in self.among(listing)
            if not is_whole(folder / file.name, file, stamps=stamps)
        ]
        stamps.save()
        return absent


def is_whole(path: Path, file: RemoteFile, *, stamps: Stamps | None = None) -> bool:
    """Whether a content is the one that the hub says; hashed whatever is known without `stamps`."""
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    if file.sha256:
        found = stamps.sha256(path, file.name) if stamps else hash_file(path)
        return found == file.sha256
    return len(file.blob) != 40 or _git_hash(path) == file.blob


def hub_hash(path: Path, file: RemoteFile) -> str:
    """The hash of a content in the way in which the hub tells it of this file."""
    return hash_file(path) if file.sha256 else _git_hash(path)


def mismatch(asked: Asked, where: str, found: str, belongs: str) -> WeightsMismatch:
    """For a file with another hash than the hub, or a pin, says."""
    return WeightsMismatch(
        f"{where} has hash {found}, but {belongs} belongs to it: try `mmsearch models pull "
        f"{asked.name}` again later, or name another revision"
    )


def _git_hash(path: Path) -> str:
    """What git calls a content: the hub's hash of files that are not large."""
    content = path.read_bytes()
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
