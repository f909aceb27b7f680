"""The tags of segments that labels gave, beside those that an encoder gave while it indexed.

Both are in the column `tags`, the encoder's first. Which of them came from labels stands in a
column of its own, which a library gets when it is tagged first; where it is null there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmsearch.errors import StoreError
from mmsearch.store.schema import SEGMENTS, SEGMENTS_SCHEMA
from mmsearch.types import Tag

if TYPE_CHECKING:
    from collections.abc import Collection

    from mmsearch.store.reader import Reader

LABELS = "labels"
LABELS_FIELD = pa.field(LABELS, pa.list_(pa.string()))
TAGS_SCHEMA = pa.schema(
    [SEGMENTS_SCHEMA.field("segment_id"), SEGMENTS_SCHEMA.field("tags"), LABELS_FIELD]
)
"""What of a segment is written when it is tagged."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tags of a segment: `made` by its encoder, `given` by labels."""

    segment_id: str
    made: tuple[Tag, ...]
    given: tuple[Tag, ...]

    def relabelled(self, labels: Collection[str], found: Iterable[Tag]) -> Tagged:
        """With other results for these labels (case-folded); those of other labels stay.

        A name that the encoder gave stays as the encoder gave it.
        """
        made = {tag.name.casefold() for tag in self.made}
        others = [tag for tag in self.given if tag.name.casefold() not in labels]
        new = [tag for tag in found if tag.name.casefold() not in made]
        given = sorted([*others, *new], key=lambda tag: (-tag.probability, tag.name))
        return Tagged(self.segment_id, self.made, tuple(given))


def tagged(reader: Reader, rows: Sequence[int]) -> list[Tagged]:
    """The tags of the segments in these rows, in their order; raises StoreError."""
    if not rows:
        return []
    dataset = reader.dataset(SEGMENTS)
    columns = [name for name in TAGS_SCHEMA.names if name in dataset.schema.names]
    try:
        found = dataset.take(list(rows), columns=columns)
    except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
        raise StoreError(f"the tags of {dataset.uri} cannot be read: {exc}") from exc
    return [_read(row) for row in found.to_pylist()]


def labelled(reader: Reader, batch_size: int) -> Iterable[list[Tagged]]:
    """All segments with tags that labels gave, a batch at a time."""
    if LABELS in reader.dataset(SEGMENTS).schema.names:
        for batch in reader.batches(SEGMENTS, *TAGS_SCHEMA.names, batch_size=batch_size):
            found = [_read(row) for row in batch.to_pylist() if row[LABELS]]
            if found:
                yield found


def _read(row: dict[str, Any]) -> Tagged:
    given = frozenset(row.get(LABELS) or ())
    tags = [Tag(tag["name"], tag["probability"]) for tag in row["tags"] or ()]
    return Tagged(
        row["segment_id"],
        tuple(tag for tag in tags if tag.name not in given),
        tuple(tag for tag in tags if tag.name in given),
    )


def tags_table(segments: Sequence[Tagged]) -> pa.Table:
    """What is written of these segments: id, tags, and which of them labels gave."""
    return pa.Table.from_pylist(
        [
            {
                "segment_id": one.segment_id,
                "tags": [
                    {"name": tag.name, "probability": tag.probability}
                    for tag in (*one.made, *one.given)
                ],
                LABELS: [tag.name for tag in one.given],
            }
            for one in segments
        ],
        schema=TAGS_SCHEMA,
    )
