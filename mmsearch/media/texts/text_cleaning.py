"""Cleans the text of documents: no invisible characters, composed letters, no encoded data."""

from __future__ import annotations

import re

from mmsearch.media.strings import compose, remove_invisible
from mmsearch.media.texts.encoded_data import drop_encoded_data

_RUN_REST = re.compile(r"[A-Za-z0-9+/=_-]*")


class TextCleaner:
    """Cleans the parts of one text, which are given in order."""

    def __init__(self) -> None:
        self._is_in_data = False

    def clean(self, part: str) -> str:
        """Returns the part as it is shown and searched: every word whole, no base64."""
        if self._is_in_data:
            part = _RUN_REST.sub("", part, count=1)
            if not part:
                return part
        text = drop_encoded_data(part)
        self._is_in_data = text is not part and text.endswith(" ") and not part[-1].isspace()
        return compose(remove_invisible(text))
