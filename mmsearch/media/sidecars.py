"""Finds the files beside a picture, a sound or a video that say more about it."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmsearch.media import signatures

SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
DESCRIPTION_SUFFIXES = (".xmp", ".json")
# Google Takeout cuts the name of a picture with ".supplemental-metadata" behind it to 46 letters.
_TAKEOUT_CHARS = 46
_TAKEOUT_END = ".supplemental-metadata"
_COPY = re.compile(r"(.+?)(\(\d+\))(\.[^.]+)")
_EXPORT_KEYS = (b'"photoTakenTime"', b'"geoData"', b'"creationTime"', b'"url"')
_EXPORT_BYTES = 64 * 1024
_COPY_NUMBER = re.compile(r"\(\d+\)$")
# What Google Photos appends in the language of the user.
_EDITED = re.compile(
    r"(.+?)[-_](?:edit(?:ed|ado|ada)?|bearbeitet|modifi(?:é|e|cato|cata)|bewerkt|redigerad|redigeret"
    r"|redigert|muokattu|edytowane|upraveno|szerkesztve|düzenlendi|измененный|отредактировано"
    r"|編集済み|已修改|已編輯|수정됨|effects|collage|animation|smile|mix)",
    re.I,
)
# The film of a live photograph is exported under the name of the still, without a JSON of its own.
_LIVE_SUFFIXES = {".mp4": (".heic", ".jpg", ".jpeg"), ".mov": (".heic", ".jpg", ".jpeg")}


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
        self.has_descriptions = any(name.endswith(DESCRIPTION_SUFFIXES) for name, _ in self._names)

    def find_beginning(self, start: str) -> Iterator[str]:
        """Yields the names that begin with `start`."""
        start = start.casefold()
        for at in range(bisect_left(self._names, (start,)), len(self._names)):
            folded, name = self._names[at]
            if not folded.startswith(start):
                return
            yield name


def find_sidecars(path: Path, names: FolderNames | None = None) -> Sidecars:
    """Finds the sidecars of a media file among the names of its folder, listed if not given.

    A file whose name is that of no picture, sound or video has none.
    """
    suffix = path.suffix.lower()
    is_timed = suffix in signatures.AV_SUFFIXES
    if not is_timed and suffix not in signatures.IMAGE_SUFFIXES:
        return Sidecars()
    names = names or _list_folder(path.parent)
    if names is None:
        return Sidecars()
    folder = path.parent
    beginning = names.find_beginning(path.stem + ".") if is_timed else ()
    return Sidecars(
        tuple(
            folder / name
            for name in beginning
            if name.casefold().endswith(SUBTITLE_SUFFIXES)
            and not _belongs_to_longer(name, path, names)
        ),
        tuple(
            folder / name
            for name in dict.fromkeys(_find_descriptions(path.name, names))
            if name.casefold().endswith(".xmp") or is_export_description(folder / name)
        ),
    )


def is_export_description(path: Path) -> bool:
    """Tests if a JSON file is what an export of Google Takeout says of a picture."""
    try:
        with path.open("rb") as file:
            head = file.read(_EXPORT_BYTES)
    except OSError:
        return False
    return sum(key in head for key in _EXPORT_KEYS) >= 2


def _belongs_to_longer(name: str, path: Path, names: FolderNames) -> bool:
    """Tests if subtitles such as `a.b.srt` belong to `a.b.mp4` and not to the `path` `a.mp4`."""
    stem = path.stem
    for part in name[len(stem) + 1 :].split(".")[:-1]:
        stem += f".{part}"
        for other in names.find_beginning(stem + "."):
            is_same = other.rpartition(".")[0].casefold() == stem.casefold()
            if is_same and Path(other).suffix.lower() in signatures.AV_SUFFIXES:
                return other.casefold() != path.name.casefold()
    return False


def _find_descriptions(name: str, names: FolderNames) -> Iterator[str]:
    if not names.has_descriptions:
        return
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
    copy = _COPY.fullmatch(name)
    whole, number = (f"{copy[1]}{copy[3]}", copy[2]) if copy else (name, "")
    stem, dot, suffix = whole.rpartition(".")
    edited = _EDITED.fullmatch(stem)
    originals = [stem, edited[1]] if edited else [stem]
    listed = [name, *(f"{original}{dot}{suffix}{number}" for original in originals)]
    for still in _LIVE_SUFFIXES.get(f".{suffix.lower()}", ()):
        listed += [f"{original}{still}{number}" for original in originals]
    return list(dict.fromkeys(listed))


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
