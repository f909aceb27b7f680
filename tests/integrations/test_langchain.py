"""The retriever for LangChain: its standard tests, and what documents say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from mmsearch.errors import LibraryNotFound, QueryError
from mmsearch.integrations.langchain import MmsearchRetriever
from mmsearch.library.library import Library
from tests.conftest import ROOT
from tests.fakes import write_text


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _library(self, small_library: Path) -> None:
        self.small_library = small_library

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return MmsearchRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"library": str(self.small_library), "min_score": 0}

    @property
    def retriever_query_example(self) -> str:
        return "a kitten"


@pytest.fixture
def retriever(small_library: Path) -> MmsearchRetriever:
    return MmsearchRetriever(library=small_library, k=3)


def test_what_is_said_is_the_text_and_has_its_time(retriever: MmsearchRetriever) -> None:
    best = retriever.invoke("ask not what your country can do for you", kinds=["audio"])[0]

    assert "country" in best.page_content
    assert best.metadata["kind"] == "audio"
    assert best.metadata["part"] == "speech"
    assert best.metadata["end_s"] > best.metadata["start_s"] >= 0
    assert best.metadata["source"] == best.metadata["path"]
    assert best.metadata["path"].endswith("voice_memo_03.flac")
    assert best.id == best.metadata["segment_id"]
    assert 0.3 < best.metadata["score"] <= 1
    assert json.loads(json.dumps(best.metadata)) == best.metadata
    assert None not in best.metadata.values()


def test_what_is_seen_is_told_in_tags(retriever: MmsearchRetriever) -> None:
    best = retriever.invoke("a kitten")[0]

    assert best.metadata["kind"] == "image"
    assert "cat" in best.page_content
    assert best.metadata["tags"] == best.page_content.split(", ")


def test_every_part_can_be_a_document(small_library: Path) -> None:
    asked = "government of the people, by the people"
    by_file = MmsearchRetriever(library=small_library, kinds=["text"], min_score=0)
    by_part = MmsearchRetriever(library=small_library, kinds=["text"], min_score=0, group=False)

    files, parts = by_file.invoke(asked), by_part.invoke(asked)

    assert len({one.metadata["path"] for one in files}) == len(files) < len(parts)
    assert len({one.id for one in parts}) == len(parts)


def test_fields_narrow_and_a_call_beats_them(small_library: Path, samples: Path) -> None:
    retriever = MmsearchRetriever(
        library=small_library, min_score=0, where="ext = md", under=[samples], k=2
    )

    assert [Path(one.metadata["path"]).suffix for one in retriever.invoke("country")] == [".md"]
    assert [
        Path(one.metadata["path"]).suffix for one in retriever.invoke("country", where="ext = txt")
    ] == [".txt"]
    with pytest.raises(QueryError, match="the filter cannot be read"):
        retriever.invoke("country", where="size >> 3")
    with pytest.raises(TypeError):
        retriever.invoke("country", wher="ext = txt")
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        MmsearchRetriever(library=small_library, k=0)


def test_what_looks_like_a_path_or_a_sign_is_words(retriever: MmsearchRetriever) -> None:
    for words in ("/etc/passwd", "-kitten", "./README.md", "asset:" + "0" * 32, "2:x\0"):
        assert all(isinstance(one, Document) for one in retriever.invoke(words, min_score=0))


def test_an_open_library_is_used_and_left_open(small_library: Path) -> None:
    with Library.open(small_library, create=False) as library:
        retriever = MmsearchRetriever(library=library, k=1)
        found = retriever.invoke("a kitten")
        retriever.close()

        assert found
        assert library.search("a kitten", limit=1)[0].path == found[0].metadata["path"]


def test_a_library_that_is_not_there_is_told_with_the_first_search(tmp_path: Path) -> None:
    retriever = MmsearchRetriever(library=tmp_path / "none")

    with pytest.raises(LibraryNotFound):
        retriever.invoke("a kitten")
    assert not (tmp_path / "none").exists()


def test_searches_from_many_threads_open_one_library(small_library: Path) -> None:
    retriever = MmsearchRetriever(library=str(small_library), k=1, min_score=0)

    found = retriever.batch([f"kitten {number}" for number in range(12)])

    assert [len(one) for one in found] == [1] * 12
    retriever.close()
    assert retriever.invoke("a kitten")


def test_a_retriever_is_a_step_of_a_chain(retriever: MmsearchRetriever) -> None:
    chain = retriever | (lambda documents: [one.metadata["path"] for one in documents])

    assert chain.invoke("a kitten")[0].endswith("IMG_0031.jpg")


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("langchain", "langchain_core", "langchain"),
        ("llamaindex", "llama_index", "llamaindex"),
    ],
)
def test_without_the_framework_the_pip_line_is_told(
    tmp_path: Path, module: str, package: str, extra: str
) -> None:
    write_text(
        tmp_path / package / "__init__.py", f"raise ModuleNotFoundError('no', name={package!r})\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mmsearch.errors import MissingExtra\n"
        f"try:\n    import mmsearch.integrations.{module}\n"
        "except MissingExtra as exc:\n    print(exc)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=ROOT, timeout=60, check=False
    )

    assert f"pip install 'mmsearch[{extra}]'" in ran.stdout.decode(), ran.stderr
