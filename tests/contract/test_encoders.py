"""What every encoder of a preset that is at hand holds, whatever its network."""

from __future__ import annotations

import pytest

from mmsearch import testing
from mmsearch.encoders.bundle import Encoders
from mmsearch.models import presets
from mmsearch.models.provisioning import Runtime

PACKAGED = ["mini"]  # the others need weights; tests of conversion run the same checks on them


@pytest.fixture(scope="module", params=PACKAGED)
def encoders(request: pytest.FixtureRequest) -> Encoders:
    return Encoders(presets.find_preset(request.param), Runtime(threads=2).create_context())


def test_spaces_have_distinct_names_and_pinned_weights(encoders: Encoders) -> None:
    names = [space.name for space in encoders.spaces]
    assert len(set(names)) == len(names)
    for space in encoders.spaces:
        testing.check_space(space)
        assert space.files, f"{space.name} does not name its weight files"


def test_the_text_encoder_holds_the_contract(encoders: Encoders) -> None:
    testing.check_text_encoder(encoders.text)


def test_the_image_encoder_holds_the_contract(encoders: Encoders) -> None:
    testing.check_image_encoder(encoders.image)


def test_the_sound_encoder_holds_the_contract(encoders: Encoders) -> None:
    testing.check_sound_encoder(encoders.sound)


def test_the_transcriber_holds_the_contract(encoders: Encoders) -> None:
    testing.check_transcriber(encoders.transcriber)


def test_words_enter_the_spaces_that_take_them(encoders: Encoders) -> None:
    entered = encoders.encode_query_texts(["a dog", "a cat"])
    assert {"text", "image"} <= set(entered)
    for name, vectors in entered.items():
        testing.check_vectors(vectors, 2, encoders.get_space(name))
