"""Opens audio and video containers with FFmpeg, which may open no other file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from mmsearch.errors import DecodeError, MediaTooLarge, UnsupportedMedia
from mmsearch.media.base import Limits, describe_pixel_excess
from mmsearch.media.pictures.exif import format_camera
from mmsearch.media.strings import clean, split_words
from mmsearch.types import Metadata

if TYPE_CHECKING:
    from av import AudioStream, VideoStream
    from av.container import InputContainer
    from av.stream import Stream

READ_BYTES = 1 << 18
# More threads hold more frames in memory than they save time.
_MAX_THREADS = 4
_S = TypeVar("_S", bound="Stream")

# Formats that open further files or run scripts, devices, and formats without sound or video.
_REFUSED = frozenset(
    split_words("""
    hls dash concat concatf sdp rtsp rtp sap imf webm_dash_manifest tedcaptions avs
    vapoursynth avisynth lavfi image2 image2pipe alias_pix brender_pix ffmetadata data bin
    adf idf xbin tty mpjpeg smoothstreaming segment gif apng ico ani svg avif alsa oss fbdev
    x11grab kmsgrab v4l2 video4linux2 pulse jack android_camera avfoundation dshow gdigrab
    vfwcap openal sndio iec61883 dv1394 decklink libdc1394 rcwt srt ass webvtt microdvd
    subviewer subviewer1 sami realtext jacosub lrc mpl2 mpsub pjs stl vplayer aqtitle scc
    sup vobsub ttml mcc libopenmpt libgme libmodplug
    """)
)
# Their length is written when the recording ends, and their time stamps are those of the player.
_STATING_FORMATS = frozenset({"matroska", "mov"})
_STILL_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff", "ljpeg"})
_ISO6709 = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")
# Speech codecs go down to 700 bits a second; a header that claims less is wrong.
_MIN_BITS_PER_S = 200
_MAX_FLAWED_DURATION_S = 366 * 24 * 3600.0


def open_container(path: Path, file: BinaryIO, limits: Limits) -> InputContainer:
    """Opens a container that reads from `file` only; raises DecodeError.

    FFmpeg follows names in a file, as in playlists, to other files and to the network. So it gets
    no file name, no protocol, and only self-contained formats.
    """
    import av

    def refuse(url: str, flags: int, options: object) -> object:
        raise OSError(f"the file refers to another one: {url}")

    max_pixels = {"max_pixels": str(limits.pixels)}
    container_options = {
        "format_whitelist": _list_safe_formats(),
        "protocol_whitelist": "none",
        "max_streams": "200",
    }
    try:
        return av.open(
            file,
            "r",
            options=max_pixels,
            container_options=container_options | max_pixels,
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            io_open=refuse,
        )
    except (av.FFmpegError, OSError, ValueError) as exc:
        reason = describe_failure(exc)
        raise DecodeError(path, f"not sound or video that can be read: {reason}") from exc


def describe_failure(exc: BaseException | None) -> str:
    """Returns FFmpeg's message without numbers and names; "no frames" without an error."""
    if exc is None:
        return "no frames"
    return clean(getattr(exc, "strerror", None) or str(exc)) or type(exc).__name__


@cache
def _list_safe_formats() -> str:
    import av

    names = {name for names in av.formats_available for name in names.split(",")} - _REFUSED
    return ",".join(sorted(name for name in names if not name.endswith("_pipe")))


@dataclass(frozen=True, slots=True)
class Tracks:
    """The streams of a container that are decoded; `sounds` are all of sound, `audio` first."""

    video: VideoStream | None
    audio: AudioStream | None
    sounds: tuple[AudioStream, ...] = ()


def choose_tracks(path: Path, container: InputContainer, limits: Limits) -> Tracks:
    """Chooses the first real video stream and the default sound.

    Cover art is no video, whether declared or a single picture beside sound. Raises MediaTooLarge
    for huge frames, UnsupportedMedia without any such stream.
    """
    import av

    covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    sounds = [s for s in container.streams.audio if _has_decoder(s)]
    audio = _prefer_default(sounds)
    video = _prefer_default(
        [
            s
            for s in container.streams.video
            if _has_decoder(s)
            and not s.disposition & covers
            and not (audio is not None and _is_still(s))
        ]
    )
    if video is None and audio is None:
        raise UnsupportedMedia(path, "neither sound nor pictures that can be decoded")
    if video is not None:
        size = video.codec_context.width, video.codec_context.height
        if size[0] * size[1] > limits.pixels:
            raise MediaTooLarge(path, describe_pixel_excess(*size, limits), needs="pixels")
    sounds.sort(key=lambda stream: stream is not audio)
    return Tracks(video, audio, tuple(sounds))


def _prefer_default(streams: list[_S]) -> _S | None:
    import av

    marked = [s for s in streams if s.disposition & av.stream.Disposition.default]
    return next(iter(marked or streams), None)


def _has_decoder(stream: Stream) -> bool:
    return getattr(stream, "codec_context", None) is not None


def _is_still(stream: VideoStream) -> bool:
    is_picture = stream.codec_context.name in _STILL_CODECS
    return is_picture and (stream.frames == 1 or not stream.average_rate)


def select_streams(container: InputContainer, streams: Sequence[Stream]) -> None:
    """Discards the packets of all other streams, and video frames that no other frame needs.

    Such frames are half of most films: leaving them out halves the time.
    """
    import av

    for stream in container.streams:
        is_selected = stream in streams
        stream.discard = av.stream.Discard.default if is_selected else av.stream.Discard.all
        if is_selected and stream.type == "video":
            context = cast("VideoStream", stream).codec_context
            context.skip_frame = "NONREF"
            if not context.is_open:
                context.thread_type = av.codec.context.ThreadType.AUTO
                context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)


def get_pixel_aspect(stream: VideoStream | None) -> float:
    """Returns the width of a pixel over its height; 1 if the stream states nothing sensible."""
    ratio = stream and stream.sample_aspect_ratio
    aspect = float(ratio) if ratio else 1.0
    return aspect if 0.2 <= aspect <= 5 else 1.0


def get_origin_s(container: InputContainer) -> float:
    """Returns the first time stamp of the file in seconds; broadcasts begin anywhere."""
    return (container.start_time or 0) / 1_000_000


def get_length_s(container: InputContainer) -> float:
    """Returns the length in seconds by the headers, or by FFmpeg's estimate; 0 if unknown."""
    duration, start = container.duration or 0, container.start_time or 0
    if "matroska" in container.format.name and 0 < start < duration:
        duration -= start  # FFmpeg writes the last time stamp there
    length_s = duration / 1_000_000
    return length_s if 0 < length_s <= _MAX_FLAWED_DURATION_S else 0.0


def get_stated_length_s(container: InputContainer) -> float:
    """Returns the length in seconds that a header states; 0 where FFmpeg estimates it."""
    is_stated = container.format.name.split(",")[0] in _STATING_FORMATS
    return get_length_s(container) if is_stated else 0.0


def read_container_metadata(container: InputContainer, tracks: Tracks, size_bytes: int) -> Metadata:
    """Returns the plausible metadata of the headers."""
    tags: dict[str, str] = {}
    for source in (tracks.audio, tracks.video, container):
        if source is not None:
            tags.update({key.lower(): value for key, value in source.metadata.items()})
    latitude, longitude = _parse_position(tags)
    video = tracks.video
    language = tracks.audio.metadata.get("language") if tracks.audio is not None else None
    return Metadata(
        format=container.format.name.split(",")[0],
        width_px=video.codec_context.width or None if video is not None else None,
        height_px=video.codec_context.height or None if video is not None else None,
        duration_s=_read_duration_s(container, size_bytes),
        taken_at=_parse_taken_at(tags),
        latitude=latitude,
        longitude=longitude,
        camera=format_camera(
            _find_tag(tags, "com.apple.quicktime.make", "com.android.manufacturer", "make"),
            _find_tag(tags, "com.apple.quicktime.model", "com.android.model", "model"),
        ),
        artist=clean(_find_tag(tags, "artist", "album_artist", "composer", "author")),
        title=clean(_find_tag(tags, "title", "com.apple.quicktime.title")),
        album=clean(_find_tag(tags, "album")),
        language=clean(language, max_chars=20) if language not in ("und", "unk") else None,
        description=clean(
            _find_tag(tags, "description", "comment", "synopsis", "com.apple.quicktime.description")
        ),
    )


def _find_tag(tags: Mapping[str, str], *names: str) -> str | None:
    return next((tags[name] for name in names if tags.get(name, "").strip()), None)


def _read_duration_s(container: InputContainer, size_bytes: int) -> float | None:
    if stated_s := get_stated_length_s(container):
        return stated_s
    length_s = get_length_s(container)
    return length_s if length_s and size_bytes * 8 / length_s >= _MIN_BITS_PER_S else None


def _parse_taken_at(tags: Mapping[str, str]) -> datetime | None:
    for name in ("com.apple.quicktime.creationdate", "creation_time", "date_recorded"):
        text = clean(tags.get(name))
        if text is None:
            continue
        try:
            moment = datetime.fromisoformat(text)
            year = moment.year if moment.tzinfo is None else moment.astimezone(UTC).year
        except (ValueError, OverflowError):
            continue
        # Containers count from 1904 or 1970: the time of a clock that was never set.
        if year not in (1903, 1904, 1969, 1970) and year > 1850:
            return moment
    return None


def _parse_position(tags: Mapping[str, str]) -> tuple[float | None, float | None]:
    text = _find_tag(tags, "com.apple.quicktime.location.iso6709", "location", "location-eng")
    match = _ISO6709.match(text.strip()) if text is not None else None
    if match is None:
        return None, None
    latitude, longitude = float(match[1]), float(match[2])
    if abs(latitude) > 90 or abs(longitude) > 180 or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude
