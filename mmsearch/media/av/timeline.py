"""Maps the time stamps of a stream to seconds that only go forward."""

from __future__ import annotations

import math

# A longer jump is a fault of the stamps, not an hour of nothing.
MAX_JUMP_S = 3600.0
# Stamps of old containers wobble by a fraction of a second; a longer step back is a new start.
_MAX_STEP_BACK_S = 5.0


class Timeline:
    """Maps stamps to seconds from the start of the file.

    Stamps may be missing, negative, run backwards or restart in the middle, as in joined
    recordings: from there on they are shifted to follow the piece before. A jump up to
    `stated_end_s`, the end of the file by a header that is not estimated, is no fault.
    """

    def __init__(self, origin_s: float, *, stated_end_s: float = 0.0) -> None:
        self._shift_s = -origin_s
        self._stated_end_s = stated_end_s
        self._is_first = True

    def advance(
        self, stamp_s: float | None, expected_s: float, earliest_s: float | None = None
    ) -> float:
        """Returns the time of a stamp, at least `earliest_s`, by default `expected_s`.

        `expected_s` is the end of the last piece, and the time where the stamp says nothing.
        """
        earliest_s = expected_s if earliest_s is None else earliest_s
        if stamp_s is None or not math.isfinite(stamp_s):
            return expected_s
        time_s = stamp_s + self._shift_s
        if self._is_first:
            self._is_first = False
            if not 0 <= time_s <= max(MAX_JUMP_S, self._stated_end_s):
                self._shift_s -= time_s
                return expected_s
            return max(time_s, earliest_s)
        latest_s = max(expected_s + MAX_JUMP_S, self._stated_end_s)
        if time_s > latest_s or time_s < earliest_s - _MAX_STEP_BACK_S:
            self._shift_s += expected_s - time_s
            return expected_s
        return max(time_s, earliest_s)
