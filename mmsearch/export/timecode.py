"""Converts seconds to frames, timecodes and rational times."""

from __future__ import annotations

import re
from fractions import Fraction

from mmsearch.errors import ConfigError

PAL = Fraction(25)
LOWEST, HIGHEST = 1, 100
"""A timecode has two digits for frames."""
DAY_S = 24 * 3600
_NTSC = (24, 30, 48, 60)
_DECIMAL = re.compile(r"\d{1,3}(\.\d{1,6})?", re.ASCII)
_RATIO = re.compile(r"\d{1,6}/\d{1,6}", re.ASCII)


def parse_rate(rate_text: str) -> Fraction:
    """Parses frames a second: `25`, `29.97` (which is 30000/1001) or `30000/1001`.

    Raises ConfigError for anything else, and below 1 or above 100.
    """
    text = rate_text.strip()
    rate = Fraction(0)
    if _DECIMAL.fullmatch(text) or (_RATIO.fullmatch(text) and int(text.split("/")[1])):
        rate = _to_exact_rate(Fraction(text))
    if not LOWEST <= rate <= HIGHEST:
        raise ConfigError(
            f"{rate_text!r} is no frame rate: write one as 25, 29.97 or 30000/1001, from {LOWEST} "
            f"to {HIGHEST}"
        )
    return rate


def _to_exact_rate(rate: Fraction) -> Fraction:
    """Turns a rounded NTSC rate, as 23.976, into the exact 24000/1001 (SMPTE ST 12-1)."""
    if rate.denominator != 1:
        for nominal in _NTSC:
            exact = Fraction(nominal * 1000, 1001)
            if abs(rate - exact) < Fraction(1, 200):
                return exact
    return rate


def to_frame(seconds: float, rate: Fraction) -> int:
    """Returns the frame nearest to a time; never below 0."""
    return max(0, round(Fraction(seconds) * rate))


def format_timecode(frame: int, rate: Fraction) -> str:
    """Formats HH:MM:SS:FF without dropping numbers (SMPTE ST 12-1): 29.97 is counted as 30.

    Raises ValueError for a frame outside of 24 hours.
    """
    base = nominal_rate(rate)
    if not 0 <= frame < DAY_S * base:
        raise ValueError(f"frame {frame} has no timecode within 24 hours")
    seconds, frames = divmod(frame, base)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}:{frames:02d}"


def nominal_rate(rate: Fraction) -> int:
    """Returns the number of frames in a second of timecode, a whole number."""
    return -int(-rate // 1)


def format_rational(frame: int, rate: Fraction) -> str:
    """Formats the start of a frame in seconds as FCPXML writes them: `1001/30000s`, `2s`."""
    return f"{frame / rate}s"
