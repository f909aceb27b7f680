"""Finds the files that an annotation names among the files of a library."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from mmsearch.errors import ConfigError
from mmsearch.media.files import make_absolute, make_storable
from mmsearch.store.location import Location
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS
from mmsearch.types import Modality


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """The asset of a path, and its kind."""

    asset_id: str
    kind: Modality


def list_files(location: Path | Location) -> dict[str, LibraryFile]:
    """Returns the files of a library by path, without those that could not be indexed."""
    reader = Reader.open(location)
    assets = reader.read_columns(ASSETS, "asset_id", "modality")
    kinds = dict(
        zip(
            assets.column("asset_id").to_pylist(),
            map(Modality, assets.column("modality").to_pylist()),
            strict=True,
        )
    )
    return {
        row.path: LibraryFile(row.asset_id, kinds[row.asset_id])
        for row in reader.read_files()
        if row.asset_id is not None and row.asset_id in kinds
    }


def intersect_files(libraries: Sequence[Mapping[str, LibraryFile]]) -> dict[str, LibraryFile]:
    """Returns the files that all libraries have, by which they are compared."""
    first, *others = libraries
    return {path: file for path, file in first.items() if all(path in other for other in others)}


class FileFinder:
    """Finds the files that an annotation names, by their place or by their name.

    `media` is the folder that the files lie below. Without it, names are relative to the folder of
    the annotation, and files are found anywhere in the library.
    """

    def __init__(
        self, files: Mapping[str, LibraryFile], annotation: Path, media: Path | None = None
    ) -> None:
        self.files = files
        self._base = make_absolute(annotation.expanduser().parent if media is None else media)
        self._below = None if media is None else make_storable(self._base)
        self._named: dict[str, str] = {}  # a photograph has several captions

    def resolve(self, name: str) -> str:
        """Returns the path of a name relative to the folder, also if the library lacks it.

        Raises ConfigError for a name that no file can have.
        """
        if not name or "\0" in name:
            raise ConfigError(f"{name!r} is no name of a file")
        try:
            os.fsencode(name)
        except UnicodeEncodeError as exc:
            raise ConfigError(f"{name!r} is no name of a file") from exc
        path = make_absolute(Path(self._base, os.path.expanduser(name)))  # noqa: PTH111 - relative stays
        if make_storable(path) not in self.files:
            # The file may have been indexed by its real path and not through this link.
            followed = os.path.realpath(path)
            if make_storable(followed) in self.files:
                return make_storable(followed)
        return make_storable(path)

    def find(self, name: str) -> str:
        """Finds a file by its name, in any folder and format; raises ConfigError for two such."""
        if name not in self._named:
            self._named[name] = self._by_any_name(name)
        return self._named[name]

    def _by_any_name(self, name: str) -> str:
        path = self.resolve(name)
        if path in self.files:
            return path
        pure = PurePath(name)
        candidates = self._by_name.get(_normalize_name(pure.name))
        candidates = candidates or self._by_stem.get(_normalize_name(pure.stem), [])
        return self._select_only(name, candidates) or path

    def find_by_stem(self, stems: Iterable[str]) -> str | None:
        """Finds a file by its name without suffix: the first of `stems` that a file has."""
        for stem in stems:
            path = self._select_only(stem, self._by_stem.get(_normalize_name(stem), []))
            if path is not None:
                return path
        return None

    def _select_only(self, name: str, candidates: Sequence[str]) -> str | None:
        if len({self.files[path].asset_id for path in candidates}) > 1:
            raise ConfigError(
                f"the library has {name} more than once, at {candidates[0]} and at "
                f"{candidates[1]}: name the folder that is meant with --media"
            )
        return candidates[0] if candidates else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return self._list_by(lambda path: path.name)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return self._list_by(lambda path: path.stem)

    def _list_by(self, key: Callable[[PurePath], str]) -> dict[str, list[str]]:
        paths: defaultdict[str, list[str]] = defaultdict(list)
        for path in sorted(self.files):
            pure = PurePath(path)
            if self._below is None or pure.is_relative_to(self._below):
                paths[_normalize_name(key(pure))].append(path)
        return dict(paths)


def _normalize_name(name: str) -> str:
    """Composes a name, as annotations are written: some file systems decompose names."""
    return unicodedata.normalize("NFC", name)
