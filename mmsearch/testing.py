"""Contract checks of encoders, loaders and indexes; authors of plugins run them on their own.

Each function checks one object and raises AssertionError with the requirement that it fails. No
test framework is needed:

    from mmsearch import testing

    def test_my_encoder():
        testing.check_image_encoder(MyEncoder())
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.encoders.base import (
    ImageEncoder,
    OtherEncoder,
    SoundEncoder,
    TextEncoder,
    Transcriber,
)
from mmsearch.errors import MediaError
from mmsearch.index.base import VectorIndex
from mmsearch.media.base import (
    AudioBlock,
    Content,
    Described,
    Loader,
    LoadOptions,
    Picture,
    Reading,
)
from mmsearch.types import Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch.types import FloatArray, PixelArray, SampleArray

OPTIONS = LoadOptions()
SAME = 0.9999
"""Cosine from which two vectors of the same content count as the same."""
TEXTS = ("a dog on the beach", "", "two words", "naïve café 犬", "\ud800", "word " * 3000)


def check_space(space: Space) -> None:
    """Checks that a space has a name, a size, and a sha256 over its weights."""
    assert space.name, "a space needs a name"
    assert space.dim > 0, f"{space.name}: dim is {space.dim}"
    digest = space.weights_sha256
    is_digest = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    assert is_digest, f"{space.name}: weights_sha256 is {digest!r}, not 64 hex digits"
    assert space.model, f"{space.name}: it does not say which model fills it"


def check_vectors(values: FloatArray, count: int, space: Space) -> None:
    """Checks (count, dim) float32 with finite unit rows."""
    assert values.shape == (count, space.dim), (
        f"{space.name}: shape {values.shape}, expected {(count, space.dim)}"
    )
    assert values.dtype == np.float32, f"{space.name}: dtype {values.dtype}, expected float32"
    assert bool(np.isfinite(values).all()), f"{space.name}: not finite"
    norms = np.linalg.norm(values, axis=1)
    assert bool(np.allclose(norms, 1.0, atol=1e-3)), f"{space.name}: rows are not unit: {norms}"


def check_same(vectors: FloatArray, expected: FloatArray, why: str, *, least: float = SAME) -> None:
    """Checks that vectors are equal row by row, up to rounding."""
    cosines = (vectors * expected).sum(axis=1)
    assert float(cosines.min(initial=1.0)) >= least, f"{why}: cosine {cosines.min():.6f}"


def check_text_encoder(encoder: TextEncoder) -> None:
    """Checks unit rows for any text, the same in any batch; tokens are counted text by text."""
    check_space(encoder.space)
    texts = list(TEXTS)
    together = encoder.encode(texts)
    check_vectors(together, len(texts), encoder.space)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    check_same(together, alone, "a text's vector depends on its batch", least=0.999)
    check_vectors(encoder.encode_queries(texts), len(texts), encoder.space)
    assert encoder.encode([]).shape == (0, encoder.space.dim), "no texts give (0, dim)"
    assert encoder.count_tokens([]) == [], "no texts have no tokens"
    few, many = encoder.count_tokens(["dog", "dog " * 50])
    assert 0 < few < many, f"'dog' counts {few} tokens, fifty of it {many}"
    assert encoder.max_tokens > 0, f"max_tokens is {encoder.max_tokens}"


def check_image_encoder(encoder: ImageEncoder) -> None:
    """Checks unit rows with boxes for images of any shape, in any batch, and vectors of words."""
    check_space(encoder.space)
    shapes = [(90, 120), (1, 1), (3, 400), (400, 3), (300, 300)]
    pictures = [encoder.prepare(_noise(seed, *shape)) for seed, shape in enumerate(shapes)]
    codes = encoder.encode(pictures)
    assert len(codes) == len(pictures), f"{len(pictures)} pictures give {len(codes)} codes"
    for picture, code in zip(pictures, codes, strict=True):
        check_vectors(code.values, len(code.boxes), encoder.space)
        for box in code.boxes:
            is_inside = 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
            assert is_inside, f"{box} is no part of a picture"
        probabilities = [tag.probability for tag in code.tags]
        assert probabilities == sorted(probabilities, reverse=True), "tags come best first"
        (alone,) = encoder.encode([picture])
        check_same(alone.values, code.values, "a picture depends on its batch", least=0.999)
    assert encoder.encode([]) == [], "no pictures give no codes"
    check_vectors(encoder.encode_texts(["a dog", "a cat"]), 2, encoder.space)
    assert encoder.encode_texts([]).shape == (0, encoder.space.dim), "no words give (0, dim)"


def check_sound_encoder(encoder: SoundEncoder) -> None:
    """Checks unit rows for windows up to `window_s`, the same at every call and in any batch."""
    check_space(encoder.space)
    assert 0 < encoder.hop_s <= encoder.window_s, "a hop leaves no sound between windows"
    rate_hz = encoder.sample_rate_hz
    windows: list[SampleArray] = [
        make_tone(encoder.window_s, rate_hz=rate_hz),
        make_tone(1.0, rate_hz=rate_hz, pitch_hz=440.0),
        np.zeros(rate_hz, dtype=np.float32),
        np.zeros(1, dtype=np.float32),
    ]
    first = encoder.encode(windows)
    check_vectors(first, len(windows), encoder.space)
    check_same(first, encoder.encode(windows[::-1])[::-1], "the same sound, another vector")
    alone = np.concatenate([encoder.encode([window]) for window in windows])
    check_same(first, alone, "a sound's vector depends on its batch")
    if encoder.takes_words:
        check_vectors(encoder.encode_texts(["rain", "a dog barks"]), 2, encoder.space)


def check_transcriber(transcriber: Transcriber) -> None:
    """Checks that silence, noise and a hum have no transcript."""
    rate_hz = 16_000
    hiss = np.random.default_rng(3).normal(0, 0.05, 10 * rate_hz).astype(np.float32)
    silence = np.zeros(10 * rate_hz, dtype=np.float32)
    nothing = np.zeros(0, dtype=np.float32)
    for name, samples in (
        ("silence", silence),
        ("noise", hiss),
        ("a hum", make_tone(10.0, rate_hz=rate_hz)),
        ("no samples", nothing),
    ):
        segments = transcriber.transcribe(samples, 0.0)
        assert segments == [], f"in {name} it heard {segments}"


def check_other_encoder(encoder: OtherEncoder, readings: Sequence[NDArray[np.float32]]) -> None:
    """Checks unit rows for contents of the plugin's own loader, the same at every call."""
    check_space(encoder.space)
    first = encoder.encode(readings)
    check_vectors(first, len(readings), encoder.space)
    check_same(first, encoder.encode(readings), "the same reading, another vector")


def check_loader(loader: Loader, path: Path, options: LoadOptions = OPTIONS) -> list[Content]:
    """Checks that a file streams `Described`, then contents that fit the options; returns them.

    A cut-off copy of it must give contents or a MediaError, and nothing else.
    """
    contents = list(loader.load(path, options))
    assert contents, f"{path}: nothing came"
    assert isinstance(contents[0], Described), f"{path}: the first content must be Described"
    count = sum(isinstance(content, Described) for content in contents)
    assert count == 1, "Described comes once"
    for content in contents[1:]:
        _check_content(content, options)
    for size_bytes in {0, 1, path.stat().st_size // 2}:
        _check_cut(loader, path, size_bytes, options)
    return contents


def _check_content(content: Content, options: LoadOptions) -> None:
    match content:
        case Picture(pixels):
            assert pixels.dtype == np.uint8, f"pixels are {pixels.dtype}, expected uint8"
            assert pixels.ndim == 3, f"pixels are {pixels.shape}"
            assert pixels.shape[2] == 3, f"pixels are {pixels.shape}, expected (h, w, 3)"
        case AudioBlock(samples, _, rate_hz):
            assert samples.dtype == np.float32, f"samples are {samples.dtype}, expected float32"
            assert samples.ndim == 1, f"samples are {samples.shape}, expected mono"
            assert rate_hz in options.sample_rates_hz, f"{rate_hz} Hz was not asked for"
        case Reading(values):
            assert values.dtype == np.float32, f"a reading is {values.dtype}, expected float32"
        case _:
            pass


def _check_cut(loader: Loader, path: Path, size_bytes: int, options: LoadOptions) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / path.name
        cut.write_bytes(path.read_bytes()[:size_bytes])
        try:
            for _ in loader.load(cut, options):
                pass
        except MediaError as exc:
            assert str(cut) in str(exc), "a MediaError carries the path"
        except Exception as exc:  # the one thing that must not happen
            raise AssertionError(f"a cut file raised {exc!r}: raise a MediaError") from exc


def check_index(index: VectorIndex, vectors: FloatArray) -> None:
    """Checks that every vector is its own nearest neighbour, and that limits hold."""
    assert index.count == len(vectors), f"it holds {index.count} of {len(vectors)}"
    for row in range(0, len(vectors), max(1, len(vectors) // 8)):
        near = index.nearest(vectors[row : row + 1], 3)
        assert int(near.rows[0, 0]) == row, f"row {row} finds {near.rows.tolist()}"
        allowed = np.ones(len(vectors), dtype=np.bool_)
        allowed[row] = False
        masked = index.nearest(vectors[row : row + 1], 3, allowed=allowed)
        assert row not in masked.rows[0].tolist(), f"row {row} was masked, and is found"


def make_tone(seconds: float, *, rate_hz: int, pitch_hz: float = 220.0) -> SampleArray:
    """Makes a sine of 0.3 of full scale as (n,) float32."""
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    wave: SampleArray = (0.3 * np.sin(2 * np.pi * pitch_hz * times)).astype(np.float32)
    return wave


def _noise(seed: int, height: int, width: int) -> PixelArray:
    values = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return np.asarray(values, dtype=np.uint8)
