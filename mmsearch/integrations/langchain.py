"""A library as a retriever of LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from mmsearch.errors import MissingExtra
from mmsearch.integrations.documents import Passage, Source, Wanted

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

    The content of a document is what is said or written in the part that was found, else the tags
    of what is seen or heard there; its metadata say where it lies (`source` and `path`, `kind`,
    `start_s`, `end_s`, `page`), how well it matches (`score`) and its ids. What is asked is taken
    as words, whatever it looks like. All fields but `library` can be given to `invoke` as well.
    """

    library: Any = None
    """A folder with a library, the URL of a running `mmsearch serve` (its token in MMSEARCH_TOKEN),
    an open `mmsearch.Library`, or None for the default library."""
    k: int = Field(default=10, ge=1)
    """At most so many documents."""
    kinds: Sequence[str] = ()
    """Only these: image, audio, video, text, other."""
    under: Sequence[str | PathLike[str]] = ()
    """Only files below these folders."""
    where: str | None = None
    """A condition such as `ext = jpg and size > 10MB`."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Hits below are none; 0 gives the nearest there is."""
    group: bool = True
    """One document a file, by its best part, or one for every part that matches."""

    _source: Source = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Take note of the library; it is opened with the first search."""
        super().model_post_init(context)
        self._source = Source(self.library)

    def close(self) -> None:
        """Let go of the library, where it was opened here; a later search opens it again."""
        self._source.close()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        del run_manager
        usual = Wanted(self.k, self.kinds, self.under, self.where, self.min_score, self.group)
        return [_document(one) for one in self._source.search(query, replace(usual, **given))]


def _document(found: Passage) -> Document:
    metadata = {"source": found.path, **found.metadata}
    return Document(id=found.id, page_content=found.text, metadata=metadata)
