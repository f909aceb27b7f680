"""The files of a library, and how the names of an annotation are found among them."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from mmsearch.errors import ConfigError
from mmsearch.media.files import absolute, storable
from mmsearch.store.location import Location
from mmsearch.store.reader import Reader
from mmsearch.store.schema import ASSETS
from mmsearch.types import Modality


@dataclass(frozen=True, slots=True)
class HeldFile:
    """The asset that lies at a path, and its kind."""

    asset_id: str
    kind: Modality


def files_of(location: Path | Location) -> dict[str, HeldFile]:
    """The files of a library by path, without those that could not be indexed."""
    reader = Reader.open(location)
    listed = reader.column(ASSETS, "asset_id", "modality")
    kinds = dict(
        zip(
            listed.column("asset_id").to_pylist(),
            map(Modality, listed.column("modality").to_pylist()),
            strict=True,
        )
    )
    return {
        row.path: HeldFile(row.asset_id, kinds[row.asset_id])
        for row in reader.files()
        if row.asset_id is not None and row.asset_id in kinds
    }


def held_by_all(libraries: Sequence[Mapping[str, HeldFile]]) -> dict[str, HeldFile]:
    """What every one of them has: what they are compared by."""
    first, *others = libraries
    return {path: file for path, file in first.items() if all(path in other for other in others)}


class Finder:
    """Finds the files that an annotation names, by where they should lie or by their name.

    `media` is the folder below which they lie; without it, that of the annotation, and then
    anywhere in the library.
    """

    def __init__(
        self, held: Mapping[str, HeldFile], annotation: Path, media: Path | None = None
    ) -> None:
        self.held = held
        self._base = absolute(annotation.expanduser().parent if media is None else media)
        self._below = None if media is None else storable(self._base)
        self._named: dict[str, str] = {}  # a photograph has several captions

    def at(self, name: str) -> str:
        """The path of a name relative to the folder, whether or not the library has it.

        Raises ConfigError for a name that no file can have.
        """
        if not name or "\0" in name:
            raise ConfigError(f"{name!r} is no name of a file")
        try:
            os.fsencode(name)
        except UnicodeEncodeError as exc:
            raise ConfigError(f"{name!r} is no name of a file") from exc
        path = absolute(Path(self._base, os.path.expanduser(name)))  # noqa: PTH111 - relative stays
        if storable(path) not in self.held:
            # The library has a file by the path it was indexed by: perhaps not through this link.
            followed = os.path.realpath(path)
            if storable(followed) in self.held:
                return storable(followed)
        return storable(path)

    def named(self, name: str) -> str:
        """A file by its name, in whatever folder and format; raises ConfigError for two such."""
        if name not in self._named:
            self._named[name] = self._by_any_name(name)
        return self._named[name]

    def _by_any_name(self, name: str) -> str:
        path = self.at(name)
        if path in self.held:
            return path
        pure = PurePath(name)
        found = self._by_name.get(_key(pure.name), []) or self._by_stem.get(_key(pure.stem), [])
        return self._one(name, found) or path

    def with_stem(self, stems: Iterable[str]) -> str | None:
        """The file whose name without its suffix is the first of `stems` that there is."""
        for stem in stems:
            found = self._one(stem, self._by_stem.get(_key(stem), []))
            if found is not None:
                return found
        return None

    def _one(self, name: str, found: Sequence[str]) -> str | None:
        if len({self.held[path].asset_id for path in found}) > 1:
            raise ConfigError(
                f"the library has {name} more than once, at {found[0]} and at {found[1]}: "
                "name the folder that is meant with --media"
            )
        return found[0] if found else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return self._listed(lambda path: path.name)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return self._listed(lambda path: path.stem)

    def _listed(self, key: Callable[[PurePath], str]) -> dict[str, list[str]]:
        listed: defaultdict[str, list[str]] = defaultdict(list)
        for path in sorted(self.held):
            pure = PurePath(path)
            if self._below is None or pure.is_relative_to(self._below):
                listed[_key(key(pure))].append(path)
        return dict(listed)


def _key(name: str) -> str:
    """Composed, as annotations are written: some file systems decompose names."""
    return unicodedata.normalize("NFC", name)
