"""Formats the numbers and dates of spreadsheets as they are shown, by their format codes.

Format codes: ECMA-376 part 1, 18.8.30 and 18.8.31.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

# What stands for a number by itself. Dates that follow the language of a computer are ISO dates.
_SHORT_DATE = "yyyy-mm-dd"
BUILT_IN_FORMATS = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    14: _SHORT_DATE,
    15: "d-mmm-yy",
    16: "d-mmm",
    17: "mmm-yy",
    18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM",
    20: "h:mm",
    21: "h:mm:ss",
    22: f"{_SHORT_DATE} h:mm",
    **dict.fromkeys((*range(27, 32), *range(50, 59), 36), _SHORT_DATE),
    **dict.fromkeys((37, 38), "#,##0"),
    **dict.fromkeys((39, 40), "#,##0.00"),
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
    48: "##0.0E+0",
}
_MAX_CODE_CHARS = 255
_TOKEN = re.compile(
    r"""
    (?P<quoted>"[^"]*"?|\\.|\[\$[^\]]*\]) | (?P<space>_.|\*.) | (?P<elapsed>\[(?:h+|m+|s+)\])
    | (?P<ignored>\[[^\]]*\]) | (?P<half>AM/PM|A/P) | (?P<general>General) | (?P<exponent>E[+-]0+)
    | (?P<date>y+|m+|d+|h+|s+(?:\.0+)?|b+|e+) | (?P<digits>[0\#?][0\#?,]*(?:\.[0\#?]*)?|\.[0\#?]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_EPOCHS = {False: datetime(1899, 12, 30, tzinfo=UTC), True: datetime(1904, 1, 1, tzinfo=UTC)}
_MAX_DAYS = 2_958_465  # the end of the year 9999
_HALF_DAY_H = 12

_TIMES = frozenset({"date", "elapsed"})

_Token = tuple[str, str]


def format_number(value: float, code: str, *, is_1904: bool = False) -> str:
    """Returns a number as it is shown with a format code; `is_1904` is the epoch of dates."""
    section, is_negated = _choose_section(value, code[:_MAX_CODE_CHARS])
    tokens = _split_tokens(section)
    kinds = {kind for kind, _ in tokens}
    if kinds & _TIMES and 0 <= value <= _MAX_DAYS:
        return _format_date(value, tokens, is_1904)
    if "digits" not in kinds or "/" in section:
        # Words, such as "yes" for 1, or a fraction, which is shown as a decimal.
        words = "".join(text for kind, text in tokens if kind == "quoted")
        general = _format_general(-value if is_negated else value)
        shown = [general if kind == "general" else text for kind, text in tokens]
        return "".join(shown).strip() if words and "digits" not in kinds else general
    return _format_digits(-value if is_negated else value, tokens)


def _format_general(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.10g}"


def _choose_section(value: float, code: str) -> tuple[str, bool]:
    """Returns the section for the sign of a value; and True if the section shows the sign."""
    sections = _split_sections(code)
    if value < 0 and len(sections) > 1:
        return sections[1], True
    if value == 0 and len(sections) > 2:
        return sections[2], False
    return sections[0], False


@lru_cache(maxsize=1024)
def _split_sections(code: str) -> tuple[str, ...]:
    sections = [""]
    for match in _TOKEN.finditer(code):
        if match["other"] == ";":
            sections.append("")
        else:
            sections[-1] += match[0]
    return tuple(sections)


@lru_cache(maxsize=1024)
def _split_tokens(section: str) -> tuple[_Token, ...]:
    tokens = []
    for match in _TOKEN.finditer(section):
        kind, text = match.lastgroup or "other", match[0]
        if kind == "quoted":
            text = text[2:-1].partition("-")[0] if text[0] == "[" else text.strip('"\\')
        if kind not in ("ignored", "space"):
            tokens.append((kind, text))
    return tuple(tokens)


def _format_digits(value: float, tokens: tuple[_Token, ...]) -> str:
    patterns = [text for kind, text in tokens if kind == "digits"]
    whole, _, places = patterns[0].partition(".")
    value *= 100 ** sum(text == "%" for _, text in tokens)
    value /= 1000 ** (len(whole) - len(whole.rstrip(",")))
    if any(kind == "exponent" for kind, _ in tokens):
        mantissa, _, exponent = f"{value:.{len(places)}e}".partition("e")
        shown = f"{mantissa}E{int(exponent):+03d}"
    elif len(patterns) > 1:
        return _fill_pattern(value, tokens)
    else:
        digits = f"{abs(value):{',' if ',' in whole.rstrip(',') else ''}.{len(places)}f}"
        optional = len(places) - len(places.rstrip("#?"))
        kept = digits[: len(digits) - optional] + digits[len(digits) - optional :].rstrip("0")
        at_least = whole.count("0")
        sign = "-" if value < 0 and kept.strip("0.,") else ""
        front, dot, rest = (kept if optional else digits).partition(".")
        shown = sign + front.zfill(at_least) + (dot + rest if rest else "")
    parts = [shown if kind == "digits" else text for kind, text in tokens if kind != "exponent"]
    return "".join(parts).strip()


def _fill_pattern(value: float, tokens: tuple[_Token, ...]) -> str:
    """Fills the digits of a number into a pattern such as 000-00-0000, from the right."""
    digits = str(abs(round(value)))
    parts: list[str] = []
    patterns = [text for kind, text in tokens if kind == "digits"]
    first = patterns[0]
    for kind, text in reversed(tokens):
        if kind != "digits":
            parts.append(text)
            continue
        size = len(text)
        part, digits = digits[-size:], digits[:-size]
        if text is first and digits:
            part, digits = digits + part, ""
        parts.append(part.rjust(text.count("0"), "0"))
    return ("-" if value < 0 else "") + "".join(reversed(parts)).strip()


def _format_date(value: float, tokens: tuple[_Token, ...], is_1904: bool) -> str:
    has_fraction = any(kind == "date" and "." in text for kind, text in tokens)
    seconds = round(value * 86400, 3 if has_fraction else 0)
    # The first two months of 1900 are one day late, as 1900 counts as a leap year.
    days = 1 if not is_1904 and 1 <= value < 60 else 0
    try:
        moment = _EPOCHS[is_1904] + timedelta(days=days, seconds=seconds)
    except OverflowError:
        return _format_general(value)
    has_half = any(kind == "half" for kind, _ in tokens)
    shown: list[str] = []
    times = [text.strip("[")[0].lower() if kind in _TIMES else "" for kind, text in tokens]
    for at, (kind, text) in enumerate(tokens):
        if kind == "elapsed":
            unit_s = {"h": 3600, "m": 60, "s": 1}[times[at]]
            shown.append(str(int(seconds // unit_s)).zfill(len(text) - 2))
        elif kind == "half":
            shown.append("AM" if moment.hour < _HALF_DAY_H else "PM")
        elif kind == "date":
            before = next((mark for mark in reversed(times[:at]) if mark), "")
            after = next((mark for mark in times[at + 1 :] if mark), "")
            is_minute = times[at] == "m" and (before == "h" or after == "s")
            shown.append(_format_date_part(moment, text.lower(), is_minute, has_half))
        elif text != "@":
            shown.append(text)
    return "".join(shown).strip()


def _format_date_part(moment: datetime, text: str, is_minute: bool, has_half: bool) -> str:
    mark, size = text[0], len(text)
    if mark in "ybe":
        return f"{moment:%Y}" if size > 2 or mark == "e" else f"{moment:%y}"
    if mark == "d" and size > 2:
        return f"{moment:%A}" if size > 3 else f"{moment:%a}"
    if mark == "m" and not is_minute and size > 2:
        name = f"{moment:%B}"
        return name if size == 4 else name[: 1 if size == 5 else 3]
    if mark == "s":
        whole, _, places = text.partition(".")
        fraction = f".{moment.microsecond:06d}"[: len(places) + 1] if places else ""
        return str(moment.second).zfill(min(len(whole), 2)) + fraction
    hour = (moment.hour - 1) % _HALF_DAY_H + 1 if has_half else moment.hour
    number = {"d": moment.day, "m": moment.minute if is_minute else moment.month, "h": hour}[mark]
    return str(number).zfill(min(size, 2))
