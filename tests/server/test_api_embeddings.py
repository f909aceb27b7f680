"""Vectors over HTTP, as OpenAI's own client asks for them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient

from mmsearch.library.examples import encode_file
from mmsearch.library.library import Library
from mmsearch.server.http.app import create_app
from tests.server.live import client_of, problem, served, settings_of

TEXTS = ["a quiet harbour at night", "rain on a roof", "Straßenbahn 日本"]


@pytest.fixture(scope="module")
def library(small_library: Path) -> Iterator[Library]:
    with Library.open(small_library) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    with client_of(library) as client:
        yield client


@pytest.fixture(scope="module")
def official(library: Library) -> Iterator[openai.OpenAI]:
    with (
        served(create_app(settings_of(library), library)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def data_url(path: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def rows(answer: Any) -> np.ndarray:
    return np.array([one.embedding for one in answer.data], dtype=np.float32)


def test_the_official_client_gets_the_vectors_of_the_library(
    official: openai.OpenAI, library: Library
) -> None:
    # Without a format it asks for base64 and decodes it.
    answer = official.embeddings.create(model="text", input=TEXTS)
    np.testing.assert_array_equal(rows(answer), library.encoders.text.encode(TEXTS))
    assert [one.index for one in answer.data] == [0, 1, 2]
    assert answer.model == "text"
    tokens = sum(library.encoders.text.count_tokens(TEXTS))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens
    as_floats = official.embeddings.create(model="text", input=TEXTS[0], encoding_format="float")
    np.testing.assert_array_equal(rows(as_floats), rows(answer)[:1])


def test_the_official_client_lists_the_spaces(official: openai.OpenAI) -> None:
    assert [model.id for model in official.models.list()] == ["text", "image"]
    assert official.models.retrieve("image").id == "image"
    with pytest.raises(openai.NotFoundError, match="models are spaces of the library"):
        official.models.retrieve("gpt-4")


def test_the_official_client_understands_what_is_refused(official: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="models are spaces of the library"):
        official.embeddings.create(model="text-embedding-3-small", input="rain")
    with pytest.raises(openai.NotFoundError, match="nothing is cut off"):
        official.embeddings.create(model="text", input="rain", dimensions=64)
    assert rows(official.embeddings.create(model="text", input="rain", dimensions=384)).shape == (
        1,
        384,
    )


def test_words_and_pictures_meet_in_the_image_space(
    official: openai.OpenAI, library: Library, samples: Path, sample_data: Path
) -> None:
    pictures = [samples / "photos/beach.jpg", samples / "photos/breakfast.jpg"]
    answer = official.embeddings.create(
        model="image", input=["a sandy beach", *map(data_url, pictures)]
    )
    found = rows(answer)
    _, example = encode_file(pictures[0], library.encoders)
    np.testing.assert_allclose(found[1], example.vectors["image"][0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-3)
    assert found[0] @ found[1] > found[0] @ found[2]
    assert answer.usage.total_tokens == sum(library.encoders.text.count_tokens(["a sandy beach"]))


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ({"model": "text", "input": ""}, 422, "invalid-request"),
        ({"model": "text", "input": []}, 422, "invalid-request"),
        ({"model": "text", "input": [1, 2, 3]}, 422, "invalid-request"),
        ({"model": "text", "input": ["a"] * 2049}, 422, "invalid-request"),
        ({"input": "a"}, 422, "invalid-request"),
        ({"model": "text", "input": "a", "encoding_format": "int8"}, 422, "invalid-request"),
        ({"model": "text", "input": "https://example.org/a.png"}, 422, "invalid-request"),
        ({"model": "image", "input": "file:///etc/passwd"}, 422, "invalid-request"),
        ({"model": "image", "input": "data:image/png,abc"}, 422, "invalid-request"),
        ({"model": "image", "input": "data:image/png;base64,ab*c"}, 422, "invalid-request"),
        ({"model": "image", "input": "data:image/png;base64,AAAA"}, 422, "bad-media"),
        ({"model": "image", "input": "data:text/plain;base64,d29yZHM="}, 422, "bad-media"),
        ({"model": "image", "input": ["data:,"] * 65}, 422, "invalid-request"),
        ({"model": "text", "input": "a " * 100_001}, 422, "invalid-request"),
        ({"model": "text", "input": "data:image/png;base64,AAAA"}, 404, "no-such-model"),
        ({"model": "sound", "input": "a"}, 404, "no-such-model"),
    ],
)
def test_what_cannot_be_embedded_is_told(
    client: TestClient, asked: dict[str, Any], status: int, name: str
) -> None:
    problem(client.post("/v1/embeddings", json=asked), status, name)


def test_texts_with_a_url_in_them_are_texts(client: TestClient) -> None:
    asked = {"model": "text", "input": "see https://example.org for more"}
    assert client.post("/v1/embeddings", json=asked).status_code == 200
    asked = {"model": "text", "input": "https://example.org says so"}
    assert client.post("/v1/embeddings", json=asked).status_code == 200


def test_answers_are_as_the_document_says(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, method, told in (
        ("/v1/models", "get", client.get("/v1/models").json()),
        ("/v1/models/{name}", "get", client.get("/v1/models/text").json()),
        *(
            (
                "/v1/embeddings",
                "post",
                client.post(
                    "/v1/embeddings",
                    json={"model": "text", "input": TEXTS, "encoding_format": form},
                ).json(),
            )
            for form in ("float", "base64")
        ),
    ):
        content = document["paths"][path][method]["responses"]["200"]["content"]
        schema = content["application/json"]["schema"] | {"components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(told)
