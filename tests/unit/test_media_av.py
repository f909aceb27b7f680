"""Sound and video come as blocks, pictures of shots and cues, on the time line of the file."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mmsearch.errors import DecodeError, MediaTooLarge, UnsupportedMedia
from mmsearch.media.av.audio_resampling import SoundTrack
from mmsearch.media.av.container import open_container
from mmsearch.media.av.shot_detection import ShotDetector, ShotUpdate
from mmsearch.media.av.timeline import Timeline
from mmsearch.media.base import (
    AudioBlock,
    Content,
    Cue,
    Described,
    Limits,
    LoadOptions,
    Picture,
)
from mmsearch.media.registry import load
from mmsearch.types import Modality, PictureFit, Span

RATE = 16_000


@dataclass(frozen=True)
class Film:
    """What to encode: seconds of each shot, and what lies beside the pictures."""

    shots: Sequence[float] = (2.0, 3.0, 1.5)
    fps: int = 25
    size: tuple[int, int] = (160, 96)
    rotation: int | None = None
    aspect: Fraction | None = None
    start_s: float = 0.0
    audio_s: float | None = None
    cues: Sequence[tuple[float, float, str]] = ()


# The encoders of subtitles do not open without one.
ASS_HEADER = b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\n[Events]\n"


def shot_picture(at: int, size: tuple[int, int]) -> np.ndarray:
    """Noise of big squares, different for each shot, with a red corner at the top left."""
    rng = np.random.default_rng(at)
    tiles = rng.integers(0, 255, (6, 10, 3), dtype=np.uint8)
    picture = np.kron(tiles, np.ones((size[1] // 6, size[0] // 10, 1), dtype=np.uint8))
    picture[: size[1] // 3, : size[0] // 4] = (255, 0, 0)
    return picture


def write(path: Path, film: Film, *, metadata: dict[str, str] | None = None) -> Path:
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        video = container.add_stream("libx264", rate=film.fps)
        video.width, video.height = film.size
        video.pix_fmt = "yuv420p"
        if film.rotation is not None:
            video.set_display_rotation(film.rotation)
        if film.aspect is not None:
            video.codec_context.sample_aspect_ratio = film.aspect
        sound = container.add_stream("aac", rate=48_000) if film.audio_s else None
        kind = "mov_text" if path.suffix == ".mp4" else "subrip"
        words = container.add_stream(kind) if film.cues else None
        if words is not None:
            words.codec_context.subtitle_header = ASS_HEADER
        count = round(film.start_s * film.fps)
        for at, length_s in enumerate(film.shots):
            picture = shot_picture(at, film.size)
            for _ in range(round(length_s * film.fps)):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = count, Fraction(1, film.fps)
                count += 1
                container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None and film.audio_s:
            for frame in tone(film.audio_s, 48_000, 2):
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
        if words is not None:
            mux_cues(container, words, film.cues)
    return path


def mux_cues(container: Any, stream: Any, cues: Sequence[tuple[float, float, str]]) -> None:
    for start_s, end_s, text in cues:
        content = text.encode()
        if stream.codec_context.name == "mov_text":
            content = len(content).to_bytes(2, "big") + content
        packet = av.Packet(content)
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = round(start_s * 1000)
        packet.duration = round((end_s - start_s) * 1000)
        container.mux(packet)


def tone(length_s: float, rate: int, channels: int, *, start_s: float = 0.0) -> list[av.AudioFrame]:
    times = np.arange(round(length_s * rate)) / rate
    wave = (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    frames = []
    for at in range(0, len(wave), 1024):
        piece = np.repeat(wave[None, at : at + 1024], channels, 0)
        layout = "mono" if channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), "fltp", layout)
        frame.sample_rate = rate
        frame.pts, frame.time_base = at + round(start_s * rate), Fraction(1, rate)
        frames.append(frame)
    return frames


def write_sound(path: Path, codec: str, length_s: float, rate: int, channels: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=rate, layout="mono" if channels == 1 else "stereo"
        )
        for frame in tone(length_s, rate, channels):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path, options: LoadOptions | None = None) -> list[Content]:
    contents = list(load(path, options or LoadOptions()))
    assert isinstance(contents[0], Described)
    return contents


def only(contents: list[Content], kind: type) -> list[Any]:
    return [content for content in contents if isinstance(content, kind)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov", ".avi"])
def test_each_shot_gives_one_picture_with_its_span(tmp_path: Path, suffix: str) -> None:
    contents = read(write(tmp_path / f"a{suffix}", Film(audio_s=6.5)))
    described = contents[0]
    assert isinstance(described, Described)
    assert described.modality is Modality.VIDEO
    assert described.metadata.duration_s == pytest.approx(6.5, abs=0.2)
    pictures = only(contents, Picture)
    spans = [picture.place.span for picture in pictures]
    assert [span.start_s for span in spans] == pytest.approx([0, 2, 5], abs=0.2)
    assert [span.end_s for span in spans] == pytest.approx([2, 5, 6.5], abs=0.2)
    for at, picture in enumerate(pictures):
        assert picture.is_frame
        assert picture.pixels.shape == (96, 160, 3)
        expected = shot_picture(at, (160, 96)).astype(int)
        assert np.abs(picture.pixels.astype(int) - expected).mean() < 20


def test_a_long_shot_is_cut_at_the_ceiling(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", Film(shots=(7.0,), fps=10))
    options = LoadOptions(frame_ceiling_s=3.0)
    spans = [picture.place.span for picture in only(read(path, options), Picture)]
    assert len(spans) == 3
    assert all(span.end_s - span.start_s <= 3.3 for span in spans)
    assert all(a.end_s == b.start_s for a, b in pairwise(spans))


def test_fast_cuts_are_bounded_by_the_floor(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", Film(shots=(0.4,) * 12))
    spans = [picture.place.span for picture in only(read(path), Picture)]
    assert 3 <= len(spans) <= 5
    assert all(span.end_s - span.start_s >= 1.0 - 1e-6 for span in spans[:-1])


SLIDES_S = (0.0, 7.3, 31.42, 33.9, 71.1)
REDRAWN_S = (7.0, 31.3, 33.8, 71.0)


def write_slides(path: Path, codec: str, options: dict[str, str], *, sound_s: float = 0.0) -> None:
    """A screen recording: frames come where something moves, and a slide just before a rest."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=1000, options=options)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16_000, layout="mono") if sound_s else None
        # The slide before is drawn again, then the next one comes within the same quarter second.
        times = [*SLIDES_S, *(at - step / 20 for at in REDRAWN_S for step in range(10))]
        for time_s in sorted(times):
            slide = max(i for i, at in enumerate(SLIDES_S) if at <= time_s + 1e-6)
            frame = av.VideoFrame.from_ndarray(shot_picture(slide, (160, 96)), "rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            for piece in tone(sound_s, 16_000, 1):
                container.mux(sound.encode(piece))
            container.mux(sound.encode())


@pytest.mark.parametrize("sound_s", [0.0, 90.0])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "0"}),
        ("a.mp4", "libx264", {"bf": "3", "b-pyramid": "none", "b-adapt": "0"}),
        ("a.mkv", "libx264", {"bf": "3", "b-pyramid": "none", "b-adapt": "0"}),
        ("a.mkv", "libx265", {"x265-params": "bframes=4:log-level=0"}),
        ("a.mp4", "mpeg4", {"bf": "2"}),
        ("a.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
def test_a_slide_that_is_drawn_once_is_seen_when_it_comes(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], sound_s: float
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"no encoder {codec}")
    if sound_s and name.endswith("webm"):
        pytest.skip("no AAC in WebM")
    path = tmp_path / name
    write_slides(path, codec, options, sound_s=sound_s)

    pictures = only(read(path), Picture)

    for slide, at_s in enumerate(SLIDES_S):
        expected = shot_picture(slide, (160, 96)).astype(int)
        errors = [np.abs(each.pixels.astype(int) - expected).mean() for each in pictures]
        like = [each for each, error in zip(pictures, errors, strict=True) if error < 20]
        assert like, f"slide {slide} is not seen"
        assert like[0].place.span.start_s == pytest.approx(at_s, abs=1.0)
    assert len(pictures) <= 2 * len(SLIDES_S)


def test_a_slide_that_differs_little_is_seen_where_it_is_held(tmp_path: Path) -> None:
    detector = ShotDetector(floor_s=1.0, ceiling_s=10.0)
    first = np.full((36, 64, 3), 230, dtype=np.uint8)
    second = first.copy()
    second[4:8, 8:40] = 190
    detector.feed(0.0, first)
    assert not detector.hold().is_best
    assert detector.feed(5.0, second) == ShotUpdate(None, is_best=False)
    assert detector.hold() == ShotUpdate(Span(0.0, 5.0), is_best=True)
    pointer = second.copy()
    pointer[20:22, 30:32] = 0
    detector.feed(50.0, pointer)
    assert detector.hold() == ShotUpdate(None, is_best=False)
    assert detector.finish(80.0) == Span(5.0, 80.0)


def test_a_single_frame_is_a_video_with_one_picture(tmp_path: Path) -> None:
    contents = read(write(tmp_path / "a.mp4", Film(shots=(0.04,))))
    assert len(only(contents, Picture)) == 1


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_rotation_is_undone(tmp_path: Path, rotation: int) -> None:
    contents = read(write(tmp_path / "a.mp4", Film(shots=(1.0,), rotation=rotation)))
    picture = only(contents, Picture)[0].pixels
    upright = np.rot90(shot_picture(0, (160, 96)), rotation // 90)
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright.astype(int)).mean() < 20
    metadata = only(contents, Described)[0].metadata
    assert (metadata.height_px, metadata.width_px) == upright.shape[:2]


def test_pixels_become_square(tmp_path: Path) -> None:
    contents = read(write(tmp_path / "a.mp4", Film(shots=(1.0,), aspect=Fraction(2, 1))))
    assert only(contents, Picture)[0].pixels.shape == (48, 160, 3)


def test_frames_are_shrunk_to_the_long_side(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", Film(shots=(1.0,), size=(640, 360)))
    assert only(read(path, LoadOptions(picture=PictureFit("within", 320, "lanczos"))), Picture)[
        0
    ].pixels.shape == (180, 320, 3)


def test_too_large_frames_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", Film(shots=(0.2,)))
    with pytest.raises(MediaTooLarge, match="160x96"):
        read(path, LoadOptions(limits=Limits(pixels=1000)))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels"),
    [
        ("a.wav", "pcm_s16le", 8_000, 1),
        ("a.wav", "pcm_f32le", 44_100, 2),
        ("a.flac", "flac", 44_100, 2),
        ("a.mp3", "libmp3lame", 44_100, 2),
        ("a.ogg", "libopus", 48_000, 2),
        ("a.opus", "libopus", 48_000, 1),
        ("a.m4a", "aac", 16_000, 1),
    ],
)
def test_sound_becomes_blocks_of_mono_16_khz(
    tmp_path: Path, name: str, codec: str, rate: int, channels: int
) -> None:
    path = write_sound(tmp_path / name, codec, 5.0, rate, channels)
    contents = read(path, LoadOptions(audio_block_s=2.0))
    described = contents[0]
    assert isinstance(described, Described)
    assert described.modality is Modality.AUDIO
    assert described.metadata.duration_s == pytest.approx(5.0, abs=0.15)
    blocks = only(contents, AudioBlock)
    assert [len(block.samples) for block in blocks[:2]] == [32_000, 32_000]
    assert sum(len(block.samples) for block in blocks) == pytest.approx(80_000, abs=2000)
    assert [block.start_s for block in blocks] == pytest.approx([0, 2, 4], abs=0.1)
    samples = np.concatenate([block.samples for block in blocks])
    assert samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.1)
    peak = np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples)
    assert peak == pytest.approx(440, abs=1)


def test_cover_art_makes_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Song", "artist": "Band", "album": "Record"})
        sound = container.add_stream("libmp3lame", rate=44_100)
        cover = container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(cover.encode())
        for frame in tone(1.0, 44_100, 2):
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    contents = read(path)
    described = contents[0]
    assert isinstance(described, Described)
    assert described.modality is Modality.AUDIO
    assert not only(contents, Picture)
    metadata = described.metadata
    assert (metadata.title, metadata.artist, metadata.album) == ("Song", "Band", "Record")


def test_metadata_of_a_film(tmp_path: Path) -> None:
    tags = {
        "title": "Walk",
        "creation_time": "2021-06-01T10:00:00.000000Z",
        "location": "+48.8584+002.2945/",
    }
    contents = read(write(tmp_path / "a.mp4", Film(shots=(0.5,)), metadata=tags))
    metadata = only(contents, Described)[0].metadata
    assert metadata.title == "Walk"
    assert metadata.taken_at == datetime(2021, 6, 1, 10, tzinfo=UTC)
    assert (metadata.latitude, metadata.longitude) == pytest.approx((48.8584, 2.2945))
    assert metadata.format == "mov"


CUES = ((0.5, 1.5, "<i>Hello</i> there"), (2.0, 3.0, "Bye"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_embedded_subtitles_come_before_the_sound(tmp_path: Path, suffix: str) -> None:
    contents = read(write(tmp_path / f"a{suffix}", Film(shots=(4.0,), audio_s=4.0, cues=CUES)))
    cues = only(contents, Cue)
    assert [cue.text for cue in cues] == ["Hello there", "Bye"]
    assert cues[0].place.span == Span(0.5, 1.5)
    kinds = [type(content) for content in contents]
    assert kinds.index(AudioBlock) > max(at for at, kind in enumerate(kinds) if kind is Cue)


@pytest.mark.parametrize("name", ["a.srt", "a.en.srt", "a.de.vtt"])
def test_files_beside_and_tracks_inside_are_both_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.mkv", Film(shots=(4.0,), cues=CUES))
    mark, comma = ("WEBVTT\n\n", ".") if name.endswith(".vtt") else ("1\n", ",")
    (tmp_path / name).write_text(f"{mark}00:00:01{comma}000 --> 00:00:02{comma}000\nFrom beside\n")
    texts = [cue.text for cue in only(read(path), Cue)]
    assert texts == ["Hello there", "From beside", "Bye"]


def test_a_broken_file_beside_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", Film(shots=(4.0,), cues=CUES))
    (tmp_path / "a.srt").write_bytes(b"\xff\xfe\0\0nothing")
    assert [cue.text for cue in only(read(path), Cue)] == ["Hello there", "Bye"]


def test_a_late_video_keeps_its_offset(tmp_path: Path) -> None:
    contents = read(write(tmp_path / "a.ts", Film(shots=(2.0,), start_s=3.0, audio_s=5.0)))
    assert only(contents, Picture)[0].place.span.start_s == pytest.approx(3.0, abs=0.1)
    assert only(contents, AudioBlock)[0].start_s == pytest.approx(0.0, abs=0.05)


def test_a_cut_off_file_keeps_what_was_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", Film(shots=(2.0,) * 4, size=(320, 192), audio_s=8.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    contents = read(path)
    assert only(contents, Picture)
    assert only(contents, AudioBlock)
    assert 1 < only(contents, Described)[-1].metadata.duration_s < 7


def test_damage_in_the_middle_is_survived(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mp3", "libmp3lame", 10.0, 44_100, 2)
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : third + 4000] = np.random.default_rng(0).bytes(4000)
    path.write_bytes(content)
    samples = sum(len(block.samples) for block in only(read(path), AudioBlock))
    assert samples > 8 * RATE


def test_a_lying_duration_is_corrected_at_the_end(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", "pcm_s16le", 2.0, 16_000, 1)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    assert only(read(path), Described)[-1].metadata.duration_s == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("content", [b"\0\0\0\x18ftypisom" + bytes(5000), b"ID3\x04" + bytes(500)])
def test_nothing_to_decode_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises((DecodeError, UnsupportedMedia)):
        read(tmp_path / "a.bin")


def test_a_playlist_cannot_open_other_files(tmp_path: Path) -> None:
    film = write(tmp_path / "a.ts", Film(shots=(0.5,)))
    listing = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{film}\n#EXT-X-ENDLIST\n"
    path = tmp_path / "a.m3u8"
    path.write_text(listing)
    with path.open("rb") as file, pytest.raises(DecodeError):
        open_container(path, file, Limits())
    script = tmp_path / "a.ffconcat"
    script.write_text(f"ffconcat version 1.0\nfile '{film.name}'\n")
    with script.open("rb") as file, pytest.raises(DecodeError):
        open_container(script, file, Limits())


def test_the_duration_of_a_file_is_bounded(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", "pcm_s16le", 20.0, 16_000, 1)
    contents = read(path, LoadOptions(limits=Limits(duration_s=5.0), audio_block_s=1.0))
    assert sum(len(block.samples) for block in only(contents, AudioBlock)) < 7 * RATE


def feed(track: SoundTrack, frames: list[av.AudioFrame]) -> list[AudioBlock]:
    return [block for frame in frames for block in track.feed(frame)]


def test_gaps_in_the_sound_are_filled_with_silence() -> None:
    track = SoundTrack(block_s=1.0, origin_s=0.0)
    blocks = feed(track, tone(2.0, RATE, 1, start_s=1.0))
    blocks += feed(track, tone(1.0, RATE, 1, start_s=5.0))
    blocks += list(track.finish())
    assert blocks[0].start_s == pytest.approx(1.0)
    assert track.end_s == pytest.approx(6.0, abs=0.01)
    assert [block.start_s for block in blocks] == pytest.approx(np.arange(1, 6), abs=0.01)
    loud = [bool(np.abs(block.samples).mean() > 0.1) for block in blocks]
    assert loud == [True, True, False, False, True]


def test_sound_survives_a_change_of_layout() -> None:
    track = SoundTrack(block_s=10.0, origin_s=0.0)
    blocks = feed(track, tone(1.0, 44_100, 2))
    blocks += feed(track, tone(1.0, 22_050, 1, start_s=1.0))
    blocks += list(track.finish())
    assert sum(len(block.samples) for block in blocks) == pytest.approx(2 * RATE, abs=100)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_u8", "pcm_f32le"])
def test_many_channels_without_a_name_are_averaged(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.wav"
    (frame,) = tone(0.064, RATE, 1)
    wave = frame.to_ndarray()[0]
    values = {"pcm_s16le": wave * 32767, "pcm_u8": wave * 127 + 128, "pcm_f32le": wave}[codec]
    kind = {"pcm_s16le": "<i2", "pcm_u8": "u1", "pcm_f32le": "<f4"}[codec]
    data = np.repeat(values[:, None], 18, 1).astype(kind).tobytes()
    width = np.dtype(kind).itemsize
    form = 3 if codec == "pcm_f32le" else 1
    header = struct.pack("<HHIIHH", form, 18, RATE, RATE * 18 * width, 18 * width, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(data))
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + len(data)) + body + data)
    (block,) = only(read(path), AudioBlock)
    assert np.abs(block.samples - wave).max() < 0.02


def test_planar_sound_of_many_channels_does_no_harm() -> None:
    track = SoundTrack(block_s=1.0, origin_s=0.0)
    frame = av.AudioFrame(format="fltp", layout="18 channels", samples=1024)
    frame.sample_rate = RATE
    for plane in frame.planes[:8]:
        plane.update(bytes(plane.buffer_size))
    list(track.feed(frame))
    assert [len(block.samples) for block in track.finish()] == [1024]


def test_time_never_runs_backwards() -> None:
    line = Timeline(origin_s=10.0)
    assert line.advance(10.0, 0.0) == 0.0
    assert line.advance(None, 1.0) == 1.0
    assert line.advance(12.0, 1.5) == 2.0
    assert line.advance(0.0, 2.5) == 2.5
    assert line.advance(1.0, 3.0) == 3.5
    assert line.advance(math.nan, 4.0) == 4.0
    assert line.advance(1e12, 5.0) == 5.0


def test_a_shot_keeps_a_picture_that_shows_something() -> None:
    detector = ShotDetector(floor_s=1.0, ceiling_s=10.0)
    black = np.zeros((36, 64, 3), dtype=np.uint8)
    shown = np.random.default_rng(0).integers(0, 40, (36, 64, 3), dtype=np.uint8)
    kept = [detector.feed(at * 0.25, black if at < 2 else shown).is_best for at in range(8)]
    assert kept[2]
    assert not any(kept[3:])
