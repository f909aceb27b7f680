"""The settings of vector indexes that a user can choose."""

from __future__ import annotations

from dataclasses import dataclass

from mmsearch.errors import ConfigError
from mmsearch.index.recipes import IndexKind

AUTO = "auto"
EXACT = "exact"
LANCE = "lance"
DEFAULT_RECALL = 0.98


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """The kind of a vector index, its memory, its recall and its device.

    `kind` is auto, exact, lance or one of `IndexKind`; `memory_bytes` the limit for all indexes of
    a library, None for half of the machine's free memory; `recall` the share of the ten true
    neighbours that must be found; `device` where FAISS searches: auto, cpu, cuda or cuda:N.
    """

    kind: str = AUTO
    memory_bytes: int | None = None
    recall: float = DEFAULT_RECALL
    device: str = "cpu"

    def validate(self) -> IndexConfig:
        """Returns itself; raises ConfigError for an unknown kind or an impossible recall."""
        kinds = (AUTO, EXACT, LANCE, *IndexKind)
        if self.kind not in kinds:
            raise ConfigError(f"there is no index {self.kind!r}: it can be {', '.join(kinds)}")
        if not 0.0 < self.recall <= 1.0:
            raise ConfigError(f"the recall of an index lies between 0 and 1, not at {self.recall}")
        return self


DEFAULT_INDEX_CONFIG = IndexConfig()
