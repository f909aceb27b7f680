"""Tags that labels gave to segments, beside those of the encoder.

Both are in the column `tags`, the encoder's first. The names of those from labels are in a column
of their own, which a library gets when it is first tagged; null means none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
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
"""The columns of a segment that tagging writes."""


@dataclass(frozen=True, slots=True)
class SegmentTags:
    """The tags of a segment, by its encoder and by labels."""

    segment_id: str
    encoder_tags: tuple[Tag, ...]
    label_tags: tuple[Tag, ...]

    def replace_labels(self, labels: Collection[str], tags: Iterable[Tag]) -> SegmentTags:
        """Replaces the tags of these labels (case-folded); those of other labels stay.

        The encoder's tag of the same name has precedence.
        """
        encoder_names = {tag.name.casefold() for tag in self.encoder_tags}
        others = [tag for tag in self.label_tags if tag.name.casefold() not in labels]
        new = [tag for tag in tags if tag.name.casefold() not in encoder_names]
        label_tags = sorted([*others, *new], key=lambda tag: (-tag.probability, tag.name))
        return replace(self, label_tags=tuple(label_tags))


def read_tags(reader: Reader, rows: Sequence[int]) -> list[SegmentTags]:
    """Returns the tags of the segments in these rows, in their order; raises StoreError."""
    if not rows:
        return []
    dataset = reader.open_dataset(SEGMENTS)
    columns = [name for name in TAGS_SCHEMA.names if name in dataset.schema.names]
    try:
        table = dataset.take(list(rows), columns=columns)
    except (OSError, ValueError, RuntimeError) as exc:  # lance and Arrow raise all three
        raise StoreError(f"the tags of {dataset.uri} cannot be read: {exc}") from exc
    return [_parse_row(row) for row in table.to_pylist()]


def iter_labelled(reader: Reader, batch_size: int) -> Iterable[list[SegmentTags]]:
    """Yields batches of all segments with tags that labels gave."""
    if LABELS in reader.open_dataset(SEGMENTS).schema.names:
        for batch in reader.iter_batches(SEGMENTS, *TAGS_SCHEMA.names, batch_size=batch_size):
            segments = [_parse_row(row) for row in batch.to_pylist() if row[LABELS]]
            if segments:
                yield segments


def _parse_row(row: dict[str, Any]) -> SegmentTags:
    label_names = frozenset(row.get(LABELS) or ())
    tags = [Tag(tag["name"], tag["probability"]) for tag in row["tags"] or ()]
    return SegmentTags(
        row["segment_id"],
        encoder_tags=tuple(tag for tag in tags if tag.name not in label_names),
        label_tags=tuple(tag for tag in tags if tag.name in label_names),
    )


def make_tags_table(segments: Sequence[SegmentTags]) -> pa.Table:
    """Returns the rows to write for these segments."""
    return pa.Table.from_pylist(
        [
            {
                "segment_id": segment.segment_id,
                "tags": [asdict(tag) for tag in (*segment.encoder_tags, *segment.label_tags)],
                LABELS: [tag.name for tag in segment.label_tags],
            }
            for segment in segments
        ],
        schema=TAGS_SCHEMA,
    )
