"""What previews cost: the first time, with a decoder process that runs, and once they are kept.

Makes a photograph of 12 megapixels, and a film and a recording of five minutes. The library has
encoders without networks: how a file was indexed does not matter here.

    python -m benchmarks.previews
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from mmsearch.media.base import LoadOptions, Picture
from mmsearch.media.files import hash_content
from mmsearch.media.isolation import Decoder
from mmsearch.previews import Preview, Previews
from mmsearch.types import PictureFit, Span
from tests.fakes import fake_library

SECONDS = 300
FPS = 25
SIZE = (1280, 720)
RUNS = 5


def scene(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Soft noise in several scales, about as hard to encode as a photograph."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for scale in (4, 16, 64, 256):
        small = rng.integers(0, 255, (max(2, size[1] // scale), max(2, size[0] // scale), 3))
        image = Image.fromarray(small.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(image) * scale**0.5
    return (255 * (total - total.min()) / (total.max() - total.min())).astype(np.uint8)


def photograph(path: Path) -> Path:
    Image.fromarray(scene(0, (4000, 3000))).save(path, quality=90)
    return path


def film(path: Path) -> Path:
    """Scenes of ten seconds through which the camera moves, with a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        for number in range(SECONDS * FPS):
            shot, at = divmod(number, 10 * FPS)
            if at == 0:
                wide = scene(shot, (SIZE[0] + 10 * FPS, SIZE[1]))
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(wide[:, at : at + SIZE[0]]), "rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        write_sound(container, sound)
    return path


def recording(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        write_sound(container, container.add_stream("libmp3lame", rate=48_000, layout="mono"))
    return path


def write_sound(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    times = np.arange(1152 * (SECONDS * 48_000 // 1152)) / 48_000
    wave = (0.4 * np.sin(2 * np.pi * 440 * times) * np.sin(times)).astype(np.float32)
    for at in range(0, len(wave), 1152):
        frame = av.AudioFrame.from_ndarray(wave[None, at : at + 1152], "flt", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def timed(make: Callable[[], object]) -> float:
    begun = time.perf_counter()
    make()
    return 1000 * (time.perf_counter() - begun)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        media = root / "media"
        media.mkdir()
        files = {
            "photo": photograph(media / "photo.jpg"),
            "film": film(media / "film.mp4"),
            "sound": recording(media / "sound.mp3"),
        }
        ids = {kind: hash_content(path) for kind, path in files.items()}
        with fake_library(root / "library") as library:
            library.index(media)
            asks: dict[str, Callable[[Previews], Preview]] = {
                "320 px of a JPEG of 12 megapixels": lambda p: p.picture(ids["photo"]),
                "1600 px of it": lambda p: p.picture(ids["photo"], px=1600),
                "still at 60 s, 320 px": lambda p: p.picture(ids["film"], at_s=60.0),
                "still at 297 s, 320 px": lambda p: p.picture(ids["film"], at_s=297.0),
                "still at 297 s, 1280 px": lambda p: p.picture(ids["film"], at_s=297.0, px=1280),
                "waveform of 5 minutes of MP3": lambda p: p.waveform(ids["sound"]),
                "waveform of 10 s of it": lambda p: p.waveform(ids["sound"], span=Span(200, 210)),
                "waveform of the film": lambda p: p.waveform(ids["film"]),
            }
            with Previews(library) as previews:
                print(f"first of all, with the start of a decoder: {first(previews, ids):.0f} ms")
            print("| preview | bytes | made, ms | kept, ms |\n|---|--:|--:|--:|")
            for title, ask in asks.items():
                measure(title, ask, library)
        print(f"a still at 297 s by reading all before it: {from_start(files['film']):.0f} ms")


def first(previews: Previews, ids: dict[str, str]) -> float:
    return timed(lambda: previews.picture(ids["photo"], px=160))


def measure(title: str, ask: Callable[[Previews], Preview], library: object) -> None:
    made, kept = [], []
    size = 0
    for _ in range(RUNS):
        for path in (library.path / "previews").glob("*.preview"):
            path.unlink()
        with Previews(library) as previews:
            previews.picture(hash_content(library.path.parent / "media/photo.jpg"), px=160)
            made.append(timed(lambda: ask(previews)))
            kept.append(timed(lambda: ask(previews)))
            size = len(ask(previews).data)
    print(f"| {title} | {size} | {statistics.median(made):.0f} | {statistics.median(kept):.2f} |")


def from_start(path: Path) -> float:
    """As a picture of a moment was found before stretches could be sought."""
    options = LoadOptions(picture=PictureFit("within", 320, "lanczos"), sample_rates_hz=(1000,))

    def read() -> None:
        for content in decoder.load(path, options):
            if isinstance(content, Picture) and content.place.span.end_s > 297:
                return

    with Decoder() as decoder:
        return timed(read)


if __name__ == "__main__":
    main()
