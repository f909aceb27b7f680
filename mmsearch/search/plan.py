"""The search plan: a request bound to a snapshot, with its filters and query vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsearch.query.algebra import TermKind
from mmsearch.query.ranking import NO_CUTOFF, RRF, Cutoff, choose_cutoff
from mmsearch.search.filter_mask import FilterMask, build_filter_mask

if TYPE_CHECKING:
    from mmsearch.index.base import RowMask
    from mmsearch.models.calibration import Calibration
    from mmsearch.query.request import SearchRequest
    from mmsearch.search.query_vectors import WeightedQueryVector
    from mmsearch.snapshot.snapshot import Snapshot
    from mmsearch.types import Provenance


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A checked request bound to a snapshot.

    `calibrations` are by source and space, `provenance` are the models of the spaces by name.
    `texts` are the words of text terms by the number of their term, empty where the ranking looks
    for no exact words. `allowed` are the assets that may be hits, by asset row; None where all may:
    indexes are asked for everything then, not for a list of it. `vectors` are empty until the query
    is encoded, and where the ranking takes none.
    """

    snapshot: Snapshot
    request: SearchRequest
    calibrations: Mapping[str, Calibration]
    provenance: Mapping[str, Provenance]
    weights: tuple[float, ...]
    texts: Mapping[int, str]
    filter_mask: FilterMask | None
    allowed: RowMask | None
    vectors: tuple[WeightedQueryVector, ...] = ()

    @classmethod
    def create(
        cls, snapshot: Snapshot, request: SearchRequest, calibrations: Mapping[str, Calibration]
    ) -> SearchPlan:
        """Applies the filters of a checked request to a snapshot; its query is not encoded yet."""
        terms = request.query.terms
        filter_mask = build_filter_mask(snapshot, request)
        is_open = filter_mask is None or filter_mask.assets.all()
        return cls(
            snapshot,
            request,
            calibrations,
            {space.name: space.provenance for space in snapshot.reader.manifest.spaces},
            tuple(term.weight for term in terms),
            {
                number: term.value
                for number, term in enumerate(terms)
                if term.kind is TermKind.TEXT and request.ranking.words
            },
            filter_mask,
            None if filter_mask is None or is_open else filter_mask.assets,
        )

    @property
    def has_avoided(self) -> bool:
        """True if a term is to be avoided."""
        return any(weight < 0 for weight in self.weights)

    @property
    def sought_texts(self) -> dict[int, str]:
        """The words that are looked for, by the number of their term."""
        return {number: text for number, text in self.texts.items() if self.weights[number] > 0}

    @property
    def avoided_texts(self) -> list[tuple[str, float]]:
        """The words that are to be avoided, with the size of their weight."""
        return [
            (text, -self.weights[number])
            for number, text in self.texts.items()
            if self.weights[number] < 0
        ]

    @property
    def avoided_vectors(self) -> list[WeightedQueryVector]:
        """The query vectors that are to be avoided."""
        return [vector for vector in self.vectors if vector.weight < 0]

    @property
    def is_by_rank(self) -> bool:
        """True if ranks are fused instead of scores."""
        return self.request.ranking.fusion == RRF

    @property
    def cutoff(self) -> Cutoff:
        """The scores that hits must reach; a rank says nothing of how near something is."""
        if self.is_by_rank:
            return NO_CUTOFF
        return choose_cutoff(self.request.min_score, is_by_words=bool(self.request.query.words))
