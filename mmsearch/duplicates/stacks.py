"""Puts hits of one shot under the best of them: RAW and JPEG, still and film, a burst.

The files of a shot lie in one folder. A camera gives its RAW and its JPEG one name, a phone the
still and the film of a live photograph; the names of a burst share its number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmsearch.media.signatures import RAW_SUFFIXES
from mmsearch.types import Hit, Modality

MAX_FILM_S = 4.0
"""Films of live photographs last up to about three seconds."""
_BURSTS = (
    re.compile(r".*BURST(?P<id>\d{14,17})(?!\d)"),  # of Google and Sony
    re.compile(r"(?P<id>.+)_BURST\d{1,3}(?!\d)"),  # of Huawei
    re.compile(r"(?P<id>\d{8}_\d{6})_\d{3}$"),  # of Samsung
)
# Other films of the name of a picture may have it as their cover.
_STILLS_OF_FILMS = {".mov": (".heic", ".heif", ".jpg", ".jpeg"), ".mp4": (".heic", ".heif")}


@dataclass(frozen=True, slots=True)
class _Shot:
    folder: str
    stem: str
    suffix: str
    burst: str
    is_film: bool

    @property
    def is_raw(self) -> bool:
        return self.suffix in RAW_SUFFIXES


def stack_hits(hits: Sequence[Hit]) -> list[Hit]:
    """Returns the hits that lead a shot, in order and ranked anew; the others are under them."""
    stacked: list[Hit] = []
    shots: list[_Shot | None] = []
    places: dict[tuple[str, str], list[int]] = {}
    for hit in hits:
        shot = _describe_shot(hit)
        key = (shot.folder, shot.burst or shot.stem) if shot is not None else ("", "")
        leader = next(
            (place for place in places.get(key, ()) if _is_same_shot(shots[place], shot)), None
        )
        if leader is not None:
            under = (*stacked[leader].duplicates, hit.path, *hit.duplicates)
            stacked[leader] = replace(stacked[leader], duplicates=under)
            continue
        places.setdefault(key, []).append(len(stacked))
        shots.append(shot)
        stacked.append(replace(hit, rank=len(stacked) + 1))
    return stacked


def _describe_shot(hit: Hit) -> _Shot | None:
    """Returns the shot that a hit may be of; None for what is neither picture nor short film."""
    folder, _, name = hit.path.rpartition(os.sep)
    stem, dot, suffix = name.rpartition(".")
    suffix = dot + suffix.casefold()
    is_film = hit.asset.modality is Modality.VIDEO
    if is_film:
        duration_s = hit.asset.metadata.duration_s
        if suffix not in _STILLS_OF_FILMS or duration_s is None or duration_s > MAX_FILM_S:
            return None
    elif hit.asset.modality is not Modality.IMAGE:
        return None
    matches = (pattern.match(stem) for pattern in _BURSTS)
    burst = next((match["id"] for match in matches if match is not None), "")
    return _Shot(folder, stem.casefold(), suffix, burst, is_film)


def _is_same_shot(one: _Shot | None, other: _Shot | None) -> bool:
    """Tests two shots of one folder with one name or one number of a burst."""
    if one is None or other is None:
        return False
    if one.burst and one.burst == other.burst:
        return True
    if one.is_film != other.is_film:
        film, still = (one, other) if one.is_film else (other, one)
        return still.is_raw or still.suffix in _STILLS_OF_FILMS[film.suffix]
    return one.is_raw != other.is_raw and not one.is_film
