"""A library as a retriever of LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from mmsearch.errors import MissingExtra
from mmsearch.integrations.documents import RetrievedPassage, RetrieverOptions, RetrieverSource

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import Field, PrivateAttr
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] not in ("langchain_core", "pydantic"):
        raise
    raise MissingExtra(
        "the retriever for LangChain needs the extra: pip install 'mmsearch[langchain]'"
    ) from exc


class MmsearchRetriever(BaseRetriever):
    """Finds pictures, sounds, moments of videos and texts, as documents of LangChain.

    The content of a document is the spoken or written text of the matching part, else its tags. Its
    metadata are the location (`source` and `path`, `kind`, `start_s`, `end_s`, `page`), the `score`
    and the ids. The query is taken as words, without query syntax. All fields but `library` can be
    passed to `invoke` as well.
    """

    library: Any = None
    """A folder with a library, the URL of a running `mmsearch serve` (its token in MMSEARCH_TOKEN),
    an open `mmsearch.Library`, or None for the default library."""
    k: int = Field(default=10, ge=1)
    """The most documents that are returned."""
    kinds: Sequence[str] = ()
    """Only these: image, audio, video, text, other."""
    under: Sequence[str | PathLike[str]] = ()
    """Only files below these folders."""
    where: str | None = None
    """A condition such as `ext = jpg and size > 10MB`."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Hits with a lower score are left out; 0 returns the nearest."""
    group: bool = True
    """If True one document a file, by its best part, else one for every part that matches."""

    _source: RetrieverSource = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Stores the library, which is opened with the first search."""
        super().model_post_init(context)
        self._source = RetrieverSource(self.library)

    def close(self) -> None:
        """Closes the library if it was opened here; a later search opens it again."""
        self._source.close()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **overrides: Any
    ) -> list[Document]:
        del run_manager
        options = RetrieverOptions(
            self.k, self.kinds, self.under, self.where, self.min_score, self.group
        )
        return [
            _build_document(passage)
            for passage in self._source.search(query, replace(options, **overrides))
        ]


def _build_document(passage: RetrievedPassage) -> Document:
    metadata = {"source": passage.path, **passage.metadata}
    return Document(id=passage.id, page_content=passage.text, metadata=metadata)
