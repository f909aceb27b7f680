"""What the library has, over HTTP; the server's health; its document; its errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from mmsearch.errors import StoreError
from mmsearch.library.library import Library
from mmsearch.serialization.answers import build_asset, build_segment
from mmsearch.serialization.json_format import write_json
from mmsearch.server import problems
from mmsearch.server.http import answers
from mmsearch.server.http.app import create_app
from mmsearch.server.http.links import build_asset_links
from tests.fakes import fake_library, write_film, write_picture, write_text
from tests.patience import HANG_S
from tests.server.live import client_of, problem, settings_of


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("assets")
    write_picture(folder / "files" / "red.png", "red")
    write_picture(folder / "files" / "copy" / "red.png", "red")
    write_film(folder / "files" / "film.mp4", ["red", "green", "blue"])
    write_text(folder / "files" / "long.txt", "\n\n".join(f"Verse {n}. " * 60 for n in range(12)))
    with fake_library(folder / "library") as opened:
        opened.index(folder / "files")
        yield opened


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    with client_of(library) as client:
        yield client


@pytest.fixture(scope="module")
def ids(library: Library) -> dict[str, str]:
    """Asset ids by kind."""
    return {hit.kind.value: hit.asset.id for hit in library.search("red", min_score=0)}


def document_of(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def check(document: dict[str, Any], path: str, method: str, told: Any) -> None:
    """Hold an answer against what the document says of its operation."""
    content = document["paths"][path][method]["responses"]["200"]["content"]
    schema = content["application/json"]["schema"] | {"components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(told)


def test_an_asset_is_told_with_all_its_paths(
    client: TestClient, library: Library, ids: dict[str, str]
) -> None:
    told = client.get(f"/v1/assets/{ids['image']}").json()
    found = library.asset(ids["image"])
    assert found is not None
    links = build_asset_links(found.asset.id, found.asset.modality)
    assert told == json.loads(write_json(build_asset(found.asset, found.paths, links)))
    assert len(told["paths"]) == 2
    check(document_of(client), "/v1/assets/{asset_id}", "get", told)
    for url in (told["thumbnail_url"], told["media_url"], told["segments_url"]):
        assert client.get(url).status_code == 200


def test_segments_come_in_order_and_in_pages(
    client: TestClient, library: Library, ids: dict[str, str]
) -> None:
    url = f"/v1/assets/{ids['text']}/segments"
    told = client.get(url).json()
    found = library.segments(ids["text"])
    assert told["segments"] == [json.loads(write_json(build_segment(one))) for one in found]
    assert told["total"] == len(found) > 5
    check(document_of(client), "/v1/assets/{asset_id}/segments", "get", told)
    page = client.get(url, params={"offset": 2, "limit": 2}).json()
    assert page["segments"] == told["segments"][2:4]
    assert page["total"] == told["total"]
    film = f"/v1/assets/{ids['video']}/segments"
    assert client.get(film, params={"kind": "speech"}).json()["total"] == 0
    assert client.get(film, params={"kind": ["speech", "frame"]}).json()["total"] >= 3
    problem(client.get(film, params={"kind": "noise"}), 422, "invalid-request")


def test_a_segment_is_told_by_itself(
    client: TestClient, library: Library, ids: dict[str, str]
) -> None:
    segment = library.segments(ids["video"])[1]
    told = client.get(f"/v1/segments/{segment.id}").json()
    assert told == json.loads(write_json(build_segment(segment)))
    check(document_of(client), "/v1/segments/{segment_id}", "get", told)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/assets/" + "0" * 32, "no-such-asset"),
        ("/v1/assets/" + "0" * 32 + "/segments", "no-such-asset"),
        ("/v1/assets/" + "0" * 32 + "/thumbnail", "no-such-asset"),
        ("/v1/assets/" + "0" * 32 + "/media", "no-such-asset"),
        ("/v1/segments/" + "0" * 32, "no-such-segment"),
        ("/v1/models/none", "no-such-model"),
        ("/nothing", "not-found"),
        ("/docs", "not-found"),
        ("/redoc", "not-found"),
        ("/v1/assets/", "not-found"),
    ],
)
def test_what_is_not_there_is_a_problem(client: TestClient, path: str, name: str) -> None:
    problem(client.get(path), 404, name)


@pytest.mark.parametrize("asset_id", ["x", "..", "0" * 31, "0" * 33, "A" * 32, "%00" * 4, "é"])
def test_what_is_no_id_is_refused(client: TestClient, asset_id: str) -> None:
    for path in ("/v1/assets/{}", "/v1/segments/{}", "/v1/assets/{}/segments"):
        assert client.get(path.format(asset_id)).status_code in (404, 422)


def test_other_methods_are_told_which_there_are(client: TestClient) -> None:
    answer = client.put("/v1/search", json={})
    assert answer.headers["allow"] == "POST"
    assert "POST" in problem(answer, 405, "method-not-allowed")["detail"]
    problem(client.post("/v1/status"), 405, "method-not-allowed")


def test_status_is_what_the_command_prints(client: TestClient, library: Library) -> None:
    told = client.get("/v1/status").json()
    assert told == json.loads(write_json(library.status()))
    check(document_of(client), "/v1/status", "get", told)


def test_health_is_always_told_and_readiness_when_it_is_warm(library: Library) -> None:
    with client_of(library) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        client.app.state.backend.warm_up_succeeded.wait(HANG_S)
        assert client.get("/readyz").json() == {"status": "ready"}
        client.app.state.backend.warm_up_succeeded.clear()
        answer = client.get("/readyz")
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"


def test_a_library_that_cannot_be_warmed_up_is_not_ready(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def torn(self: Library) -> None:
        raise StoreError("/secret/place is torn")

    monkeypatch.setattr(Library, "warm_up", torn)
    with client_of(library) as client:
        assert client.app.state.backend.warm_up_ended.wait(HANG_S)
        told = problem(client.get("/readyz"), 503, "unavailable")
        assert client.get("/healthz").status_code == 200
    assert "log says why" in told["detail"]
    assert "/secret/place is torn" in caplog.text


def test_figures_count_searches(library: Library) -> None:
    with client_of(library) as client:
        for _ in range(3):
            client.post("/v1/search", json={"query": "red"})
        figures = client.get("/metrics").text
    assert 'mmsearch_requests_total{method="POST",route="/v1/search",status="2xx"} 3.0' in figures
    assert "mmsearch_queue_wait_seconds_count 3.0" in figures


def test_an_application_opens_its_library_and_closes_it(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Library] = []
    close = Library.close
    monkeypatch.setattr(Library, "close", lambda self: (closed.append(self), close(self)))
    with TestClient(create_app(settings_of(small_library))) as client:
        assert client.get("/v1/status").json()["library"] == str(small_library)
        assert not closed
    assert len(closed) == 1


def test_a_failure_that_nobody_foresaw_says_nothing_of_the_server(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **named: object) -> None:
        raise RuntimeError("/secret/place")

    monkeypatch.setattr(Library, "search", broken)
    with client_of(library) as client:
        told = problem(client.post("/v1/search", json={"query": "red"}), 500, "internal-error")
    assert "/secret/place" not in json.dumps(told)
    assert told["instance"] in caplog.text


def test_trouble_with_the_library_names_no_folder(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status, name in (
        (StoreError("/secret/place is torn"), 503, "unavailable"),
        (MemoryError(), 503, "unavailable"),
    ):

        def broken(*args: object, failure: Exception = error, **named: object) -> None:
            raise failure

        monkeypatch.setattr(Library, "search", broken)
        with client_of(library) as client:
            answer = client.post("/v1/search", json={"query": "red"})
        assert "/secret" not in json.dumps(problem(answer, status, name))


def test_the_document_is_whole(client: TestClient) -> None:
    document = document_of(client)
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["tags"], where
            assert operation["operationId"], where
            for status, said in operation["responses"].items():
                assert said["description"], where
                if status[0] in "45d" and "content" in said:
                    assert "application/problem+json" in said["content"], (where, status)
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(names) == len(set(names))
    references = {part.split('"')[0] for part in json.dumps(document).split('"$ref": "#/')[1:]}
    for reference in references:
        at: Any = document
        for part in reference.split("/"):
            at = at[part]


def test_examples_of_the_document_are_as_it_says(client: TestClient) -> None:
    document = document_of(client)
    count = 0
    for operations in document["paths"].values():
        for operation in operations.values():
            bodies = operation.get("requestBody", {}).get("content", {})
            for content in bodies.values():
                schema = content["schema"] | {"components": document["components"]}
                for example in content.get("examples", {}).values():
                    jsonschema.Draft202012Validator(schema).validate(example["value"])
                    count += 1
    assert count >= 4
    for kind in problems.PROBLEM_TYPES:
        answers.ProblemDetails(type=kind.name, title=kind.title, status=kind.status)


def test_every_served_route_is_in_the_document(client: TestClient) -> None:
    paths = {route.path for route in client.app.routes if hasattr(route, "methods")}
    assert paths - {"/openapi.json"} <= set(document_of(client)["paths"])


def test_a_token_is_in_the_document(library: Library) -> None:
    with client_of(library, token="t" * 20) as client:
        document = document_of(client)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"]["/v1/search"]["post"]["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_the_api_imports_neither_torch_nor_pandas_nor_a_ui() -> None:
    code = (
        "import sys; from mmsearch.cli.lazy_pandas import hide_pandas; hide_pandas();"
        "import mmsearch.server.http.app;"
        "print([m for m in ('torch', 'pandas', 'streamlit', 'lancedb') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"


def test_nothing_is_reported_whatever_the_environment_says(library: Library) -> None:
    with client_of(library) as client:
        assert client.get("/healthz").status_code == 200
        assert "traceparent" not in client.get("/healthz").headers
    from opentelemetry import trace

    assert type(trace.get_tracer_provider()).__name__ in (
        "ProxyTracerProvider",
        "NoOpTracerProvider",
    )
