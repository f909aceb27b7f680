"""The pipe protocol of decoder processes: JSON headers and raw arrays, nothing unpickled."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, astuple
from datetime import datetime
from typing import IO, Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mmsearch.media.base import (
    AudioBlock,
    Content,
    Cue,
    CueRole,
    Described,
    Limits,
    LoadOptions,
    OcrPicture,
    Passage,
    Picture,
    Reading,
)
from mmsearch.types import (
    Box,
    Metadata,
    Modality,
    Omission,
    OmissionCause,
    PictureFit,
    Place,
    Span,
)

_Header: TypeAlias = dict[str, Any]
_LENGTHS = struct.Struct("<II")
MAX_HEADER = 16 * 1024**2
MAX_BODY = 1024**3


def write_message(stream: IO[bytes], header: _Header, body: bytes | memoryview = b"") -> None:
    """Writes a message: two lengths, the header as JSON, the body."""
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    stream.write(_LENGTHS.pack(len(text), len(body)))
    stream.write(text)
    if len(body):
        stream.write(body)
    stream.flush()


def read_message(read: Callable[[int], bytes]) -> tuple[_Header, bytes] | None:
    """Reads a message with `read(n)`, which returns n bytes, or fewer at the end of the stream.

    Returns None at the end of the stream; raises ValueError for an invalid message.
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


def pack(content: Content) -> tuple[_Header, bytes | memoryview]:
    """Returns the header and body of a content."""
    match content:
        case Described(modality, metadata):
            fields = asdict(metadata)
            fields["taken_at"] = metadata.taken_at and metadata.taken_at.isoformat()
            return {"is": "described", "modality": modality.value, "metadata": fields}, b""
        case Picture(pixels, place, is_frame, ocr_picture):
            header: _Header = {"is": "picture", "shape": pixels.shape, "place": asdict(place)}
            header["is_frame"] = is_frame
            body = np.ascontiguousarray(pixels).data.cast("B")
            if ocr_picture is None:
                return header, body
            header["legible"] = ocr_picture.pixels.shape
            header["boxes"] = [astuple(box) for box in ocr_picture.boxes]
            return header, body.tobytes() + ocr_picture.pixels.tobytes()
        case AudioBlock(samples, start_s, rate_hz, track, language):
            header = {"is": "audio", "start_s": start_s, "rate_hz": rate_hz}
            return header | {"track": track, "language": language}, _to_bytes(samples)
        case Cue(text, place, language, role):
            header = {"is": "cue", "text": text, "place": asdict(place)}
            return header | {"language": language, "role": role}, b""
        case Passage(text, page, start_char):
            return {"is": "passage", "text": text, "page": page, "start_char": start_char}, b""
        case Reading(values, place, reading_text, encoder):
            header = {"is": "reading", "shape": values.shape, "place": asdict(place)}
            return header | {"text": reading_text, "encoder": encoder}, _to_bytes(values)
        case Omission():
            return {"is": "omission", "omission": asdict(content)}, b""


def _to_bytes(values: NDArray[np.float32]) -> bytes | memoryview:
    flat = np.ascontiguousarray(values, dtype=np.float32)
    # The bytes of an empty array cannot be cast.
    return flat.data.cast("B") if flat.size else b""


def unpack(header: _Header, body: bytes) -> Content:
    """Returns the content of a message; KeyError, TypeError or ValueError if it is invalid."""
    match header["is"]:
        case "described":
            fields = dict(header["metadata"])
            if fields["taken_at"] is not None:
                fields["taken_at"] = datetime.fromisoformat(fields["taken_at"])
            fields["keywords"] = tuple(fields["keywords"])
            return Described(Modality(header["modality"]), Metadata(**fields))
        case "picture":
            height, width, channels = header["shape"]
            size = height * width * channels
            values = np.frombuffer(body, dtype=np.uint8)
            pixels = values[:size].reshape(height, width, channels)
            ocr_picture = None
            if "legible" in header:
                large = values[size:].reshape([int(side) for side in header["legible"]])
                boxes = (Box(*(float(edge) for edge in edges)) for edges in header["boxes"])
                ocr_picture = OcrPicture(large, tuple(boxes))
            place = _unpack_place(header["place"])
            return Picture(pixels, place, bool(header["is_frame"]), ocr_picture)
        case "audio":
            samples = np.frombuffer(body, dtype=np.float32)
            track, language = header["track"], header["language"]
            return AudioBlock(
                samples,
                float(header["start_s"]),
                int(header["rate_hz"]),
                None if track is None else int(track),
                None if language is None else str(language),
            )
        case "cue":
            role = header["role"]
            if role not in get_args(CueRole):
                raise ValueError(f"unknown role of a cue: {role!r}")
            language = None if header["language"] is None else str(header["language"])
            return Cue(str(header["text"]), _unpack_place(header["place"]), language, role)
        case "passage":
            return Passage(str(header["text"]), header["page"], int(header["start_char"]))
        case "reading":
            shape = [int(side) for side in header["shape"]]
            readings = np.frombuffer(body, dtype=np.float32).reshape(shape)
            text = None if header["text"] is None else str(header["text"])
            return Reading(readings, _unpack_place(header["place"]), text, str(header["encoder"]))
        case "omission":
            packed = header["omission"]
            return Omission(**{**packed, "cause": OmissionCause(packed["cause"])})
        case other:
            raise ValueError(f"unknown content {other!r}")


def _unpack_place(packed: dict[str, Any]) -> Place:
    chars = packed["chars"]
    return Place(
        span=_unpack_span(packed["span"]),
        page=packed["page"],
        chars=None if chars is None else (int(chars[0]), int(chars[1])),
        track=packed["track"],
    )


def _unpack_span(packed: dict[str, Any] | None) -> Span | None:
    return None if packed is None else Span(float(packed["start_s"]), float(packed["end_s"]))


def pack_options(options: LoadOptions) -> dict[str, Any]:
    """Returns options as JSON values."""
    return asdict(options)


def unpack_options(packed: dict[str, Any]) -> LoadOptions:
    """Returns the options of JSON values."""
    return LoadOptions(
        **{
            **packed,
            "limits": Limits(**packed["limits"]),
            "picture": PictureFit(**packed["picture"]),
            "sample_rates_hz": tuple(packed["sample_rates_hz"]),
            "only": _unpack_span(packed["only"]),
        }
    )
