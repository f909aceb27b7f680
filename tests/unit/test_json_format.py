"""JSON objects are written and read by one declaration."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.serialization.answers import (
    AssetAnswer,
    HitAnswer,
    SearchAnswer,
    SegmentAnswer,
    SpaceScoreAnswer,
)
from mmsearch.serialization.json_format import (
    JsonShapeError,
    SparseJsonObject,
    read_member,
    write_json,
)
from mmsearch.types import Metadata, Modality, Tag

ASSET_ID = "0123456789abcdef" * 2
WHEN = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
JPEG = Metadata("JPEG", taken_at=WHEN)
ASSET = AssetAnswer(
    ASSET_ID,
    Modality.IMAGE,
    7,
    ("/a.jpg",),
    WHEN,
    Metadata("JPEG", taken_at=WHEN),
    (),
    None,
    "m",
    "s",
)


@dataclass(frozen=True, slots=True)
class Nested(SparseJsonObject):
    """For these tests."""

    scores: dict[str, SpaceScoreAnswer]
    note: str | None
    hint: str | None = None


def test_keys_with_a_default_are_left_out_and_others_are_always_there() -> None:
    written = write_json(Nested({"text": SpaceScoreAnswer(1, 0.5)}, None))
    assert written == '{"scores": {"text": {"rank": 1, "score": 0.5}}, "note": null}'
    assert json.loads(write_json(Nested({}, None, "try"))) == {
        "scores": {}, "note": None, "hint": "try",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["id", "kind", "size_bytes", "paths", "indexed_at", "metadata"])
def test_what_was_written_is_read_back(key: str) -> None:
    data = json.loads(write_json(ASSET))
    assert read_member(AssetAnswer, key, data | {"of a later version": 1}) == getattr(ASSET, key)


@pytest.mark.parametrize(
    ("declaration", "key", "value"),
    [
        (AssetAnswer, "id", "xyz"),
        (AssetAnswer, "id", ASSET_ID + "\n"),
        (AssetAnswer, "kind", "smell"),
        (AssetAnswer, "size_bytes", True),
        (AssetAnswer, "size_bytes", 1.5),
        (AssetAnswer, "size_bytes", None),
        (AssetAnswer, "paths", "/a.jpg"),
        (AssetAnswer, "paths", [1]),
        (AssetAnswer, "indexed_at", "yesterday"),
        (AssetAnswer, "metadata", []),
        (HitAnswer, "score", "0.5"),
        (HitAnswer, "score", False),
        (HitAnswer, "score", float("nan")),
        (HitAnswer, "score", 10**400),
        (SearchAnswer, "hits", {}),
        (SegmentAnswer, "tags", [{"name": "dog", "probability": None}]),
    ],
)
def test_another_shape_is_an_error_that_names_the_key(
    declaration: type[Any], key: str, value: Any
) -> None:
    with pytest.raises(JsonShapeError, match="probability" if key == "tags" else key):
        read_member(declaration, key, {key: value})
    with pytest.raises(JsonShapeError):
        read_member(declaration, key, [value])


def test_halves_of_characters_are_replaced() -> None:
    tags = read_member(SegmentAnswer, "tags", {"tags": [{"name": "\ud800", "probability": 1}]})
    assert tags == (Tag("?", 1.0),)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(ANYTHING, st.sampled_from([(SearchAnswer, "hits"), (AssetAnswer, "metadata")]))
def test_no_json_does_anything_but_be_refused(data: Any, member: tuple[type[Any], str]) -> None:
    declaration, key = member
    for value in (data, {key: data}, {key: [data]}):
        with contextlib.suppress(JsonShapeError):
            read_member(declaration, key, value)
