"""How a user wants vectors to be searched."""

from __future__ import annotations

from dataclasses import dataclass

from mmsearch.errors import ConfigError
from mmsearch.index.recipes import Kind

AUTO = "auto"
EXACT = "exact"
LANCE = "lance"
WANTED_RECALL = 0.98


@dataclass(frozen=True, slots=True)
class Wish:
    """How a user wants to be answered.

    `kind` is auto, exact, lance or one of the kinds of `mmsearch.index.recipes`; `memory_bytes`
    what all indexes of a library may take, None for half of what the machine has free;
    `recall` the share of the ten true neighbours that must be found; `device` where FAISS may
    search: auto, cpu, cuda or cuda:N.
    """

    kind: str = AUTO
    memory_bytes: int | None = None
    recall: float = WANTED_RECALL
    device: str = "cpu"

    def checked(self) -> Wish:
        """Itself; raises ConfigError for what there is not."""
        kinds = (AUTO, EXACT, LANCE, *Kind)
        if self.kind not in kinds:
            raise ConfigError(f"there is no index {self.kind!r}: it can be {', '.join(kinds)}")
        if not 0.0 < self.recall <= 1.0:
            raise ConfigError(f"the recall of an index lies between 0 and 1, not at {self.recall}")
        return self


AS_SIZE_ASKS = Wish()
