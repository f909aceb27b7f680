"""Errors, the public surface, values and their ids, presets, and the manifest."""

from __future__ import annotations

import dataclasses
import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmsearch
from mmsearch import errors
from mmsearch.errors import ConfigError, LibraryNotFound, MediaError, MmsearchError
from mmsearch.models import presets
from mmsearch.models.calibration import Calibration
from mmsearch.models.presets import ModelSpec
from mmsearch.store import manifest as manifests
from mmsearch.store.manifest import Manifest
from mmsearch.types import (
    Hit,
    Place,
    Provenance,
    Segment,
    SegmentKind,
    Space,
    Span,
    WeightFile,
    segment_id,
)

milliseconds = st.integers(0, 10**8)
spans = st.tuples(milliseconds, milliseconds).map(
    lambda pair: Span(min(pair) / 1000, max(pair) / 1000)
)
places = st.builds(
    Place,
    span=st.none() | spans,
    page=st.none() | st.integers(1, 10**6),
    chars=st.none() | st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
)
parts = st.tuples(st.sampled_from(["a" * 32, "b" * 32]), st.sampled_from(SegmentKind), places)


# The public surface


def test_the_public_names_are_these_and_no_others() -> None:
    assert mmsearch.__all__ == [
        "Hit", "Library", "MmsearchError", "Query", "Runtime", "asset", "audio", "file", "image",
        "open", "text",
    ]  # fmt: skip


@pytest.mark.parametrize("name", mmsearch.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(mmsearch, name).__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        mmsearch.no_such_name  # noqa: B018 - the look-up is what is tested


# Errors


TREE = {
    "ConfigError": "MmsearchError",
    "PluginError": "MmsearchError",
    "MissingExtra": "PluginError",
    "MediaError": "MmsearchError",
    "UnsupportedMedia": "MediaError",
    "DecodeError": "MediaError",
    "MediaTooLarge": "MediaError",
    "ModelError": "MmsearchError",
    "WeightsMissing": "ModelError",
    "WeightsMismatch": "ModelError",
    "StoreError": "MmsearchError",
    "FormatVersionError": "StoreError",
    "LibraryLocked": "StoreError",
    "LibraryNotFound": "StoreError",
    "MediaGone": "MmsearchError",
    "QueryError": "MmsearchError",
}


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    classes = {
        name: one
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, MmsearchError) and one is not MmsearchError
    }
    assert {name: one.__bases__[0].__name__ for name, one in classes.items()} == TREE
    assert all(name in (errors.__doc__ or "") for name in TREE)


def test_only_errors_of_one_file_can_be_passed_over() -> None:
    assert set(errors.SKIPPABLE) == {"UnsupportedMedia", "DecodeError", "MediaTooLarge"}
    assert all(issubclass(one, MediaError) for one in errors.SKIPPABLE.values())


def test_a_media_error_carries_path_and_reason() -> None:
    error = errors.DecodeError(Path("/a/b.jpg"), "broken")

    assert (error.path, error.reason, str(error)) == ("/a/b.jpg", "broken", "/a/b.jpg: broken")


# Values


@given(parts)
def test_a_segment_id_is_deterministic_and_32_hex_digits(part: tuple) -> None:
    again = dataclasses.replace(part[2])

    assert segment_id(*part) == segment_id(part[0], part[1], again)
    assert re.fullmatch(r"[0-9a-f]{32}", segment_id(*part))


@given(parts, parts)
def test_segment_ids_are_equal_exactly_when_asset_kind_and_place_are(
    one: tuple, other: tuple
) -> None:
    assert (segment_id(*one) == segment_id(*other)) == (one == other)


def test_the_ids_of_segments_never_change() -> None:
    """A library on disk holds ids of earlier versions: this one is pinned."""
    place = Place(span=Span(1.5, 2.25), page=3, chars=(4, 5))

    assert place.key() == "t1500-2250,p3,c4-5"
    assert segment_id("0" * 32, SegmentKind.TEXT, place) == "2d24e0ca78db123a694297cf762a13f2"


@given(spans, spans)
def test_overlap_is_symmetric_and_never_more_than_either(one: Span, other: Span) -> None:
    shared = one.overlap_s(other)

    assert shared == other.overlap_s(one) >= 0
    assert shared <= min(one.end_s - one.start_s, other.end_s - other.start_s)
    assert one.overlap_s(one) == one.end_s - one.start_s


def test_values_are_frozen() -> None:
    segment = Segment("id", "asset", SegmentKind.TEXT, Place())
    for value, name in ((segment, "text"), (Span(0.0, 1.0), "end_s")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_every_field_of_a_hit_that_search_returns_is_typed() -> None:
    assert {field.name for field in dataclasses.fields(Hit)} >= {
        "rank", "score", "path", "asset", "segment", "spaces", "moments", "also_at", "why",
    }  # fmt: skip


# Presets


def test_the_default_preset_is_known_and_calibrated() -> None:
    preset = presets.find_preset(presets.DEFAULT_PRESET)

    assert preset.name == "mini"
    assert {"text>text", "text>image", "image>image", "sound>sound"} <= set(preset.calibrations)


def test_an_unknown_preset_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="mini"):
        presets.find_preset("maxi")


@pytest.mark.parametrize("name", sorted(presets.MINI.calibrations))
def test_a_calibration_rises_from_near_nothing_to_near_certain(name: str) -> None:
    curve = presets.MINI.calibrations[name]
    scores = [curve.compute_score(step / 100) for step in range(-100, 101)]

    assert all(a < b for a, b in pairwise(scores))
    assert scores[0] < 0.05
    assert 0.5 < scores[-1] <= 1.0
    assert math.isclose(curve.compute_score(curve.midpoint), 0.5)


@given(st.floats(-1, 1), st.floats(0.1, 50), st.floats(-1, 1))
def test_a_score_is_between_0_and_1(midpoint: float, steepness: float, similarity: float) -> None:
    assert 0.0 <= Calibration(midpoint, steepness).compute_score(similarity) <= 1.0


# library.toml


words = st.text(st.characters(exclude_categories=["Cs"]))
weight_files = st.lists(
    st.builds(WeightFile, name=words, sha256=words, size_bytes=st.integers(0, 2**60)), max_size=3
).map(tuple)
manifests_of_any_kind = st.builds(
    Manifest,
    preset=words,
    speech_model=words,
    models=st.dictionaries(
        words,
        st.builds(
            ModelSpec,
            encoder=words,
            source=words,
            revision=words,
            licence=words,
            weights_sha256=words,
            settings=st.dictionaries(words, words, max_size=2),
        ),
        max_size=3,
    ),
    speech=st.none()
    | st.builds(Provenance, model=words, revision=words, weights_sha256=words, files=weight_files),
    spaces=st.lists(
        st.builds(
            Space,
            name=words,
            dim=st.integers(1, 10**6),
            metric=st.just("cosine"),
            model=words,
            revision=words,
            weights_sha256=words,
            files=weight_files,
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


@given(made=manifests_of_any_kind)
def test_a_manifest_comes_back_as_it_was_written(
    made: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifests.write(folder, made)

    assert dataclasses.asdict(manifests.read(folder)) == dataclasses.asdict(made)
    assert [path.name for path in folder.iterdir()] == [manifests.NAME]


def test_a_manifest_that_is_not_there_is_a_library_that_is_not_there(tmp_path: Path) -> None:
    assert not manifests.exists(tmp_path)
    with pytest.raises(LibraryNotFound):
        manifests.read(tmp_path)
    with pytest.raises(LibraryNotFound):
        manifests.read(tmp_path / "deeper" / "still")
