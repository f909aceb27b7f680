"""A stretch of a file is what lies there when the whole file is read, and no more."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import DecodeError, UnsupportedMedia
from mmsearch.media.av import clip_reader, seeking
from mmsearch.media.base import AudioBlock, Content, Cue, Described, LoadOptions, Picture
from mmsearch.media.isolation import Decoder
from mmsearch.media.registry import load
from mmsearch.types import Modality, PictureFit, Span

RATE = 16_000
FPS = 25
SIZE = (192, 112)
LENGTH_S = 24.0
CUTS_S = (4.0, 7.36, 18.2)
BITS = 12
FULL = PictureFit("within", 1024, "lanczos")


def pattern(number: int, shot: int) -> np.ndarray:
    """Coarse noise that stands for a shot, under it the number of the frame as black and white."""
    tiles = np.random.default_rng(shot).integers(40, 216, (6, 12, 3), dtype=np.uint8)
    picture = np.kron(tiles, np.ones((SIZE[1] // 6 + 1, SIZE[0] // 12, 1), dtype=np.uint8))
    picture = np.ascontiguousarray(picture[: SIZE[1]])
    wide = SIZE[0] // BITS
    for bit in range(BITS):
        picture[-16:, bit * wide : (bit + 1) * wide] = 255 * (number >> bit & 1)
    return picture


def number_in(pixels: np.ndarray) -> int:
    wide = SIZE[0] // BITS
    middles = pixels[-8, wide // 2 :: wide].mean(axis=1)
    return sum(1 << bit for bit in range(BITS) if middles[bit] > 128)


def wave(times: np.ndarray) -> np.ndarray:
    """A tone that rises: every moment sounds unlike every other."""
    return (0.5 * np.sin(2 * np.pi * (200 * times + 10 * times**2))).astype(np.float32)


def film(path: Path, *, sound: str = "", start_s: float = 0.0, gop: int = 60) -> Path:
    codec = "mpeg4" if path.suffix == ".avi" else "libx264"
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=FPS, options={"g": str(gop), "bf": "2"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.bit_rate = 1_500_000
        heard = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for number in range(round(LENGTH_S * FPS)):
            shot = sum(number / FPS >= cut_s for cut_s in CUTS_S)
            frame = av.VideoFrame.from_ndarray(pattern(number, shot), "rgb24")
            frame.pts = number + round(start_s * FPS)
            frame.time_base = Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if heard is not None:
            write_sound(container, heard, 48_000, start_s)
    return path


def write_sound(container: Any, stream: Any, rate: int, start_s: float = 0.0) -> None:
    samples = wave(np.arange(round(LENGTH_S * rate)) / rate)
    for at in range(0, len(samples), 1152):
        piece = np.ascontiguousarray(samples[None, at : at + 1152])
        frame = av.AudioFrame.from_ndarray(piece, "flt", "mono")
        frame.sample_rate = rate
        frame.pts, frame.time_base = at + round(start_s * rate), Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def recording(path: Path, codec: str) -> Path:
    with av.open(str(path), "w") as container:
        write_sound(container, container.add_stream(codec, rate=48_000, layout="mono"), 48_000)
    return path


def part(path: Path, start_s: float, end_s: float | None = None, **named: Any) -> list[Content]:
    span = Span(start_s, start_s if end_s is None else end_s)
    contents = list(load(path, LoadOptions(only=span, picture=FULL, **named)))
    assert isinstance(contents[0], Described)
    return contents


def only(contents: list[Content], kind: type) -> list[Any]:
    return [content for content in contents if isinstance(content, kind)]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    names = {
        "mp4": film(folder / "a.mp4", sound="aac"),
        "mkv": film(folder / "a.mkv", sound="flac"),
        "ts": film(folder / "a.ts", sound="aac", start_s=700.0),
        "avi": film(folder / "a.avi"),
        "bare": film(folder / "a.h264", gop=40),
        "one key frame": film(folder / "one.mp4", gop=5000),
    }
    # A file that was cut off, as a camera leaves it: Matroska without its index at the end.
    whole = names["mkv"].read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 9 // 10])
    return {**names, "no index": folder / "cut.mkv"}


STAMPED = ["mp4", "mkv", "ts", "avi", "one key frame", "no index"]
LATE = frozenset({"avi"})
KINDS = [*STAMPED, "bare"]


@pytest.mark.parametrize("kind", STAMPED)
@pytest.mark.parametrize("at_s", [0.0, 0.05, 1.0, 3.98, 4.0, 17.3, 19.99])
def test_a_still_is_the_frame_that_is_shown_then(
    films: dict[str, Path], kind: str, at_s: float
) -> None:
    described, picture = part(films[kind], at_s)

    assert isinstance(described, Described)
    assert isinstance(picture, Picture)
    assert picture.place.span is not None
    assert abs(number_in(picture.pixels) - int(at_s * FPS + 0.01)) <= (kind in LATE)
    assert picture.place.span.start_s <= at_s + 1e-3 or at_s < 0.1
    assert described.modality is Modality.VIDEO
    assert (described.metadata.width_px, described.metadata.height_px) == SIZE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_s", [LENGTH_S, 25.0, 5_000.0, 1e9])
def test_past_the_end_is_the_last_frame(films: dict[str, Path], kind: str, at_s: float) -> None:
    (picture,) = only(part(films[kind], at_s), Picture)

    last = (0.9 if kind == "no index" else 1.0) * LENGTH_S * FPS - 1
    assert abs(number_in(picture.pixels) - last) <= (30 if kind == "no index" else 1)


@given(at=st.integers(0, round(LENGTH_S * 100) - 5))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_any_still_is_exact(films: dict[str, Path], kind: str, at: int) -> None:
    (picture,) = only(part(films[kind], at / 100), Picture)

    assert number_in(picture.pixels) == at * FPS // 100


def test_a_still_needs_no_sound_and_a_stretch_of_sound_no_pictures(films: dict[str, Path]) -> None:
    assert not only(part(films["mp4"], 9.0), AudioBlock)
    contents = part(films["mp4"], 9.0, 10.0, track="sound")

    assert not only(contents, Picture)
    assert only(contents, AudioBlock)
    assert not only(part(films["mp4"], 9.0, 10.0, track="pictures"), AudioBlock)


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_of_a_shot_is_the_same_without_what_is_before(
    films: dict[str, Path], kind: str
) -> None:
    whole = only(list(load(films[kind], LoadOptions(picture=FULL))), Picture)
    assert len(whole) > len(CUTS_S)
    before_s = -1.0
    for picture in whole:
        span = picture.place.span
        again = only(part(films[kind], span.start_s, span.end_s, track="pictures"), Picture)
        # The cut at 18.2 s comes a second after the ceiling did: its shot is put off.
        assert again or span.start_s == pytest.approx(before_s + LoadOptions().frame_floor_s)
        if again:
            assert again[0].place.key() == picture.place.key()
            assert np.array_equal(again[0].pixels, picture.pixels)
        before_s = span.start_s


def uneven(path: Path, seed: int, fps: float) -> Path:
    """A film whose shots and whose frames last as chance has it, about `fps` of them a second."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=1000, options={"g": "12"})
        video.width, video.height, video.pix_fmt = 96, 56, "yuv420p"
        time_ms = shot = 0
        cut_ms = 0.0
        while time_ms < 20_000:
            if time_ms >= cut_ms:
                shot += 1
                cut_ms = time_ms + 1000 * rng.uniform(0.2, 9.0)
            picture = np.ascontiguousarray(pattern(0, shot)[::2, ::2])
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(video.encode(frame))
            time_ms += max(1, round(1000 / fps * rng.uniform(0.5, 1.5)))
        container.mux(video.encode())
    return path


def held(path: Path, seed: int) -> Path:
    """A screen recording: bursts of frames, then one that is shown until the next burst."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        options = {"g": "30", "bf": "3", "b-pyramid": "none", "b-adapt": "0"}
        video = container.add_stream("libx264", rate=1000, options=options)
        video.width, video.height, video.pix_fmt = 96, 56, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        time_ms = 0
        for slide in range(12):
            for _ in range(rng.integers(1, 30)):
                picture = pattern(0, slide - int(rng.integers(0, 2)) + 1)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[::2, ::2]), "rgb24")
                frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
                container.mux(video.encode(frame))
                time_ms += int(rng.integers(10, 200))
            time_ms += int(1000 * rng.uniform(0.3, 20.0))
        container.mux(video.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("seed", range(4))
def test_a_held_frame_is_found_again(tmp_path: Path, seed: int, suffix: str) -> None:
    path = held(tmp_path / f"a{suffix}", seed)
    whole = only(list(load(path, LoadOptions(picture=FULL))), Picture)
    found = 0
    for picture in whole:
        span = picture.place.span
        for again in only(part(path, span.start_s, span.end_s, track="pictures"), Picture):
            found += 1
            assert np.array_equal(again.pixels, picture.pixels)
    assert found >= len(whole) * 0.75


@pytest.mark.parametrize("fps", [0.7, 3.0, 9.0, 30.0])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_of_a_shot_is_never_another_picture(
    tmp_path: Path, seed: int, fps: float
) -> None:
    path = uneven(tmp_path / "a.mp4", seed, fps)
    whole = only(list(load(path, LoadOptions(picture=FULL))), Picture)
    found = 0
    for picture in whole:
        span = picture.place.span
        for again in only(part(path, span.start_s, span.end_s, track="pictures"), Picture):
            found += 1
            assert np.array_equal(again.pixels, picture.pixels)
    assert found >= len(whole) / 2


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_a_still_is_upright(tmp_path: Path, rotation: int) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 96, 48, "yuv420p"
        video.set_display_rotation(rotation)
        pixels = np.zeros((48, 96, 3), dtype=np.uint8)
        pixels[:24, :32] = 255
        for _ in range(50):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(video.encode())

    described, picture = part(path, 3.0)

    assert isinstance(described, Described)
    assert isinstance(picture, Picture)
    expected = np.rot90(pixels, rotation // 90).astype(int)
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels - expected).mean() < 10
    said = described.metadata
    assert (said.height_px, said.width_px) == expected.shape[:2]


def test_a_film_without_stamps_is_timed_as_when_it_was_indexed(films: dict[str, Path]) -> None:
    for picture in only(list(load(films["bare"], LoadOptions(picture=FULL))), Picture):
        span = picture.place.span
        (still,) = only(part(films["bare"], (span.start_s + span.end_s) / 2), Picture)
        apart = still.pixels[:80].astype(int) - picture.pixels[:80]
        assert np.abs(apart).mean() < 8


def test_what_is_no_shot_has_no_picture(films: dict[str, Path]) -> None:
    assert not only(part(films["mp4"], 13.01, 14.0), Picture)


@pytest.mark.parametrize("span", [(0.0, 1.0), (3.3, 4.7), (8.0, 20.5), (23.0, 60.0)])
@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_a_stretch_of_sound_is_what_is_heard_then(
    films: dict[str, Path], kind: str, span: tuple[float, float]
) -> None:
    heard(films[kind], *span, delay_s=0.03)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.flac", "flac"), ("a.wav", "pcm_s16le"), ("a.mp3", "libmp3lame"), ("a.ogg", "libopus"),
     ("a.aac", "aac")],
)  # fmt: skip
def test_recordings_are_entered_in_their_middle(tmp_path: Path, name: str, codec: str) -> None:
    path = recording(tmp_path / name, codec)
    for span in ((0.0, 2.0), (12.4, 13.4), (19.0, 23.5)):
        # ADTS has no times: where a frame is, is reckoned from the bit rate.
        heard(path, *span, delay_s=0.8 if codec == "aac" else 0.06)


def heard(path: Path, start_s: float, end_s: float, *, delay_s: float) -> None:
    """The blocks of a stretch are as long as it and sound as `wave` does there."""
    blocks = only(part(path, start_s, end_s, track="sound"), AudioBlock)
    samples = np.concatenate([block.samples for block in blocks])
    length_s = min(end_s, LENGTH_S) - start_s
    assert blocks[0].start_s == pytest.approx(
        start_s, abs=max(0.001, delay_s if not start_s else 0)
    )
    assert len(samples) / RATE == pytest.approx(length_s, abs=0.1)
    middle = samples[len(samples) // 2 - 1000 : len(samples) // 2 + 1000]
    peak = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(2000), n=1 << 17)))
    at_s = blocks[0].start_s + len(samples) / 2 / RATE
    # The pitch says the time: it rises by 20 Hz a second.
    assert (peak * RATE / (1 << 17) - 200) / 20 == pytest.approx(at_s, abs=delay_s + 0.05)


def test_sound_past_the_end_is_none(films: dict[str, Path]) -> None:
    assert not only(part(films["mp4"], 100.0, 110.0), AudioBlock)
    assert not only(part(films["mp4"], 25.0, 26.0), AudioBlock)


def test_subtitles_are_left_out(films: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(films["mp4"].read_bytes())
    path.with_suffix(".srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")

    assert only(list(load(path, LoadOptions())), Cue)
    assert not only(part(path, 1.0, 2.0), Cue)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_little_is_read_and_decoded_for_a_still(
    films: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    pictures = seeking.SeekableSource.decode_pictures

    def counted(
        source: seeking.SeekableSource, from_s: float | None, *, dense_from_s: float
    ) -> Any:
        for time_s, frame in pictures(source, from_s, dense_from_s=dense_from_s):
            times.append(time_s)
            yield time_s, frame

    monkeypatch.setattr(seeking.SeekableSource, "decode_pictures", counted)
    part(films[kind], 22.0)

    assert min(times) >= 22.0 - 60 / FPS - 0.1
    assert max(times) <= 22.1


@pytest.mark.parametrize("way", ["refused", "late", "lost"])
def test_a_file_that_cannot_be_entered_is_read_from_its_start(
    films: dict[str, Path], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = seeking.SeekableSource.decode_pictures

    def hindered(
        source: seeking.SeekableSource, from_s: float | None, *, dense_from_s: float
    ) -> Any:
        if from_s is not None and way == "refused":
            raise seeking.SeekError
        later = from_s if from_s is None or way != "late" else from_s + 20
        for time_s, frame in pictures(source, later, dense_from_s=dense_from_s):
            if from_s is not None and way == "lost":
                raise seeking.SeekError
            yield time_s, frame

    monkeypatch.setattr(seeking.SeekableSource, "decode_pictures", hindered)
    (picture,) = only(part(films["mp4"], 19.0), Picture)

    assert number_in(picture.pixels) == 19 * FPS


def test_what_is_neither_sound_nor_film_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))

    with pytest.raises((DecodeError, UnsupportedMedia)):
        part(path, 1.0)


def test_a_recording_has_no_still(tmp_path: Path) -> None:
    (described,) = part(recording(tmp_path / "a.flac", "flac"), 3.0)

    assert isinstance(described, Described)
    assert described.modality is Modality.AUDIO


def test_a_stretch_crosses_the_pipe(films: dict[str, Path]) -> None:
    options = LoadOptions(only=Span(17.0, 17.0), picture=FULL)
    with Decoder() as decoder:
        _, picture = decoder.load(films["mkv"], options)

    assert isinstance(picture, Picture)
    assert number_in(picture.pixels) == 17 * FPS


@pytest.mark.parametrize(
    "span", [(-1.0, 2.0), (3.0, 2.0), (0.0, float("inf")), (float("nan"), 1.0)]
)
def test_what_is_no_stretch_is_refused(span: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="stretch of time"):
        LoadOptions(only=Span(*span))


# pages of pictures


def test_a_page_of_an_image_is_had_by_itself(tmp_path: Path) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    pages = [Image.new("RGB", (8, 8), colour) for colour in colours]
    for name in ("a.tiff", "a.png"):
        path = tmp_path / name
        pages[0].save(path, save_all=True, append_images=pages[1:])
        for page in (1, 2, 3):
            (picture,) = only(list(load(path, LoadOptions(page=page))), Picture)
            assert picture.pixels[0, 0].tolist() == list(colours[page - 1])
        with pytest.raises(DecodeError, match="no page 4"):
            list(load(path, LoadOptions(page=4)))
    with pytest.raises(ValueError, match="from 1"):
        LoadOptions(page=0)


def test_pages_have_the_places_that_they_have_among_all(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    pages = [Image.new("RGB", (8, 8), (at, 0, 0)) for at in (10, 20, 30)]
    pages[0].save(path, save_all=True, append_images=pages[1:])

    for picture in only(list(load(path, LoadOptions())), Picture):
        options = LoadOptions(page=picture.place.page)
        (again,) = only(list(load(path, options)), Picture)
        assert again.place == picture.place
        assert np.array_equal(again.pixels, picture.pixels)


def test_one_way_leads_from_the_start() -> None:
    assert list(clip_reader._list_entry_points(1.0)) == [None]
    assert list(clip_reader._list_entry_points(10.0)) == [10.0, None]
    assert list(clip_reader._list_entry_points(60.0)) == [60.0, 45.0, None]
