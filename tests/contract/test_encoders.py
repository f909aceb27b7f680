"""What every encoder of a preset holds, whatever its network."""

from __future__ import annotations

import numpy as np
import pytest

from mmsearch import presets
from mmsearch.encoders.bundle import Encoders

SECOND = 16_000


@pytest.fixture(scope="module", params=sorted(presets.PRESETS))
def encoders(request: pytest.FixtureRequest) -> Encoders:
    return Encoders(presets.find(request.param), threads=2)


def unit(rows: np.ndarray) -> bool:
    return bool(np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-3))


def noise(seed: int, height: int = 90, width: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def hum(seconds: float, pitch_hz: float = 220.0) -> np.ndarray:
    time = np.arange(int(seconds * SECOND)) / SECOND
    return (0.3 * np.sin(2 * np.pi * pitch_hz * time)).astype(np.float32)


def test_spaces_have_distinct_names_and_pinned_weights(encoders: Encoders) -> None:
    names = [space.name for space in encoders.spaces]
    assert len(set(names)) == len(names)
    assert all(len(space.weights_sha256) == 64 for space in encoders.spaces)


def test_text_vectors_are_unit_rows_of_the_space(encoders: Encoders) -> None:
    vectors = encoders.text.encode(["a dog", "", "x" * 5000, "naïve café 犬"])
    assert vectors.shape == (4, encoders.text.space.dim)
    assert vectors.dtype == np.float32
    assert unit(vectors)


def test_text_vectors_do_not_depend_on_their_batch(encoders: Encoders) -> None:
    texts = ["a dog on the beach", "two words", "a long sentence " * 20]
    together = encoders.text.encode(texts)
    alone = np.concatenate([encoders.text.encode([text]) for text in texts])
    assert (together * alone).sum(axis=1).min() > 0.9999


def test_no_text_gives_no_vectors(encoders: Encoders) -> None:
    assert encoders.text.encode([]).shape == (0, encoders.text.space.dim)
    assert encoders.text.count_tokens([]) == []


def test_tokens_are_counted_for_each_text(encoders: Encoders) -> None:
    few, many = encoders.text.count_tokens(["dog", "dog " * 50])
    assert 0 < few < many


def test_pictures_become_unit_rows_with_boxes_and_tags(encoders: Encoders) -> None:
    (code,) = encoders.image.encode([encoders.image.prepare(noise(1))])
    assert code.values.shape == (len(code.boxes), encoders.image.space.dim)
    assert unit(code.values)
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in code.boxes)
    probabilities = [tag.probability for tag in code.tags]
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 400), (400, 3), (90, 120)])
def test_pictures_of_any_shape_are_prepared(encoders: Encoders, height: int, width: int) -> None:
    (code,) = encoders.image.encode([encoders.image.prepare(noise(2, height, width))])
    assert np.isfinite(code.values).all()


def test_pictures_do_not_depend_on_their_batch(encoders: Encoders) -> None:
    pictures = [encoders.image.prepare(noise(seed)) for seed in range(3)]
    together = encoders.image.encode(pictures)
    for picture, code in zip(pictures, together, strict=True):
        (alone,) = encoders.image.encode([picture])
        assert (alone.values * code.values).sum(axis=1).min() > 0.999


def test_texts_enter_the_image_space_as_unit_rows(encoders: Encoders) -> None:
    entered = encoders.image.project_text(encoders.text.encode(["a dog", "a cat"]))
    assert entered.shape == (2, encoders.image.space.dim)
    assert unit(entered)


def test_sounds_become_unit_rows_and_repeat(encoders: Encoders) -> None:
    windows = [hum(encoders.sound_window_s), hum(1.0, 440.0)]
    first, again = encoders.sound.encode(windows), encoders.sound.encode(windows[::-1])[::-1]
    assert first.shape == (2, encoders.sound.space.dim)
    assert unit(first)
    assert (first * again).sum(axis=1).min() > 0.9999


def test_nothing_is_heard_in_silence_noise_or_a_hum(encoders: Encoders) -> None:
    hiss = np.random.default_rng(3).normal(0, 0.05, 10 * SECOND).astype(np.float32)
    for samples in (np.zeros(10 * SECOND, np.float32), hiss, hum(10.0), np.zeros(0, np.float32)):
        assert encoders.transcriber.transcribe(samples, 0.0) == []
