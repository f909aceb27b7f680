"""Finds the files beside a picture, a sound or a video that say more about it."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
DESCRIPTION_SUFFIXES = (".xmp", ".json")
# Google Takeout cuts the name of a picture with ".supplemental-metadata" behind it to 46 letters.
_TAKEOUT_CHARS = 46
_TAKEOUT_END = ".supplemental-metadata"
_COPY = re.compile(r"(.+?)(\(\d+\))(\.[^.]+)")
_COPY_NUMBER = re.compile(r"\(\d+\)$")
_EDITED = re.compile(r"(.+?)[-_](?:edited|bearbeitet|modifié|editado|modificato|effects)", re.I)


@dataclass(frozen=True, slots=True)
class Sidecars:
    """The files beside a media file that belong to it, in the order of their names.

    `subtitles` begin with its stem; `descriptions` are XMP packets and JSON files of exports.
    """

    subtitles: tuple[Path, ...] = ()
    descriptions: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return self.subtitles + self.descriptions


class FolderNames:
    """The names of the files of one folder, searched by how they begin, whatever their case."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted((name.casefold(), name) for name in names)

    def find_beginning(self, start: str) -> Iterator[str]:
        """Yields the names that begin with `start`."""
        start = start.casefold()
        for folded, name in self._names[bisect_left(self._names, (start,)) :]:
            if not folded.startswith(start):
                return
            yield name


def find_sidecars(path: Path, names: FolderNames | None = None) -> Sidecars:
    """Finds the sidecars of a media file among the names of its folder, listed if not given."""
    names = names or _list_folder(path.parent)
    if names is None:
        return Sidecars()
    subtitles = [name for name in names.find_beginning(path.stem + ".") if _is_subtitle(name)]
    descriptions = [
        name
        for name in _find_descriptions(path.name, names)
        if name.casefold() != path.name.casefold()
    ]
    folder = path.parent
    return Sidecars(
        tuple(folder / name for name in subtitles if name != path.name),
        tuple(folder / name for name in dict.fromkeys(descriptions)),
    )


def _is_subtitle(name: str) -> bool:
    return name.casefold().endswith(SUBTITLE_SUFFIXES)


def _find_descriptions(name: str, names: FolderNames) -> Iterator[str]:
    stem = name.rpartition(".")[0] or name
    wanted_xmp = {f"{stem}.xmp".casefold(), f"{name}.xmp".casefold()}
    yield from (each for each in names.find_beginning(stem + ".") if each.casefold() in wanted_xmp)
    for original in _list_takeout_names(name):
        base = _COPY_NUMBER.sub("", original)
        for each in names.find_beginning(base[:_TAKEOUT_CHARS]):
            if each.casefold().endswith(".json") and _is_takeout_name(each[:-5], original):
                yield each


def _list_takeout_names(name: str) -> list[str]:
    """Returns the names under which an export may file the JSON of a picture."""
    stem, dot, suffix = name.rpartition(".")
    listed = [name]
    if edited := _EDITED.fullmatch(stem):
        listed.append(f"{edited[1]}{dot}{suffix}")
    if copy := _COPY.fullmatch(name):
        listed.append(f"{copy[1]}{copy[3]}{copy[2]}")
    return listed


def _is_takeout_name(json_stem: str, original: str) -> bool:
    copy = _COPY_NUMBER.search(original)
    number = copy[0] if copy else ""
    base = original[: len(original) - len(number)]
    if number and not json_stem.endswith(number):
        return False
    stem = json_stem[: len(json_stem) - len(number)].casefold()
    whole = (base + _TAKEOUT_END).casefold()
    return len(stem) >= min(len(base), _TAKEOUT_CHARS) and whole.startswith(stem)


@lru_cache(maxsize=4)
def _list_once(folder: str, _mtime_ns: int) -> FolderNames:
    with os.scandir(folder) as entries:
        return FolderNames(entry.name for entry in entries)


def _list_folder(folder: Path) -> FolderNames | None:
    try:
        return _list_once(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return None
