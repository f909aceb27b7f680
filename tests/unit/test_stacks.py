"""Hits of one shot stand under the best of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmsearch.duplicates.stacks import stack_hits
from mmsearch.types import Asset, Hit, Metadata, Modality, Place, Segment, SegmentKind

_FILMS = (".mov", ".mp4")


def make_hit(rank: int, path: str, *, duration_s: float = 2.9) -> Hit:
    is_film = path.lower().endswith(_FILMS)
    modality = Modality.VIDEO if is_film else Modality.IMAGE
    metadata = Metadata(duration_s=duration_s if is_film else None)
    asset = Asset(path, modality, 1, metadata)
    segment = Segment(f"s{rank}", path, SegmentKind.IMAGE, Place())
    return Hit(rank, 1.0 / rank, path, asset, segment)


def stack(*paths: str) -> list[tuple[str, tuple[str, ...]]]:
    hits = stack_hits([make_hit(rank, path) for rank, path in enumerate(paths, start=1)])
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    return [(hit.path, hit.duplicates) for hit in hits]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a/IMG_1.CR2", "/a/IMG_1.JPG"),
        ("/a/IMG_1.jpg", "/a/IMG_1.dng"),
        ("/a/DSC_1.NEF", "/a/dsc_1.heic"),
        ("/a/IMG_1.HEIC", "/a/IMG_1.MOV"),
        ("/a/IMG_1.MOV", "/a/IMG_1.JPG"),
        ("/a/IMG_1.HEIC", "/a/IMG_1.mp4"),
        ("/a/IMG_20180506_101112_BURST001_COVER.jpg", "/a/IMG_20180506_101112_BURST002.jpg"),
        ("/a/00000_BURST20180506101112345_COVER.jpg", "/a/00001_BURST20180506101112345.jpg"),
        ("/a/20180506_101112_001.jpg", "/a/20180506_101112_002.jpg"),
    ],
)
def test_files_of_one_shot_are_one_hit(first: str, second: str) -> None:
    assert stack(first, "/a/other.jpg", second) == [(first, (second,)), ("/a/other.jpg", ())]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a/IMG_1.CR2", "/b/IMG_1.JPG"),
        ("/a/IMG_1.CR2", "/a/IMG_2.JPG"),
        ("/a/clip.jpg", "/a/clip.mp4"),
        ("/a/plan.png", "/a/plan.jpg"),
        ("/a/IMG_1.CR2", "/a/IMG_1.DNG"),
        ("/a/IMG_1.MOV", "/a/IMG_1.mp4"),
        ("/a/20180506_101112_001.jpg", "/a/20180506_101113_001.jpg"),
    ],
)
def test_other_files_stay_alone(first: str, second: str) -> None:
    assert stack(first, second) == [(first, ()), (second, ())]


def test_three_files_of_one_shot_are_one_hit() -> None:
    paths = ["/a/IMG_1.JPG", "/a/IMG_1.CR2", "/a/IMG_1.MOV"]
    assert stack(*paths) == [(paths[0], (paths[1], paths[2]))]


def test_a_long_film_is_no_part_of_a_photograph() -> None:
    still, film = make_hit(1, "/a/IMG_1.JPG"), make_hit(2, "/a/IMG_1.MOV", duration_s=60)
    assert len(stack_hits([still, film])) == 2


def test_near_duplicates_go_along() -> None:
    jpeg = replace(make_hit(2, "/a/IMG_1.JPG"), duplicates=("/b/small.jpg",))
    (hit,) = stack_hits([make_hit(1, "/a/IMG_1.CR2"), jpeg])
    assert hit.duplicates == ("/a/IMG_1.JPG", "/b/small.jpg")
