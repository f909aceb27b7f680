"""Settings of a ranking, and its cut-off."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from mmsearch.errors import QueryError

CALIBRATED, RRF = "calibrated", "rrf"
_SWITCH = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Ranking:
    """The way to make one ranking.

    `fusion` joins the scores of the spaces: "calibrated" scores, or "rrf", reciprocal ranks, which
    know no cut-off. `vectors` looks for meaning, `words` for exact words. `dedupe` shows
    near-duplicates under the best of them; without `group` every moment is a hit of its own.
    """

    fusion: str = CALIBRATED
    vectors: bool = True
    words: bool = True
    dedupe: bool = True
    group: bool = True

    @classmethod
    def parse(cls, written: str) -> Ranking:
        """Reads `fusion=rrf,words=off`; raises QueryError, which lists the settings."""
        ranking = cls()
        names = [field.name for field in fields(cls)]
        for part in filter(None, (part.strip() for part in written.split(","))):
            name, equals, value = (side.strip() for side in part.partition("="))
            if not equals or name not in names:
                listed = ", ".join(names)
                raise QueryError(f"{part!r} is no setting: write NAME=VALUE, one of {listed}")
            if name == "fusion":
                ranking = replace(ranking, fusion=value)
            elif value in _SWITCH:
                ranking = replace(ranking, **{name: _SWITCH[value]})  # type: ignore[arg-type]
            else:
                raise QueryError(f"{part!r}: {name} is on or off")
        return ranking.checked()

    def __str__(self) -> str:
        """The settings as `parse` reads them."""
        off = [field.name for field in fields(self) if getattr(self, field.name) is False]
        return ",".join([f"fusion={self.fusion}", *(f"{name}=off" for name in off)])

    def checked(self) -> Ranking:
        """Returns itself; raises QueryError for an unknown fusion, or with nothing to look for."""
        if self.fusion not in (CALIBRATED, RRF):
            raise QueryError(f"there is no fusion {self.fusion!r}: it is {CALIBRATED} or {RRF}")
        if not (self.vectors or self.words):
            raise QueryError("without vectors and without words there is nothing to look for")
        return self


DEFAULT_RANKING = Ranking()


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The scores that make a match: there is one where the best hit reaches `first`.

    Then hits down to `rest` are shown too: beside a hit that is sure, one that is less so helps.
    """

    first: float
    rest: float


NO_CUTOFF = Cutoff(first=0.0, rest=0.0)
DEFAULT_CUTOFF = Cutoff(first=0.3, rest=0.075)
"""Of 100 captions of photographs 95 have a hit, of 100 queries that nothing answers 50 to 60 have
none; the photograph itself is among the hits of 95 captions."""
EXAMPLE_CUTOFF = Cutoff(first=0.1, rest=0.1)
"""A query by example is asked to see the nearest files, whether or not they are very near."""


def choose_cutoff(min_score: float | None, *, is_by_words: bool) -> Cutoff:
    """Returns the cut-off of a request: `min_score` for every hit, else the default of its kind."""
    if min_score is not None:
        return Cutoff(min_score, min_score)
    return DEFAULT_CUTOFF if is_by_words else EXAMPLE_CUTOFF
