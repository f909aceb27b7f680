"""Names that files may have, and that programs stumble over."""

from __future__ import annotations

HOSTILE = (
    "two\nlines.mp4",
    "return\r.mp4",
    "quo\"te's.mp4",
    "-rf.mp4",
    "=cmd|' calc'!A1.mp4",
    "tab\there.mp4",
    "nel\u0085 ls\u2028.mp4",
    "\x1b]0;title\x07.mp4",
    "percent%20#?&.mp4",
    "naïve 日本 🎬.mp4",
    "\udcff\udcfe.mp4",  # bytes that are no UTF-8
    "a" * 251 + ".mp4",
    "..mp4",
    "]]>&lt;<x>.mp4",
)
