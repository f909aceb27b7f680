"""Sounds with captions or categories: the annotations of Clotho, of AudioCaps and of ESC-50.

A query is answered by its own clip, or by all clips of its category, among all recordings.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mmsearch.errors import ConfigError
from mmsearch.evaluation import readers
from mmsearch.evaluation.file_lookup import Finder
from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.types import Modality

KINDS = (Modality.AUDIO.value,)
CLOTHO_COLUMNS = ("file_name", "caption_1")
AUDIOCAPS_COLUMNS = ("youtube_id", "start_time", "caption")
ESC50_COLUMNS = ("filename", "category")
CAPTION = re.compile(r"caption_\d+")
CLIP_S = 10


def clotho(path: Path, finder: Finder, split: str | None) -> list[KnownQuery]:
    """`clotho_captions_evaluation.csv`: file_name, caption_1 to caption_5. Raises ConfigError."""
    readers.refuse_split(path, split)
    known = []
    for number, row in readers.table(path, columns=CLOTHO_COLUMNS):
        for column, caption in row.items():
            if CAPTION.fullmatch(column):
                with readers.placed(path, number):
                    clip = finder.named(row["file_name"])
                    known.append(KnownQuery(readers.query(caption), frozenset([clip]), KINDS))
    return known


def audiocaps(path: Path, finder: Finder, split: str | None) -> list[KnownQuery]:
    """`test.csv`: audiocap_id, youtube_id, start_time, caption; a clip has several rows.

    The clips are not handed out with it, and are named as whoever fetched them does. Raises
    ConfigError.
    """
    readers.refuse_split(path, split)

    def clip(row: dict[str, str]) -> str:
        stems = list(clip_stems(row["youtube_id"], row["start_time"], row.get("audiocap_id", "")))
        return finder.with_stem(stems) or finder.at(stems[0] + ".wav")

    known = []
    for number, row in readers.table(path, columns=AUDIOCAPS_COLUMNS):
        with readers.placed(path, number):
            known.append(KnownQuery(readers.query(row["caption"]), frozenset([clip(row)]), KINDS))
    return known


def clip_stems(youtube_id: str, start_time: str, audiocap_id: str) -> Iterator[str]:
    """The names that a clip of AudioSet goes by, without the suffix, the most precise first.

    YouTube's id alone or after a Y, which keeps a leading dash from being an option, with the
    start, with start and end in seconds or milliseconds; or the number of the caption. Raises
    ValueError.
    """
    if not re.fullmatch(r"[\w-]{1,64}", youtube_id):
        raise ValueError(f"{youtube_id!r} is no id of a video")
    try:
        start_s = float(start_time)
        whole = int(start_s)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{start_time!r} is no start in seconds") from exc
    ends = [
        f"{start_s:.3f}_{start_s + CLIP_S:.3f}",
        f"{whole * 1000}_{(whole + CLIP_S) * 1000}",
        f"{whole}_{whole + CLIP_S}",
        f"{whole}",
    ]
    for name in (youtube_id, f"Y{youtube_id}"):
        yield from (f"{name}_{end}" for end in ends)
    if audiocap_id.isdecimal():
        yield audiocap_id
    yield f"Y{youtube_id}"
    yield youtube_id


def esc50(path: Path, finder: Finder, split: str | None) -> list[KnownQuery]:
    """`meta/esc50.csv`: filename, fold, target, category; a category is a query.

    `split` is a fold. Raises ConfigError.
    """
    fold = None if split == readers.EVERY_SPLIT else split
    columns = ESC50_COLUMNS if fold is None else (*ESC50_COLUMNS, "fold")
    clips: defaultdict[str, set[str]] = defaultdict(set)
    for number, row in readers.table(path, columns=columns):
        if fold is None or row["fold"].strip() == fold:
            with readers.placed(path, number):
                category = readers.query(row["category"].replace("_", " "))
                clips[category].add(finder.named(row["filename"]))
    if not clips and fold is not None:
        raise ConfigError(f"{path}: there is no fold {fold!r}")
    return [KnownQuery(category, frozenset(names), KINDS) for category, names in clips.items()]
