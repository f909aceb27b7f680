"""How a ranking is made, for those who want to compare ways of making it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from mmsearch.errors import QueryError

CALIBRATED, RRF = "calibrated", "rrf"
_SWITCH = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Ranking:
    """Settings of one search.

    `fusion` joins what the spaces say: "calibrated" scores, or "rrf", reciprocal ranks, which know
    no cut-off. `vectors` and `words` say whether meaning, and exact words, are looked for.
    `dedupe` shows near-duplicates under the best of them; without `group` every moment is a hit of
    its own.
    """

    fusion: str = CALIBRATED
    vectors: bool = True
    words: bool = True
    dedupe: bool = True
    group: bool = True

    @classmethod
    def parse(cls, written: str) -> Ranking:
        """`fusion=rrf,words=off`; raises QueryError, which lists what there is."""
        found = cls()
        known = [one.name for one in fields(cls)]
        for part in filter(None, (one.strip() for one in written.split(","))):
            name, equals, value = (one.strip() for one in part.partition("="))
            if not equals or name not in known:
                listed = ", ".join(known)
                raise QueryError(f"{part!r} is no setting: write NAME=VALUE, one of {listed}")
            if name == "fusion":
                found = replace(found, fusion=value)
            elif value in _SWITCH:
                found = replace(found, **{name: _SWITCH[value]})  # type: ignore[arg-type]
            else:
                raise QueryError(f"{part!r}: {name} is on or off")
        return found.checked()

    def checked(self) -> Ranking:
        """Itself; raises QueryError where that is no way to make a ranking."""
        if self.fusion not in (CALIBRATED, RRF):
            raise QueryError(f"there is no fusion {self.fusion!r}: it is {CALIBRATED} or {RRF}")
        if not (self.vectors or self.words):
            raise QueryError("without vectors and without words there is nothing to look for")
        return self


USUAL = Ranking()


@dataclass(frozen=True, slots=True)
class Cutoff:
    """What is a match: there is one where the best hit reaches `first`.

    Then hits down to `rest` are shown too: beside a hit that is sure, one that is less so helps.
    """

    first: float
    rest: float


NO_CUTOFF = Cutoff(first=0.0, rest=0.0)
USUAL_CUTOFF = Cutoff(first=0.3, rest=0.075)
"""Of 100 captions of photographs 95 have a hit, of 100 queries that nothing answers 50 to 60 have
none; the photograph itself is among the hits of 95 captions."""
BY_EXAMPLE = Cutoff(first=0.1, rest=0.1)
"""What is like a file is asked for to see the nearest, whether or not they are very near."""


def cutoff(min_score: float | None, *, is_by_words: bool) -> Cutoff:
    """What was asked for, which holds for every hit, or the usual."""
    if min_score is not None:
        return Cutoff(min_score, min_score)
    return USUAL_CUTOFF if is_by_words else BY_EXAMPLE
