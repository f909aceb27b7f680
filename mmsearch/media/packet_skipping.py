"""Leaves out the video frames that no other frame needs, except those that are shown for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from mmsearch.media.shot_detection import is_held

if TYPE_CHECKING:
    from av import Packet, VideoStream
    from av.stream import Stream

# A packet lies no farther from its neighbour in display order: encoders reorder up to 16 frames.
_REORDERED_FRAMES = 16


def skip_packets(
    packets: Iterable[Packet[Stream]], video: VideoStream | None
) -> Iterator[Packet[Stream]]:
    """Yields the packets, those of `video` a little later than others.

    While the codec context leaves out frames that no other frame needs, it is told before each
    packet to decode frames that are held, or whose time is unknown: at a variable frame rate such a
    frame may be a slide.
    """
    if video is None or video.codec_context.skip_frame == "DEFAULT":
        yield from packets
        return
    window = _PacketWindow(video)
    for packet in packets:
        if packet.stream is not video:
            yield packet
        elif packet.size:
            yield from window.push(packet)
        else:  # the end: it flushes the decoder
            yield from window.finish()
            yield packet
    yield from window.finish()


class _PacketWindow:
    """Holds video packets back until the next ones in display order are known."""

    def __init__(self, video: VideoStream) -> None:
        self._context = video.codec_context
        self._sparse = video.codec_context.skip_frame
        self._waiting: deque[Packet[Stream]] = deque()
        self._passed_s: deque[float] = deque(maxlen=_REORDERED_FRAMES)

    def push(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """Takes the next packet; yields the one that is ready, the context set for it."""
        self._waiting.append(packet)
        if len(self._waiting) > _REORDERED_FRAMES:
            yield self._release()

    def finish(self) -> Iterator[Packet[Stream]]:
        """Yields the packets that are left."""
        while self._waiting:
            yield self._release()

    def _release(self) -> Packet[Stream]:
        packet = self._waiting.popleft()
        time_s = _get_time_s(packet)
        if time_s is None:
            is_needed = True
        else:
            times = chain(self._passed_s, map(_get_time_s, self._waiting))
            later = [each for each in times if each is not None and each > time_s]
            is_needed = not later or is_held(time_s, min(later))
            self._passed_s.append(time_s)
        self._context.skip_frame = "DEFAULT" if is_needed else self._sparse
        return packet


def _get_time_s(packet: Packet[Stream]) -> float | None:
    stamp = packet.dts if packet.pts is None else packet.pts
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)
