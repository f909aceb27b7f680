"""Contents on a pipe: a JSON header and raw arrays, so that nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from datetime import datetime
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.media.base import (
    AudioBlock,
    Content,
    Cue,
    Described,
    OcrPicture,
    Limits,
    LoadOptions,
    Passage,
    Picture,
    Reading,
)
from mmsearch.types import Box, Metadata, Modality, PictureFit, Place, Span

_LENGTHS = struct.Struct("<II")
MAX_HEADER = 16 * 1024**2
MAX_BODY = 1024**3


def write_message(
    stream: IO[bytes], header: dict[str, Any], body: bytes | memoryview = b""
) -> None:
    """One message: two lengths, the header as JSON, the body."""
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    stream.write(_LENGTHS.pack(len(text), len(body)))
    stream.write(text)
    if len(body):
        stream.write(body)
    stream.flush()


def read_message(read: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes] | None:
    """The next message; `read(n)` gives n bytes, or fewer at the end of the stream.

    None at the end of the stream; ValueError for what is no message.
    """
    lengths = read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header_size, body_size = _LENGTHS.unpack(lengths)
    if header_size > MAX_HEADER or body_size > MAX_BODY:
        raise ValueError(f"a message of {header_size} and {body_size} bytes")
    text, body = read(header_size), read(body_size)
    if len(text) < header_size or len(body) < body_size:
        return None
    header = json.loads(text)
    if not isinstance(header, dict):
        raise TypeError("a message is an object")
    return header, body


def pack(content: Content) -> tuple[dict[str, Any], bytes | memoryview]:
    """A content as header and body."""
    match content:
        case Described(modality, metadata):
            said = dataclasses.asdict(metadata)
            said["taken_at"] = None if metadata.taken_at is None else metadata.taken_at.isoformat()
            return {"is": "described", "modality": modality.value, "metadata": said}, b""
        case Picture(pixels, place, is_frame, legible):
            header = {
                "is": "picture",
                "shape": pixels.shape,
                "place": _pack_place(place),
                "is_frame": is_frame,
            }
            body = np.ascontiguousarray(pixels).data.cast("B")
            if legible is None:
                return header, body
            header["legible"] = legible.pixels.shape
            header["boxes"] = [dataclasses.astuple(box) for box in legible.boxes]
            return header, body.tobytes() + legible.pixels.tobytes()
        case AudioBlock(samples, start_s, rate_hz):
            return {"is": "audio", "start_s": start_s, "rate_hz": rate_hz}, _to_float_bytes(samples)
        case Cue(text, place):
            return {"is": "cue", "text": text, "place": _pack_place(place)}, b""
        case Passage(text, page, start_char):
            return {"is": "passage", "text": text, "page": page, "start_char": start_char}, b""
        case Reading(values, place, said_text, encoder):
            header = {
                "is": "reading",
                "shape": values.shape,
                "place": _pack_place(place),
                "text": said_text,
                "encoder": encoder,
            }
            return header, _to_float_bytes(values)


def _to_float_bytes(values: NDArray[np.float32]) -> bytes | memoryview:
    flat = np.ascontiguousarray(values, dtype=np.float32)
    # The bytes of an empty array cannot be cast.
    return flat.data.cast("B") if flat.size else b""


def unpack(header: dict[str, Any], body: bytes) -> Content:
    """The content of a message; KeyError, TypeError or ValueError when it is none."""
    match header["is"]:
        case "described":
            said = dict(header["metadata"])
            if said["taken_at"] is not None:
                said["taken_at"] = datetime.fromisoformat(said["taken_at"])
            return Described(Modality(header["modality"]), Metadata(**said))
        case "picture":
            height, width, channels = header["shape"]
            size = height * width * channels
            bytes_ = np.frombuffer(body, dtype=np.uint8)
            pixels = bytes_[:size].reshape(height, width, channels)
            legible = None
            if "legible" in header:
                large = bytes_[size:].reshape([int(side) for side in header["legible"]])
                boxes = (Box(*(float(edge) for edge in edges)) for edges in header["boxes"])
                legible = OcrPicture(large, tuple(boxes))
            place = _unpack_place(header["place"])
            return Picture(pixels, place, bool(header["is_frame"]), legible)
        case "audio":
            samples = np.frombuffer(body, dtype=np.float32)
            return AudioBlock(samples, float(header["start_s"]), int(header["rate_hz"]))
        case "cue":
            return Cue(str(header["text"]), _unpack_place(header["place"]))
        case "passage":
            return Passage(str(header["text"]), header["page"], int(header["start_char"]))
        case "reading":
            shape = [int(side) for side in header["shape"]]
            values = np.frombuffer(body, dtype=np.float32).reshape(shape)
            words = None if header["text"] is None else str(header["text"])
            return Reading(values, _unpack_place(header["place"]), words, str(header["encoder"]))
        case other:
            raise ValueError(f"unknown content {other!r}")


def _pack_place(place: Place) -> dict[str, Any]:
    return dataclasses.asdict(place)


def _unpack_place(packed: dict[str, Any]) -> Place:
    chars = packed["chars"]
    return Place(
        span=_unpack_span(packed["span"]),
        page=packed["page"],
        chars=None if chars is None else (int(chars[0]), int(chars[1])),
    )


def _unpack_span(packed: dict[str, Any] | None) -> Span | None:
    return None if packed is None else Span(float(packed["start_s"]), float(packed["end_s"]))


def pack_options(options: LoadOptions) -> dict[str, Any]:
    """Options as JSON."""
    return dataclasses.asdict(options)


def unpack_options(packed: dict[str, Any]) -> LoadOptions:
    """Options from JSON."""
    return LoadOptions(
        **{
            **packed,
            "limits": Limits(**packed["limits"]),
            "picture": PictureFit(**packed["picture"]),
            "sample_rates_hz": tuple(packed["sample_rates_hz"]),
            "only": _unpack_span(packed["only"]),
        }
    )
