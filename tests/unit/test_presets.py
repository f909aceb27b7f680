"""Presets are data: every default is free to use, and a user's own are read with care."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.encoders.registry import ENCODERS, find_encoder_class
from mmsearch.errors import ConfigError
from mmsearch.models import presets
from mmsearch.models.calibration import ENCODER_CALIBRATIONS, Calibration
from mmsearch.models.presets import OCR, ROLES, ModelSpec, parse_model
from mmsearch.models.provisioning import Runtime

FREE = {"Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0"}
DEFAULTS = [
    (name, place, spec)
    for name, preset in presets.PRESETS.items()
    for place, spec in [*preset.specs.items(), ("speech", preset.speech_on_gpu)]
    if spec is not None
]


@pytest.mark.parametrize(("preset", "place", "spec"), DEFAULTS, ids=str)
def test_every_default_has_a_free_licence_and_an_encoder(
    preset: str, place: str, spec: ModelSpec
) -> None:
    assert spec.licence in FREE, f"{preset}: {spec.source}"
    assert find_encoder_class(spec).kind == place


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_what_can_be_asked_of_a_preset_has_a_curve_that_rises(name: str) -> None:
    curves = presets.PRESETS[name].calibrations
    assert {"text>text", "text>image", "image>image", "sound>sound"} <= set(curves)
    assert ("text>sound" in curves) == find_encoder_class(presets.PRESETS[name].sound).takes_words
    for curve in curves.values():
        assert curve.compute_score(-1.0) < 0.5 < curve.compute_score(1.0)


@given(
    st.lists(st.floats(-1, 1, width=32), max_size=5),
    st.floats(-0.5, 0.5),
    st.floats(1, 120),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_curve_rises_and_a_ceiling_lowers_what_does_not_come_near_it(
    cosines: list[float], midpoint: float, steepness: float, weight: float, ceiling: float
) -> None:
    near = np.array(sorted(cosines), dtype=np.float32)
    curve = Calibration(midpoint, steepness, ceiling_weight=weight)

    alone, beside = curve.compute_scores(near), curve.compute_scores(near, ceiling)

    assert alone.dtype == np.float32
    np.testing.assert_allclose(alone, [curve.compute_score(float(one)) for one in near], atol=1e-6)
    assert (np.diff(alone) >= 0).all()
    assert (beside <= alone).all()
    moved = Calibration(midpoint + weight * ceiling, steepness)
    np.testing.assert_allclose(beside, moved.compute_scores(near), atol=1e-6)


@pytest.mark.parametrize(
    ("place", "written", "expected"),
    [
        ("image", "ViT-B-32/laion2b_s34b_b79k", ("open-clip", "ViT-B-32/laion2b_s34b_b79k")),
        ("image", "timm/ViT-B-16-SigLIP2-256", ("open-clip", "timm/ViT-B-16-SigLIP2-256")),
        ("image", "/models/clip", ("open-clip", "/models/clip")),
        ("image", "tagging", ("tagging", "")),
        ("sound", "laion/larger_clap_general", ("clap", "laion/larger_clap_general")),
        ("sound", "laion-clap:/a/b c.pt", ("laion-clap", "/a/b c.pt")),
        ("speech", "large-v3-turbo", ("faster-whisper", "large-v3-turbo")),
        ("text", "intfloat/multilingual-e5-small", ("sentence", "intfloat/multilingual-e5-small")),
        ("text", "minilm", ("minilm", "")),
        ("image", "C:/models", ("open-clip", "C:/models")),
    ],
)
def test_a_model_is_named_by_its_source_or_with_its_encoder(
    place: str, written: str, expected: tuple[str, str]
) -> None:
    spec = parse_model(place, written)
    assert (spec.encoder, spec.source) == expected


@given(st.sampled_from(ROLES), st.text())
def test_any_text_is_a_model_or_becomes_one_that_is_told_apart(place: str, written: str) -> None:
    spec = parse_model(place, written)
    assert written in (f"{spec.encoder}:{spec.source}", spec.source, spec.encoder)


def test_another_model_brings_its_own_curves() -> None:
    mixed = presets.MINI.with_models({"image": ModelSpec("open-clip", "ViT-B-32/openai")})
    assert mixed.calibrations["text>image"] == ENCODER_CALIBRATIONS["open-clip"]["text>image"]
    assert mixed.calibrations["text>text"] == presets.MINI.calibrations["text>text"]
    assert mixed.text == presets.MINI.text


def test_the_same_encoder_for_speech_changes_no_curve() -> None:
    larger = presets.MINI.with_models({"speech": ModelSpec("faster-whisper", "small")})
    assert larger.calibrations == presets.MINI.calibrations
    assert larger.speech_on_gpu is None


def test_the_tagging_model_is_refused_beside_a_text_model_that_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match="minilm"):
        presets.MINI.with_models({"text": ModelSpec("sentence", "a/b")})


OWN: Mapping[str, object] = {
    "photos": {
        "extends": "clip",
        "image": "ViT-L-14/datacomp_xl_s13b_b90k",
        "text": {"source": "a/b", "revision": "f00", "query_prefix": "query: "},
        "others": ["trace"],
        "summary": "mine",
    }
}


def test_a_preset_of_ones_own_extends_one_that_is_built_in() -> None:
    mine = presets.find_preset("photos", OWN)
    assert (mine.name, mine.summary) == ("photos", "mine")
    assert mine.image == ModelSpec("open-clip", "ViT-L-14/datacomp_xl_s13b_b90k")
    assert (mine.text.source, mine.text.revision) == ("a/b", "f00")
    assert dict(mine.text.settings) == {"query_prefix": "query: "}
    assert mine.sound == presets.CLIP.sound
    assert [spec.encoder for spec in mine.others] == ["trace"]
    assert "trace>trace" in mine.calibrations


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("clip", "must be a table"),
        ({"extends": "huge"}, "it can be mini"),
        ({"picture": "a/b"}, "unknown key 'picture'"),
        ({"image": 7}, "image must be a model"),
        ({"image": {"source": 7}}, "image must be a model"),
        ({"others": "trace"}, "others must be a list"),
    ],
)
def test_what_is_wrong_with_a_preset_is_said_with_its_place(written: object, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        presets.find_preset("photos", {"photos": written})


def test_a_built_in_name_is_not_taken_over() -> None:
    with pytest.raises(ConfigError, match="built in"):
        presets.find_preset("clip", {"clip": {"extends": "mini"}})


def test_an_unknown_preset_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="best, clip, fast, mini, photos"):
        presets.find_preset("huge", OWN)


def test_every_name_of_an_encoder_leads_to_a_class() -> None:
    for name in ENCODERS:
        family = find_encoder_class(ModelSpec(name))
        assert family.kind in {*ROLES, OCR}
        assert callable(family.describe)
        assert callable(family.load)


def test_an_unknown_encoder_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="open-clip"):
        find_encoder_class(ModelSpec("nothing"))


@pytest.mark.parametrize("wishes", [{"device": "gpu"}, {"precision": "int4"}])
def test_a_runtime_that_there_is_not_is_refused_with_those_there_are(
    wishes: dict[str, str],
) -> None:
    with pytest.raises(ConfigError, match="it can be"):
        Runtime(**wishes).create_context()
