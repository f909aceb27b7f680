"""Leaves out the video frames that no other frame needs, except those that are shown for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mmsearch.media.av.shot_detection import is_held

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
        self._is_sparse = True
        self._tick_s = float(video.time_base or 0)
        self._waiting: deque[tuple[int | None, Packet[Stream]]] = deque()
        # Times of the packets that wait, and of as many before them.
        self._stamps: deque[int] = deque(maxlen=2 * _REORDERED_FRAMES)

    def push(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """Takes the next packet; yields the one that is ready, the context set for it."""
        stamp = packet.dts if packet.pts is None else packet.pts
        self._waiting.append((stamp, packet))
        if stamp is not None:
            self._stamps.append(stamp)
        if len(self._waiting) > _REORDERED_FRAMES:
            yield self._release()

    def finish(self) -> Iterator[Packet[Stream]]:
        """Yields the packets that are left."""
        while self._waiting:
            yield self._release()

    def _release(self) -> Packet[Stream]:
        stamp, packet = self._waiting.popleft()
        is_sparse = stamp is not None and not self._is_held(stamp)
        if is_sparse != self._is_sparse:
            self._is_sparse = is_sparse
            self._context.skip_frame = self._sparse if is_sparse else "DEFAULT"
        return packet

    def _is_held(self, stamp: int) -> bool:
        later = [each for each in self._stamps if each > stamp]
        return not later or is_held(stamp * self._tick_s, min(later) * self._tick_s)
