"""Every sound track is heard on the time line of the file, whatever its recorder did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.media.av.audio_resampling import SoundTrack
from mmsearch.media.av.matroska import is_whole
from mmsearch.media.av.sound_tracks import MAX_SOUND_TRACKS, has_same_sound
from mmsearch.media.av.timeline import Timeline
from mmsearch.media.base import AudioBlock, Described, Limits, LoadOptions
from mmsearch.media.codec import pack, unpack
from mmsearch.media.registry import load
from mmsearch.types import Omission, OmissionCause
from tests.unit.test_media_av import Film, only, read, shot_picture, write

RATE = 16_000


@dataclass(frozen=True)
class Recorded:
    """One sound track: (channels, n) float32, its pieces and when they begin."""

    wave: np.ndarray
    codec: str = "pcm_s16le"
    language: str = ""
    starts_s: Sequence[float] = (0.0,)


def make_wave(seed: int, length_s: float = 6.0) -> np.ndarray:
    """Syllables of noise, unlike those of another seed."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.uniform(0.02, 0.3, int(length_s * 5)), RATE // 5)
    return (loudness * rng.uniform(-1, 1, len(loudness))).astype(np.float32)


def write_tracks(path: Path, tracks: Sequence[Recorded], *, film_s: float = 0.0) -> Path:
    with av.open(str(path), "w") as container:
        if film_s:
            video = container.add_stream("libx264", rate=10)
            video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        streams = []
        for track in tracks:
            layout = "mono" if track.wave.ndim == 1 else "stereo"
            stream = container.add_stream(track.codec, rate=RATE, layout=layout)
            if track.language:
                stream.metadata["language"] = track.language
            streams.append(stream)
        for number in range(round(film_s * 10)):
            frame = av.VideoFrame.from_ndarray(shot_picture(0, (160, 96)), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        if film_s:
            container.mux(video.encode())
        # In turn, as recorders write them.
        writers = [
            write_track(container, stream, track)
            for stream, track in zip(streams, tracks, strict=True)
        ]
        while writers:
            writers = [writer for writer in writers if next(writer, None) is not None]
    return path


def write_track(container, stream, track):  # type: ignore[no-untyped-def]
    wave = np.atleast_2d(track.wave)
    for start_s in track.starts_s:
        for at in range(0, wave.shape[1], 1024):
            piece = np.ascontiguousarray(wave[:, at : at + 1024])
            layout = "mono" if len(wave) == 1 else "stereo"
            frame = av.AudioFrame.from_ndarray(piece, "fltp", layout)
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = at + round(start_s * RATE)
            container.mux(stream.encode(frame))
            yield True
    container.mux(stream.encode())


def join(blocks: list[AudioBlock], track: int | None = None) -> np.ndarray:
    parts = [block.samples for block in blocks if block.track == track]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


# Several tracks


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_every_track_is_heard_with_its_number_and_language(tmp_path: Path, suffix: str) -> None:
    codec = "aac" if suffix != ".mkv" else "pcm_s16le"
    language = "ger" if suffix == ".mov" else "deu"
    tracks = [Recorded(make_wave(1), codec, "eng"), Recorded(make_wave(2), codec, language)]
    blocks = only(read(write_tracks(tmp_path / f"a{suffix}", tracks, film_s=6.0)), AudioBlock)

    assert {(block.track, block.language) for block in blocks} == {(1, "eng"), (2, language)}
    for number, track in enumerate(tracks, start=1):
        heard = join(blocks, number)
        assert len(heard) == pytest.approx(6 * RATE, abs=RATE // 4)
        assert has_same_sound(heard[: 5 * RATE], track.wave[: 5 * RATE], RATE) or codec == "aac"


def test_a_lone_track_has_no_number(tmp_path: Path) -> None:
    (block,) = only(read(write_tracks(tmp_path / "a.mkv", [Recorded(make_wave(1))])), AudioBlock)
    assert (block.track, block.language) == (None, None)


@pytest.mark.parametrize("tag", ["und", "mul", "zxx"])
def test_an_undetermined_language_is_none(tmp_path: Path, tag: str) -> None:
    path = write_tracks(tmp_path / "a.mkv", [Recorded(make_wave(1), language=tag)])
    assert only(read(path), AudioBlock)[0].language is None


def test_a_copy_of_a_track_is_not_heard_again(tmp_path: Path) -> None:
    voice, music = make_wave(1, 70.0), make_wave(2, 70.0)
    stereo = np.stack([voice, voice]) * 0.7
    with_comment = voice.copy()
    with_comment[45 * RATE : 47 * RATE] += music[45 * RATE : 47 * RATE]
    tracks = [Recorded(voice), Recorded(stereo), Recorded(music), Recorded(with_comment)]
    blocks = only(read(write_tracks(tmp_path / "a.mkv", tracks)), AudioBlock)

    starts = {number: [b.start_s for b in blocks if b.track == number] for number in range(1, 5)}
    assert starts == {1: [0.0, 30.0, 60.0], 2: [], 3: [0.0, 30.0, 60.0], 4: [30.0]}


def test_tracks_beyond_the_bound_are_reported(tmp_path: Path) -> None:
    tracks = [Recorded(make_wave(seed, 1.0)) for seed in range(MAX_SOUND_TRACKS + 2)]
    contents = read(write_tracks(tmp_path / "a.mkv", tracks))

    heard = {block.track for block in only(contents, AudioBlock)}
    assert heard == set(range(1, MAX_SOUND_TRACKS + 1))
    assert [(each.cause, each.detail) for each in only(contents, Omission)] == [
        (OmissionCause.UNHEARD, f"sound track {MAX_SOUND_TRACKS + 1}"),
        (OmissionCause.UNHEARD, f"sound track {MAX_SOUND_TRACKS + 2}"),
    ]


def test_a_track_that_cannot_be_decoded_is_reported(tmp_path: Path) -> None:
    tracks = [Recorded(make_wave(1)), Recorded(make_wave(2), "flac")]
    path = write_tracks(tmp_path / "a.mkv", tracks)
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_FLAX"))
    contents = read(path)

    assert {block.track for block in only(contents, AudioBlock)} == {1}
    assert [each.detail for each in only(contents, Omission)] == ["sound track 2"]


def test_track_and_language_cross_the_pipe() -> None:
    for block in (
        AudioBlock(make_wave(1)[:10], 3.0, RATE, 2, "deu"),
        AudioBlock(make_wave(1)[:10], 3.0),
    ):
        header, body = pack(block)
        again = unpack(dict(header), bytes(body))
        assert isinstance(again, AudioBlock)
        assert (again.track, again.language) == (block.track, block.language)


@settings(deadline=None, max_examples=25)
@given(st.integers(-1500, 1500), st.floats(0.1, 3.0), st.booleans())
def test_a_shift_and_a_gain_change_no_sound(shift: int, gain: float, is_inverted: bool) -> None:
    wave = make_wave(5)
    moved = np.roll(wave, shift) * gain * (-1 if is_inverted else 1)
    lower, upper = 1600, len(wave) - 1600
    assert has_same_sound(wave[lower:upper], moved[lower:upper], RATE)
    assert not has_same_sound(wave, make_wave(6) * gain, RATE)


# Channels that cancel each other out


@pytest.mark.parametrize(("right", "codec"), [(-1.0, "flac"), (-0.8, "flac"), (-1.0, "aac")])
def test_a_channel_upside_down_is_heard(tmp_path: Path, right: float, codec: str) -> None:
    wave = make_wave(1)
    stereo = np.stack([wave, right * wave])
    blocks = only(read(write_tracks(tmp_path / "a.mkv", [Recorded(stereo, codec)])), AudioBlock)

    heard = join(blocks)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=0.2)


def test_a_channel_that_turns_over_in_the_middle_is_heard(tmp_path: Path) -> None:
    wave = make_wave(1)
    right = wave.copy()
    right[2 * RATE : 4 * RATE] *= -1
    path = write_tracks(tmp_path / "a.flac", [Recorded(np.stack([wave, right]), "flac")])
    heard = join(only(read(path), AudioBlock))

    seconds = np.sqrt(np.square(heard[: 6 * RATE]).reshape(12, -1).mean(axis=1))
    assert len(heard) == pytest.approx(6 * RATE, abs=400)
    assert seconds.min() > 0.5 * np.median(seconds)


def test_two_voices_in_two_channels_are_both_heard(tmp_path: Path) -> None:
    left, right = make_wave(1), make_wave(2)
    path = write_tracks(tmp_path / "a.flac", [Recorded(np.stack([left, right]), "flac")])
    heard = join(only(read(path), AudioBlock))

    for wave in (left, right):
        assert np.corrcoef(heard[: 5 * RATE], wave[: 5 * RATE])[0, 1] > 0.5


# Holes


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_hours_between_two_pieces_keep_their_length(tmp_path: Path, suffix: str) -> None:
    codec = "flac" if suffix == ".mkv" else "aac"
    track = Recorded(make_wave(1), codec, starts_s=(0.0, 700.0, 4_200.0, 12_000.0))
    contents = read(write_tracks(tmp_path / f"a{suffix}", [track]))
    blocks = only(contents, AudioBlock)

    assert [block.start_s for block in blocks] == pytest.approx([0, 700, 4200, 12_000], abs=0.1)
    assert sum(len(block.samples) for block in blocks) == pytest.approx(24 * RATE, abs=RATE)
    assert only(contents, Described)[-1].metadata.duration_s == pytest.approx(12_006, abs=1)


def test_pictures_and_sound_keep_the_same_hole(tmp_path: Path) -> None:
    track = Recorded(make_wave(1), "flac", starts_s=(0.0, 4_200.0))
    contents = read(write_tracks(tmp_path / "a.mkv", [track], film_s=2.0))
    assert [block.start_s for block in only(contents, AudioBlock)] == pytest.approx(
        [0, 4200], abs=0.1
    )


def test_a_jump_beyond_the_stated_end_is_a_fault() -> None:
    line = Timeline(0.0, stated_end_s=10_000.0)
    assert line.advance(0.0, 0.0) == 0.0
    assert line.advance(9_000.0, 1.0) == 9_000.0
    assert line.advance(90_000.0, 9_001.0) == 9_001.0


def test_a_short_hole_is_filled_and_a_flood_of_them_is_not() -> None:
    track = SoundTrack(block_s=30.0, origin_s=0.0, stated_end_s=1e9)
    blocks: list[AudioBlock] = []
    for number in range(600):
        frame = av.AudioFrame.from_ndarray(make_wave(1)[None, :1024], "fltp", "mono")
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = number * 50 * RATE
        blocks += track.feed(frame)
    blocks += track.finish()

    assert sum(len(block.samples) for block in blocks) / RATE < 7_300
    assert track.end_s == pytest.approx(599 * 50, abs=1)


# Durations


def test_the_end_of_a_cut_off_matroska_file_is_reported(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", [Recorded(make_wave(1, 20.0))])
    whole = path.read_bytes()
    with path.open("rb") as file:
        assert is_whole(file, len(whole))
    path.write_bytes(whole[: len(whole) // 2])
    contents = read(path)

    assert 5 < only(contents, Described)[-1].metadata.duration_s < 15
    (omission,) = only(contents, Omission)
    assert omission.cause is OmissionCause.DAMAGED
    assert omission.detail.startswith("after 0:")


def test_a_true_duration_stays_where_the_sound_ends_before(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_tracks(path, [Recorded(make_wave(1), "flac")])
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Duration, in milliseconds
    path.write_bytes(content[:at] + np.array(60_000.0, ">f8").tobytes() + content[at + 8 :])
    contents = read(path)

    assert only(contents, Described)[-1].metadata.duration_s == pytest.approx(60.0)
    assert not only(contents, Omission)


def test_the_limit_of_the_duration_is_reported(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.flac", [Recorded(make_wave(1, 20.0), "flac")])
    options = LoadOptions(limits=Limits(duration_s=5.0), audio_block_s=1.0)
    (omission,) = only(list(load(path, options)), Omission)

    assert (omission.cause, omission.name, omission.value) == (
        OmissionCause.LIMIT,
        "duration_s",
        5.0,
    )


@pytest.mark.parametrize(
    ("suffix", "codec", "b_frames"),
    [
        (".h264", "libx264", 3),
        (".h264", "libx264", 0),
        (".hevc", "libx265", 3),
        (".m4v", "mpeg4", 2),
        (".m2v", "mpeg2video", 2),
        (".ivf", "libvpx", 0),
    ],
)
def test_raw_video_counts_every_frame(
    tmp_path: Path, suffix: str, codec: str, b_frames: int
) -> None:
    path = tmp_path / f"a{suffix}"
    try:
        av.codec.Codec(codec, "w")
    except av.FFmpegError:
        pytest.skip(f"no {codec}")
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        if b_frames:
            video.codec_context.max_b_frames = b_frames
        for number in range(150):
            picture = np.roll(shot_picture(0, (160, 96)), number, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    metadata = only(read(path), Described)[-1].metadata

    assert metadata.duration_s == pytest.approx(6.0, abs=0.2)


def test_a_whole_film_has_no_omission(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".ts", ".avi"):
        assert not only(read(write(tmp_path / f"a{suffix}", Film(audio_s=6.0))), Omission)


def test_a_file_that_starts_late_is_as_long_as_its_sound(tmp_path: Path) -> None:
    track = Recorded(make_wave(1), "flac", starts_s=(3_723.0,))
    contents = read(write_tracks(tmp_path / "a.mkv", [track]))

    assert only(contents, AudioBlock)[0].start_s == 0.0
    assert [each.metadata.duration_s for each in only(contents, Described)] == pytest.approx([6.0])
