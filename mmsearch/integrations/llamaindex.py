"""A library as a retriever of LlamaIndex."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

from mmsearch.errors import MissingExtra
from mmsearch.integrations.documents import RetrievedPassage, RetrieverOptions, RetrieverSource
from mmsearch.types import Modality

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] != "llama_index":
        raise
    raise MissingExtra(
        "the retriever for LlamaIndex needs the extra: pip install 'mmsearch[llamaindex]'"
    ) from exc

if TYPE_CHECKING:
    from llama_index.core.callbacks.base import CallbackManager

    from mmsearch.library.library import Library

_ONLY_FOR_PROGRAMS = ["asset_id", "segment_id", "score", "why"]


class MmsearchRetriever(BaseRetriever):
    """Finds pictures, sounds, moments of videos and texts, as nodes with scores.

    An image is an ImageNode with its path, all else a TextNode. The text of a node is the spoken or
    written text of the matching part, else its tags; its metadata are the location (`path`, `kind`,
    `start_s`, `end_s`, `page`). The query is taken as words, without query syntax.
    """

    def __init__(
        self,
        library: Library | str | PathLike[str] | None = None,
        *,
        k: int = 10,
        kinds: Sequence[str] = (),
        under: Sequence[str | PathLike[str]] = (),
        where: str | None = None,
        min_score: float | None = None,
        group: bool = True,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        """Stores the library and the options.

        `library` is a folder, the URL of a running `mmsearch serve` (its token in MMSEARCH_TOKEN),
        an open library, or None for the default one; a folder is opened with the first search. The
        rest is as for `Library.search`; without `group` every part that matches is a node.
        """
        super().__init__(callback_manager=callback_manager)
        self._source = RetrieverSource(library)
        self._options = RetrieverOptions(k, kinds, under, where, min_score, group)

    def close(self) -> None:
        """Closes the library if it was opened here; a later search opens it again."""
        self._source.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        passages = self._source.search(query_bundle.query_str, self._options)
        return [
            NodeWithScore(node=_build_node(passage), score=passage.score) for passage in passages
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


def _build_node(passage: RetrievedPassage) -> TextNode:
    hidden = [name for name in _ONLY_FOR_PROGRAMS if name in passage.metadata]
    is_image = passage.kind is Modality.IMAGE
    make_node = partial(ImageNode, image_path=passage.path) if is_image else TextNode
    return make_node(
        id_=passage.id,
        text=passage.text,
        metadata=passage.metadata,
        excluded_embed_metadata_keys=hidden,
        excluded_llm_metadata_keys=hidden,
    )
