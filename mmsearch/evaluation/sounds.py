"""Reads sounds with captions or categories: the annotations of Clotho, AudioCaps and ESC-50.

A query is answered by its own clip, or by all clips of its category, among all recordings.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mmsearch.errors import ConfigError
from mmsearch.evaluation import readers
from mmsearch.evaluation.file_lookup import FileFinder
from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.types import Modality

KINDS = (Modality.AUDIO.value,)
CLOTHO_COLUMNS = ("file_name", "caption_1")
AUDIOCAPS_COLUMNS = ("youtube_id", "start_time", "caption")
ESC50_COLUMNS = ("filename", "category")
CAPTION = re.compile(r"caption_\d+")
CLIP_S = 10


def read_clotho(path: Path, finder: FileFinder, split: str | None) -> list[KnownQuery]:
    """Reads `clotho_captions_evaluation.csv`: file_name, caption_1 to caption_5.

    Raises ConfigError.
    """
    readers.refuse_split(path, split)
    queries = []
    for number, row in readers.read_table(path, columns=CLOTHO_COLUMNS):
        for column, caption in row.items():
            if CAPTION.fullmatch(column):
                with readers.add_location(path, number):
                    clips = frozenset([finder.find(row["file_name"])])
                    queries.append(KnownQuery(readers.parse_query(caption), clips, KINDS))
    return queries


def read_audiocaps(path: Path, finder: FileFinder, split: str | None) -> list[KnownQuery]:
    """Reads `test.csv`: audiocap_id, youtube_id, start_time, caption; a clip has several rows.

    The clips are not distributed with it; their names vary with the tool that fetched them. Raises
    ConfigError.
    """
    readers.refuse_split(path, split)
    queries = []
    for number, row in readers.read_table(path, columns=AUDIOCAPS_COLUMNS):
        with readers.add_location(path, number):
            query = readers.parse_query(row["caption"])
            caption_id = row.get("audiocap_id", "")
            stems = list(list_clip_stems(row["youtube_id"], row["start_time"], caption_id))
            clip = finder.find_by_stem(stems) or finder.resolve(stems[0] + ".wav")
            queries.append(KnownQuery(query, frozenset([clip]), KINDS))
    return queries


def list_clip_stems(youtube_id: str, start_time: str, audiocap_id: str) -> Iterator[str]:
    """Yields the usual names of a clip of AudioSet, without suffix, the most precise first.

    A name has YouTube's id, alone or after a Y (so that a leading dash is no option), and then the
    start, or start and end in seconds or milliseconds, or none; or it is the number of the caption.
    Raises ValueError.
    """
    if not re.fullmatch(r"[\w-]{1,64}", youtube_id):
        raise ValueError(f"{youtube_id!r} is no id of a video")
    try:
        start_s = float(start_time)
        start = int(start_s)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{start_time!r} is no start in seconds") from exc
    ends = [
        f"{start_s:.3f}_{start_s + CLIP_S:.3f}",
        f"{start * 1000}_{(start + CLIP_S) * 1000}",
        f"{start}_{start + CLIP_S}",
        f"{start}",
    ]
    for name in (youtube_id, f"Y{youtube_id}"):
        yield from (f"{name}_{end}" for end in ends)
    if audiocap_id.isdecimal():
        yield audiocap_id
    yield f"Y{youtube_id}"
    yield youtube_id


def read_esc50(path: Path, finder: FileFinder, split: str | None) -> list[KnownQuery]:
    """Reads `meta/esc50.csv`: filename, fold, target, category; a category is a query.

    `split` is a fold. Raises ConfigError.
    """
    fold = None if split == readers.EVERY_SPLIT else split
    columns = ESC50_COLUMNS if fold is None else (*ESC50_COLUMNS, "fold")
    clips: defaultdict[str, set[str]] = defaultdict(set)
    for number, row in readers.read_table(path, columns=columns):
        if fold is None or row["fold"].strip() == fold:
            with readers.add_location(path, number):
                category = readers.parse_query(row["category"].replace("_", " "))
                clips[category].add(finder.find(row["filename"]))
    if not clips and fold is not None:
        raise ConfigError(f"{path}: there is no fold {fold!r}")
    return [KnownQuery(category, frozenset(names), KINDS) for category, names in clips.items()]
