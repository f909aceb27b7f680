"""Selects the files of a repository that a model needs, and those that are absent or damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import WeightsMismatch
from mmsearch.models.hash_cache import HashCache
from mmsearch.models.hub import advice
from mmsearch.models.hub.advice import ModelSource
from mmsearch.models.hub.hub_cache import HubCache
from mmsearch.models.hub.repository import Listing, RemoteFile, select_names
from mmsearch.models.weights import hash_file, is_pickle, is_weights
from mmsearch.types import WeightFile


@dataclass(frozen=True, slots=True)
class FileSelectionRequest:
    """The files of a model: their source, their cache, and the patterns that select them."""

    model: ModelSource
    cache: HubCache
    patterns: tuple[str, ...]
    expected: Mapping[str, WeightFile]

    def select(self, listing: Listing) -> list[RemoteFile]:
        """Returns the files of a repository that are needed.

        Raises WeightsMissing where there are no weights but pickles, and WeightsMismatch where the
        hub has others than those that are expected.
        """
        files = {file.name: file for file in listing.files}
        names = select_names(list(files), self.patterns, self.expected)
        has_weights = any(map(is_weights, names))
        if not names or (not has_weights and any(map(is_weights, self.patterns))):
            pickles = sorted(filter(is_pickle, files))
            lacks = f"only {', '.join(pickles[:3])}" if pickles else "no such files"
            raise advice.explain_unusable(self.model, self.model.page, lacks)
        for name, file in self.expected.items():
            if name not in files:
                raise WeightsMismatch(
                    f"{self.model.page} has no {name} at {listing.commit}, but it is pinned: take "
                    f"away the pin, or name the revision that had it"
                )
            if files[name].sha256 not in ("", file.sha256):
                where = f"{self.model.page}: {name}"
                raise explain_mismatch(self.model, where, files[name].sha256, file.sha256)
        return [files[name] for name in names]

    def list_absent(self, listing: Listing) -> list[RemoteFile]:
        """Lists needed files that are absent or damaged in the cache; reads no unchanged file."""
        folder = self.cache.snapshot_folder(listing.commit)
        stamps = HashCache.open(folder, inside=False)
        absent = [
            file
            for file in self.select(listing)
            if not is_intact(folder / file.name, file, stamps=stamps)
        ]
        stamps.save()
        return absent


def is_intact(path: Path, file: RemoteFile, *, stamps: HashCache | None = None) -> bool:
    """Tests if a content has the hash of the hub; without `stamps` it is always hashed."""
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    if file.sha256:
        found = stamps.compute_sha256(path, file.name) if stamps else hash_file(path)
        return found == file.sha256
    return len(file.blob) != 40 or _compute_git_hash(path) == file.blob


def compute_hub_hash(path: Path, file: RemoteFile) -> str:
    """Computes the hash of a content as the hub states it for this file."""
    return hash_file(path) if file.sha256 else _compute_git_hash(path)


def explain_mismatch(model: ModelSource, where: str, found: str, belongs: str) -> WeightsMismatch:
    """Returns the error for a file with another hash than the hub, or a pin, states."""
    return WeightsMismatch(
        f"{where} has hash {found}, but {belongs} belongs to it: try `mmsearch models pull "
        f"{model.name}` again later, or name another revision"
    )


def _compute_git_hash(path: Path) -> str:
    """Computes git's hash of a content: the hub's hash of small files."""
    content = path.read_bytes()
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
