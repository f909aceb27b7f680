"""Labels as written, as directions, as probabilities, and beside the tags of an encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from mmsearch.encoders.stored_model import read_logit_scale
from mmsearch.errors import ConfigError
from mmsearch.labels.classifier import Classifier, Prompts, classify_vectors, make_classifiers
from mmsearch.labels.label_files import (
    MAX_FILE_BYTES,
    MAX_LABELS,
    check_labels,
    check_templates,
    read_labels,
)
from mmsearch.labels.tagging import TaggingThresholds
from mmsearch.models.calibration import Calibration
from mmsearch.models.model_card import ModelCard, StoredModel
from mmsearch.store.label_tags import SegmentTags, make_tags_table
from mmsearch.types import Tag
from tests.fakes import FAKE_PRESET, FakeEncoders, FakeSound, direction

# As written


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    return path


def test_a_file_has_a_label_a_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        b"\xef\xbb\xbfcat\r\n# of ours\n\n  dog  \nCat\nc#\n\t\nfire truck\n\xc3\xa9t\xc3\xa9",
    )
    assert read_labels(path) == ("cat", "dog", "c#", "fire truck", "été")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cat\ndog\n\xff\xfe\n", "line 3: is no UTF-8"),
        (b"cat\nd\x1b[31mog\n", "line 2: has characters that cannot be shown"),
        (b"cat\nd\x00g\n", "line 2: has characters"),
        (b"cat\n" + b"x" * 201, "line 2: is longer than 200"),
        (b"", "0 labels are too few"),
        (b"# nothing\ncat\nCAT\n", "1 labels are too few"),
        (b"\xff\xfec\x00a\x00t\x00", "line 1: is no UTF-8"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_labels(written(tmp_path, content))


def test_lists_have_limits(tmp_path: Path) -> None:
    many = [f"label {i}" for i in range(MAX_LABELS + 1)]
    assert len(check_labels(many[:-1])) == MAX_LABELS
    with pytest.raises(ConfigError, match="more than 10,000 labels"):
        check_labels(many)
    with pytest.raises(ConfigError, match="more than 4 MB"):
        read_labels(written(tmp_path, b"a\n" * MAX_FILE_BYTES))
    with pytest.raises(ConfigError, match=r"labels .* cannot be read"):
        read_labels(tmp_path)
    with pytest.raises(ConfigError, match=r"labels .* cannot be read"):
        read_labels(tmp_path / "gone.txt")


@given(st.binary(max_size=400))
def test_no_bytes_are_read_as_anything_but_labels(content: bytes) -> None:
    path = cast(Path, SimpleNamespace(open=lambda _mode: _Stream(content)))
    try:
        labels = read_labels(path)
    except ConfigError:
        return
    assert len({label.casefold() for label in labels}) == len(labels) >= 2
    assert all(label.isprintable() and label == label.strip() for label in labels)
    assert not any(label.startswith("#") for label in labels)


class _Stream:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, count: int) -> bytes:
        return self._content[:count]


@pytest.mark.parametrize("template", ["", "a photo", "{} and {}", "{0}", "{label}", "a\n{}"])
def test_a_template_has_one_place_for_the_label(template: str) -> None:
    with pytest.raises(ConfigError, match="the template"):
        check_templates([template])


def test_prompts_without_templates_have_the_usual_ones() -> None:
    assert Prompts.create(["cat", "dog"]).picture_templates == ("a photo of a {}",)
    assert Prompts.create(["cat", "dog"], ["{}", "a {}", "{}"]).picture_templates == ("{}", "a {}")
    with pytest.raises(ConfigError, match="a list, not one text"):
        Prompts.create("cat,dog")


@pytest.mark.parametrize(
    "keep",
    [
        TaggingThresholds(0.0),
        TaggingThresholds(1.1),
        TaggingThresholds(float("nan")),
        TaggingThresholds(0.5, 0),
    ],
)
def test_what_is_kept_makes_sense(keep: TaggingThresholds) -> None:
    with pytest.raises(ConfigError):
        keep.validate()


# As probabilities

rows = nps.arrays(np.float32, (3, 8), elements=st.floats(-1, 1, width=32))


def unit(values: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.maximum(norms, 1e-6)).astype(np.float32)


@given(rows, rows, st.floats(1, 120))
def test_probabilities_are_a_softmax(vectors: Any, directions: Any, scale: float) -> None:
    one = Classifier("image", ("a", "b", "c"), unit(directions), scale)
    found = one.compute_probabilities(unit(vectors))
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)
    cosines = unit(vectors) @ unit(directions).T
    for row, cosine in zip(found.astype(np.float64), cosines.astype(np.float64), strict=True):
        order = np.argsort(cosine)
        assert (np.diff(row[order]) >= -1e-6).all()
        # The log of the odds of two labels is the difference of their cosines, scaled.
        if row.min() > 1e-6:
            odds = np.log(row[order[-1]] / row[order[0]])
            assert odds == pytest.approx(scale * (cosine.max() - cosine.min()), abs=1e-2, rel=1e-3)


def test_the_best_labels_come_first_and_the_rest_are_left() -> None:
    one = Classifier("image", ("a", "b", "c", "d"), np.eye(4, dtype=np.float32), 1.0)
    found = np.array([0.1, 0.5, 0.1, 0.3], dtype=np.float32)
    assert [tag.name for tag in one.select_best(found, at_most=3, at_least=0.0)] == ["b", "d", "a"]
    assert [tag.name for tag in one.select_best(found, at_most=3, at_least=0.3)] == ["b", "d"]
    assert one.select_best(found, at_most=3, at_least=0.6) == ()


def test_templates_are_averaged_as_unit_vectors() -> None:
    encoders = cast(Any, FakeEncoders())
    (found,), _ = make_classifiers(
        Prompts.create(["red", "blue"], ["{}", "my {}"]), encoders, {"image"}
    )
    for label, row in zip(("red", "blue"), found.directions, strict=True):
        pair = encoders.image.encode_texts([label, f"my {label}"])
        mean = pair.mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-5)


def test_more_labels_than_are_encoded_at_once_keep_their_order() -> None:
    labels = [f"label{i}" for i in range(600)]
    encoders = cast(Any, FakeEncoders())
    (found,), _ = make_classifiers(Prompts.create(labels, ["{}"]), encoders, {"image"})
    np.testing.assert_allclose(
        found.directions[599], encoders.image.encode_texts(["label599"])[0], rtol=1e-5
    )


class HearingSound(FakeSound):
    takes_words = True
    logit_scale = 20.0

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.stack([direction(text.removeprefix("this is a sound of ")) for text in texts])


def hearing() -> FakeEncoders:
    encoders = FakeEncoders()
    encoders.sound = HearingSound(encoders.asked)
    curves = {**FAKE_PRESET.calibrations, "text>sound": Calibration(0.5, 9.0)}
    encoders.preset = replace(FAKE_PRESET, calibrations=MappingProxyType(curves))
    return encoders


def test_cosines_are_scaled_as_the_model_says_or_as_its_curve_does() -> None:
    found, left_out = make_classifiers(
        Prompts.create(["44", "88"]), cast(Any, hearing()), {"image", "sound"}
    )
    assert {one.space: one.scale for one in found} == {"image": 10.0, "sound": 20.0}
    assert left_out == []


def test_a_model_without_words_is_left_out_with_a_reason() -> None:
    found, left_out = make_classifiers(
        Prompts.create(["a", "b"]), cast(Any, FakeEncoders()), {"image", "sound", "text"}
    )
    assert [one.space for one in found] == ["image"]
    assert left_out == [
        "sounds get no labels: the model fake/sound takes no words; a library of preset clip has "
        "one that does"
    ]


def test_a_space_that_is_not_asked_for_costs_no_encoding() -> None:
    encoders = FakeEncoders()
    assert make_classifiers(Prompts.create(["a", "b"]), cast(Any, encoders), {"text"}) == ([], [])
    assert not encoders.asked


def test_a_film_is_the_mean_of_its_frames() -> None:
    one = Classifier("image", ("a", "b"), np.eye(2, dtype=np.float32), 3.0)
    frames = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    found = classify_vectors([one], {"image": frames})
    assert [tag.name for tag in found.spaces["image"]] == ["a", "b"]
    assert sum(tag.probability for tag in found.spaces["image"]) == pytest.approx(1.0)
    high = 1 / (1 + np.exp(-3.0))
    assert found.spaces["image"][0].probability == pytest.approx((2 * high + 1 - high) / 3)


@pytest.mark.parametrize(
    ("setting", "scale"), [(112.5, 112.5), (None, None), ("100", None), (0, None), (-1.0, None)]
)
def test_the_card_says_the_scale(setting: object, scale: float | None) -> None:
    card = ModelCard("open-clip", "x/y", "0" * 64, 8, settings={"logit_scale": setting})
    assert read_logit_scale(StoredModel(Path(), card), "logit_scale") == scale


# Beside the tags of an encoder

tags = st.lists(
    st.builds(Tag, st.sampled_from(["cat", "Dog", "sea", "beach", "car"]), st.floats(0.01, 1)),
    max_size=4,
    unique_by=lambda tag: tag.name,
).map(tuple)


@given(tags, tags, st.sets(st.sampled_from(["cat", "dog", "sea"])))
def test_new_results_replace_old_ones_of_the_same_labels_and_nothing_else(
    made: tuple[Tag, ...], first: tuple[Tag, ...], labels: set[str]
) -> None:
    before = SegmentTags("s", made, ()).replace_labels(
        {tag.name.casefold() for tag in first}, first
    )
    found = [Tag(label, 0.5) for label in sorted(labels)]
    after = before.replace_labels(labels, found)
    assert after == after.replace_labels(labels, found)
    assert after.encoder_tags == made
    names = [tag.name.casefold() for tag in (*after.encoder_tags, *after.label_tags)]
    assert len(set(names)) == len(names)
    kept = {tag for tag in before.label_tags if tag.name.casefold() not in labels}
    assert kept <= set(after.label_tags)
    assert {tag.name for tag in set(after.label_tags) - kept} == labels - {
        tag.name.casefold() for tag in made
    }


def test_a_row_says_which_tags_labels_gave() -> None:
    (row,) = make_tags_table(
        [SegmentTags("s", (Tag("tabby", 0.5),), (Tag("cat", 0.25),))]
    ).to_pylist()
    assert row == {
        "segment_id": "s",
        "tags": [{"name": "tabby", "probability": 0.5}, {"name": "cat", "probability": 0.25}],
        "labels": ["cat"],
    }
