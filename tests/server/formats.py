"""What the formats of the OpenAPI document stand for, for schemathesis.

JSON Schema cannot say what a query or a filter is: to a generator that knows only that they are
strings, most of what it makes is refused, and rightly.
"""

from __future__ import annotations

import io
import wave

import schemathesis
from hypothesis import strategies as st
from PIL import Image

from mmsearch.errors import QueryError
from mmsearch.query.algebra import TermKind, parse, split
from mmsearch.server.http.requests import MAX_TERMS

WORDS = ("harbour", "rain", "a", "Straße", "日本", '"two words"', "10:30", "it's")
MARKS = ("", "+", "2:", "+0.5:", "-")
CONDITIONS = (
    "kind = image",
    "size > 10MB and not camera ~ canon",
    "ext in (jpg, png)",
    "duration < 5m or width >= 1920",
    'folder ~ "a b"',
)


def is_query(line: str) -> bool:
    """Whether a line can be looked for."""
    try:
        terms = parse(split(line), reads_files=False).checked().terms
    except QueryError:
        return False
    return len(terms) <= MAX_TERMS and all(term.kind is TermKind.TEXT for term in terms)


def picture() -> bytes:
    """A small PNG."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(stream, "PNG")
    return stream.getvalue()


def sound() -> bytes:
    """A tenth of a second of noise as WAV."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(range(1, 201)) * 16)
    return stream.getvalue()


written = st.lists(
    st.tuples(st.sampled_from(MARKS), st.sampled_from(WORDS)).map("".join), min_size=1, max_size=6
).map(" ".join)
days = st.one_of(
    st.dates().map(str),
    st.sampled_from(("2024", "2024-05", "today", "yesterday", "7d", "3m", "2024-05-01T12:00")),
)
schemathesis.openapi.format(
    "mmsearch-query", st.one_of(written, st.text(min_size=1, max_size=200)).filter(is_query)
)
schemathesis.openapi.format("mmsearch-date", days)
schemathesis.openapi.format("mmsearch-where", st.sampled_from(CONDITIONS))
schemathesis.openapi.format(
    "mmsearch-ranking", st.sampled_from(("", "fusion=rrf", "words=off", "vectors=off"))
)
schemathesis.openapi.format("mmsearch-part", st.just("file"))
schemathesis.openapi.format("mmsearch-media", st.sampled_from((picture(), sound(), b"some words")))
