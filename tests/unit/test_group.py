"""Near-duplicates go under the best of them, and nothing else does."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks import drawn
from mmsearch.duplicates import grouping
from mmsearch.duplicates.grouping import group_thumbprints
from mmsearch.duplicates.near_duplicates import ThumbprintPairs
from mmsearch.media.pictures.thumbprint import THUMBPRINT_BYTES, compute_thumbprint
from tests.unit.test_thumbprint import scenery

SEEDS = range(40)


def cropped(pixels: np.ndarray, *edges: float) -> np.ndarray:
    left, top, right, bottom = edges
    height, width = pixels.shape[:2]
    return pixels[
        round(height * top) : round(height * (1 - bottom)),
        round(width * left) : round(width * (1 - right)),
    ]


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def recoded(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def greyed(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


ALTERATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half": lambda pixels: resized(pixels, 0.5),
    "larger": lambda pixels: resized(pixels, 1.37),
    "jpeg": lambda pixels: recoded(pixels, 40),
    "crop": lambda pixels: cropped(pixels, 0.05, 0.05, 0.05, 0.05),
    "corner": lambda pixels: cropped(pixels, 0.05, 0.05, 0, 0),
    "uneven": lambda pixels: cropped(pixels, 0.03, 0.01, 0, 0.06),
    "mirror": lambda pixels: pixels[:, ::-1],
    "grey": greyed,
    "all": lambda pixels: recoded(resized(greyed(cropped(pixels, *[0.04] * 4)[:, ::-1]), 0.7), 50),
}


def looks_of(pictures: list[np.ndarray]) -> np.ndarray:
    """(n, 1024) of pictures that all have a look."""
    looks = [compute_thumbprint(np.ascontiguousarray(pixels)) for pixels in pictures]
    assert None not in looks
    flat = np.frombuffer(b"".join(look for look in looks if look), dtype=np.uint8)
    return flat.reshape(-1, THUMBPRINT_BYTES)


def groups_of(pictures: list[np.ndarray], *, limit: int | None = None) -> dict[int, list[int]]:
    return group_thumbprints(
        looks_of(pictures), np.arange(len(pictures)), len(pictures), limit=limit
    )


@pytest.fixture(scope="module")
def sceneries() -> list[np.ndarray]:
    return [scenery(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def families() -> dict[str, list[np.ndarray]]:
    drawings = drawn.families(6).items()
    return {name: [np.asarray(one) for one in pictures] for name, pictures in drawings}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_picture_goes_under_its_original(sceneries: list[np.ndarray], name: str) -> None:
    altered = [ALTERATIONS[name](pixels) for pixels in sceneries]
    count = len(sceneries)

    found = groups_of([*sceneries, *altered])

    right = sum(leader + count in members for leader, members in found.items())
    assert right >= 0.95 * count
    wrong = [
        member
        for leader, members in found.items()
        for member in members
        if member % count != leader % count
    ]
    assert wrong == []


def test_different_pictures_stay_alone(sceneries: list[np.ndarray]) -> None:
    assert groups_of(sceneries) == {place: [] for place in range(len(sceneries))}


@pytest.mark.parametrize(
    "family", ["slides of deck 1", "slides, header only", "tables", "receipts", "full pages"]
)
def test_what_is_drawn_alike_stays_alone(
    families: dict[str, list[np.ndarray]], family: str
) -> None:
    found = groups_of(families[family])

    assert found == {place: [] for place in range(len(families[family]))}


def test_a_copy_of_a_slide_goes_under_it_and_the_next_slide_does_not(
    families: dict[str, list[np.ndarray]],
) -> None:
    slides = families["slides of deck 2"][:4]
    copies = [resized(one, 0.5) for one in slides]

    assert groups_of([*slides, *copies]) == {place: [place + 4] for place in range(4)}


def test_the_first_in_the_ranking_leads(sceneries: list[np.ndarray]) -> None:
    original = sceneries[0]
    versions = [resized(original, 0.5), original, sceneries[1], original[:, ::-1]]

    assert groups_of(versions) == {0: [1, 3], 2: []}


def test_a_chain_of_small_steps_does_not_become_one_group() -> None:
    large = scenery(99, 800, 600)
    chain = [cropped(large, 0.035 * step, 0, 0, 0) for step in range(12)]

    found = groups_of(chain)

    assert 1 < len(found) < len(chain)
    pictures = ThumbprintPairs(looks_of(chain))
    for leader, members in found.items():
        if members:
            first = np.full(len(members), leader)
            assert pictures.check_pairs(first, np.array(members)).all()


def test_what_has_no_look_stays_alone_at_its_place(sceneries: list[np.ndarray]) -> None:
    looks = looks_of([sceneries[0], sceneries[0]])

    found = group_thumbprints(looks, np.array([1, 3]), 5)

    assert found == {0: [], 1: [3], 2: [], 4: []}


def test_no_looks_at_all() -> None:
    looks = np.empty((0, THUMBPRINT_BYTES), dtype=np.uint8)

    assert group_thumbprints(looks, np.empty(0, dtype=np.int64), 3) == {0: [], 1: [], 2: []}
    assert group_thumbprints(looks, np.empty(0, dtype=np.int64), 0) == {}


@pytest.mark.parametrize("limit", [0, 1, 3, 40])
def test_fewer_groups_are_the_beginning_of_all(sceneries: list[np.ndarray], limit: int) -> None:
    pictures = [version for one in sceneries[:6] for version in (one, resized(one, 0.6))]
    everything = groups_of(pictures)

    assert groups_of(pictures, limit=limit) == dict(list(everything.items())[:limit])


def test_many_copies_of_one_picture_are_one_group(sceneries: list[np.ndarray]) -> None:
    copies = [resized(sceneries[3], 0.5 + 0.01 * step) for step in range(60)]

    assert groups_of(copies) == {0: list(range(1, 60))}


def test_no_more_pairs_are_compared_than_allowed(
    sceneries: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    honest = ThumbprintPairs.check_pairs

    def counting(self: ThumbprintPairs, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        compared.append(len(ones))
        return honest(self, ones, others)

    monkeypatch.setattr(ThumbprintPairs, "check_pairs", counting)
    monkeypatch.setattr(grouping, "MAX_PAIRS", 20)
    versions = [one for pixels in sceneries for one in (pixels, resized(pixels, 0.5))]

    found = groups_of(versions)

    assert sum(compared) == 20
    assert sum(len(members) for members in found.values()) == 20


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "half", "mirror", "none"]))))
def test_every_place_is_in_one_group_and_groups_keep_the_order(
    wanted: list[tuple[int, str]],
) -> None:
    cache = {
        (seed, name): looks_of([ALTERATIONS[name](scenery(seed)) if name else scenery(seed)])[0]
        for seed, name in set(wanted)
        if name != "none"
    }
    places = [at for at, (_, name) in enumerate(wanted) if name != "none"]
    looks = np.array([cache[wanted[at]] for at in places], dtype=np.uint8).reshape(
        -1, THUMBPRINT_BYTES
    )

    found = group_thumbprints(looks, np.array(places, dtype=np.int64), len(wanted))

    everything = sorted([*found, *(one for members in found.values() for one in members)])
    assert everything == list(range(len(wanted)))
    assert list(found) == sorted(found)
    for leader, members in found.items():
        assert members == sorted(members)
        assert all(member > leader for member in members)
        assert {wanted[member][0] for member in members} <= {wanted[leader][0]}
