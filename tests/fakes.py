"""Encoders without networks, and small media files to feed them."""

from __future__ import annotations

import hashlib
import threading
import wave
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from mmsearch.encoders.base import PictureCode, PreparedPicture, Utterance
from mmsearch.index.word_index import split_words
from mmsearch.library.library import Library
from mmsearch.models.calibration import Calibration
from mmsearch.models.presets import ModelSpec, Preset
from mmsearch.store import manifest as manifests
from mmsearch.store.manifest import Manifest
from mmsearch.store.writer import create
from mmsearch.types import Box, PictureFit, Space, Span, Tag

DIM = 32
RATE = 16_000
COLOURS = ("red", "green", "blue")
WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def fake_space(name: str) -> Space:
    return Space(
        name, DIM, "cosine", f"fake/{name}", "1", hashlib.sha256(name.encode()).hexdigest()
    )


FAKE_PRESET = Preset(
    name="fake",
    text=ModelSpec("fake"),
    image=ModelSpec("fake"),
    sound=ModelSpec("fake"),
    speech=ModelSpec("fake"),
    calibrations=MappingProxyType(
        {
            "text>text": Calibration(midpoint=0.5, steepness=10.0),
            "text>image": Calibration(midpoint=0.5, steepness=10.0),
            "image>image": Calibration(midpoint=0.6, steepness=10.0),
            "tags>text": Calibration(midpoint=0.5, steepness=10.0),
            "sound>sound": Calibration(midpoint=0.6, steepness=10.0),
        }
    ),
    summary="no networks",
)


def direction(seed: bytes | str) -> np.ndarray:
    """A unit vector that depends on the seed alone; two are nearly at right angles."""
    raw = seed if isinstance(seed, bytes) else seed.encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")
    values = np.random.default_rng(number).standard_normal(DIM)
    return (values / np.linalg.norm(values)).astype(np.float32)


def unit(total: np.ndarray) -> np.ndarray:
    return (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)


class FakeText:
    """The sum of directions of the words: texts that share words are near each other."""

    space = fake_space("text")
    max_tokens = 254

    def __init__(self, asked: Counter[str]) -> None:
        self._asked = asked

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self._asked["text"] += len(texts)
        rows = [
            unit(np.sum([direction(word) for word in split_words(text)] or [direction("")], axis=0))
            for text in texts
        ]
        return np.stack(rows) if rows else np.zeros((0, DIM), dtype=np.float32)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.encode(texts)


class FakeImage:
    """The direction of the name of the strongest colour, with a little of the picture itself."""

    space = fake_space("image")
    fit = PictureFit("within", 64, "lanczos")

    def __init__(self, asked: Counter[str], text: FakeText) -> None:
        self._asked = asked
        self._text = text

    def prepare(self, pixels: np.ndarray) -> PreparedPicture:
        return PreparedPicture(np.ascontiguousarray(pixels)[None], (WHOLE,))

    def encode(self, pictures: Sequence[PreparedPicture]) -> list[PictureCode]:
        self._asked["image"] += len(pictures)
        return [self._code(picture.crops[0]) for picture in pictures]

    def _code(self, pixels: np.ndarray) -> PictureCode:
        colour = COLOURS[int(np.argmax(pixels.reshape(-1, 3).mean(axis=0)))]
        value = unit(direction(colour) + 0.2 * direction(pixels.tobytes()))
        return PictureCode(value[None], (WHOLE,), (Tag(colour, 0.9),))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._text.encode_queries(texts)


class FakeSound:
    """The direction of the loudest frequency."""

    space = fake_space("sound")
    window_s = 10.0
    hop_s = 10.0
    sample_rate_hz = RATE
    takes_words = False

    def __init__(self, asked: Counter[str]) -> None:
        self._asked = asked

    def encode(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        self._asked["sound"] += len(windows)
        return np.stack([direction(str(self._loudest(window))) for window in windows])

    def _loudest(self, window: np.ndarray) -> int:
        bins = np.abs(np.fft.rfft(window[:RATE], n=RATE))
        return int(np.argmax(bins) // 10)


class FakeTranscriber:
    """One sentence for a stretch that is not silent."""

    model = "fake"

    def __init__(self, asked: Counter[str]) -> None:
        self._asked = asked

    def transcribe(
        self, samples: np.ndarray, start_s: float, *, with_words: bool = False
    ) -> list[Utterance]:
        del with_words
        self._asked["speech"] += 1
        if not len(samples) or float(np.abs(samples).max()) < 0.01:
            return []
        return [Utterance("humming voices", Span(start_s, start_s + len(samples) / RATE))]


class FakeEncoders:
    """What `mmsearch.encoders.bundle.Encoders` is, counting in `asked` what was encoded."""

    preset = FAKE_PRESET
    is_on_gpu = False
    ocr = None
    batch = 16
    spaces = (FakeText.space, FakeImage.space, FakeSound.space)

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.text = FakeText(self.asked)
        self.image = FakeImage(self.asked, self.text)
        self.sound = FakeSound(self.asked)
        self.transcriber = FakeTranscriber(self.asked)

    def get_space(self, name: str) -> Space:
        return next(space for space in self.spaces if space.name == name)

    def encode_query_texts(
        self, texts: Sequence[str], spaces: Collection[str] | None = None
    ) -> dict[str, np.ndarray]:
        calls = {"text": self.text.encode_queries, "image": self.image.encode_texts}
        return {
            name: call(texts) for name, call in calls.items() if spaces is None or name in spaces
        }

    def get_other_encoder(self, name: str) -> None:
        del name


def fake_library(path: Path, encoders: FakeEncoders | None = None) -> Library:
    """The library at `path` with fake encoders, made where there is none."""
    encoders = encoders or FakeEncoders()
    if not manifests.exists(path):
        create(path, Manifest("fake", "fake", encoders.spaces))
    return Library(path, manifests.read(path), encoders)


def write_picture(path: Path, colour: str = "red", *, shade: int = 200) -> Path:
    """A small PNG of one colour; another shade is another picture of the same colour."""
    values = tuple(shade if colour == name else 10 for name in COLOURS)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 16), values).save(path, format="PNG")
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_sound(
    path: Path, *, seconds: float = 3.0, hertz: float = 440.0, level: float = 0.5
) -> Path:
    """A WAV of one tone; level 0 is silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * RATE)) / RATE
    samples = (level * np.sin(2 * np.pi * hertz * times) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def write_film(path: Path, colours: Sequence[str], *, seconds_each: float = 4.0) -> Path:
    """An MP4 without sound that shows one colour after the other."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in colours:
            pixels = np.full((48, 64, 3), 10, dtype=np.uint8)
            pixels[:, :, COLOURS.index(colour)] = 220
            for _ in range(round(5 * seconds_each)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path
