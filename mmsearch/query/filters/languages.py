"""Compares language tags: `de`, `de-AT` and the `ger` of a container are German."""

from __future__ import annotations

from mmsearch.languages import shorten_code


def is_within(tag: str, language_range: str) -> bool:
    """Tests if a tag is in a language range: `de-AT` is within `de`, and `deu` equals `de`.

    The basic filtering of RFC 4647, section 3.3.1, over codes of ISO 639.
    """
    parts, range_parts = _split_tag(tag), _split_tag(language_range)
    return parts[: len(range_parts)] == range_parts


def _split_tag(tag: str) -> list[str]:
    first, *rest = tag.lower().replace("_", "-").split("-")
    return [shorten_code(first), *rest]
