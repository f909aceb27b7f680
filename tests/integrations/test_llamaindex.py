"""The retriever for LlamaIndex: nodes with scores, from threads and event loops."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from PIL import Image

from mmsearch.errors import LibraryNotFound, QueryError
from mmsearch.integrations.llamaindex import MmsearchRetriever


@pytest.fixture
def retriever(small_library: Path) -> MmsearchRetriever:
    return MmsearchRetriever(small_library, k=3, min_score=0)


def test_it_gives_so_many_nodes_best_first(
    retriever: MmsearchRetriever, small_library: Path
) -> None:
    found = retriever.retrieve("a kitten")
    one = MmsearchRetriever(str(small_library), k=1, min_score=0).retrieve(QueryBundle("a kitten"))

    assert isinstance(retriever, BaseRetriever)
    assert len(found) == 3
    assert all(isinstance(node, NodeWithScore) for node in found)
    scores = [node.get_score(raise_error=True) for node in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert [node.node_id for node in one] == [found[0].node_id]


def test_a_picture_is_an_image_node_that_can_be_opened(retriever: MmsearchRetriever) -> None:
    best = retriever.retrieve("a kitten")[0].node

    assert isinstance(best, ImageNode)
    assert best.image_path is not None
    assert best.image_path.endswith(("IMG_0031.jpg", "IMG_0144.jpg"))
    assert best.image_mimetype == "image/jpeg"
    with Image.open(str(best.resolve_image())) as picture:
        assert picture.size[0] > 0
    assert "cat" in best.get_content()


def test_what_is_said_is_a_text_node_with_its_time(small_library: Path) -> None:
    retriever = MmsearchRetriever(small_library, k=1, kinds=["video"])
    (best,) = retriever.retrieve("ask not what your country can do for you")

    assert type(best.node) is TextNode
    assert "country" in best.get_content()
    assert best.metadata["kind"] == "video"
    assert best.metadata["end_s"] > best.metadata["start_s"] >= 0
    assert best.node_id == best.metadata["segment_id"]
    assert json.loads(json.dumps(best.metadata)) == best.metadata
    told = best.node.get_content(MetadataMode.LLM)
    assert "MVI_0007.mp4" in told
    assert best.node_id not in told
    assert best.metadata["asset_id"] not in told


def test_fields_narrow(small_library: Path, samples: Path) -> None:
    found = MmsearchRetriever(
        small_library, under=[samples / "documents"], where="ext != md", min_score=0
    ).retrieve("country")

    assert {Path(node.metadata["path"]).suffix for node in found} == {".pdf", ".txt"}
    with pytest.raises(QueryError):
        MmsearchRetriever(small_library, where="size >> 3").retrieve("country")


async def test_an_event_loop_goes_on_meanwhile(retriever: MmsearchRetriever) -> None:
    found = await asyncio.gather(*(retriever.aretrieve(f"kitten {n}") for n in range(4)))

    assert [len(nodes) for nodes in found] == [3] * 4
    assert (await retriever.aretrieve("a kitten"))[0].node_id == retriever.retrieve("a kitten")[
        0
    ].node_id


def test_it_serves_as_an_object_of_another_retriever(retriever: MmsearchRetriever) -> None:
    class Outer(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return [NodeWithScore(node=IndexNode(index_id="a", text="", obj=retriever), score=1.0)]

    assert [node.node_id for node in Outer().retrieve("a kitten")] == [
        node.node_id for node in retriever.retrieve("a kitten")
    ]


def test_a_library_that_is_not_there_is_told_with_the_first_search(tmp_path: Path) -> None:
    with pytest.raises(LibraryNotFound):
        MmsearchRetriever(tmp_path / "none").retrieve("a kitten")
