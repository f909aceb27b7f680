"""Figures are counted by what the server chooses, never by what a client does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from mmsearch.jobs import Jobs
from mmsearch.server.http.metrics import MAX_NAMES, MeteredApp, Metrics


async def asset(request: Request) -> Response:
    if request.path_params["asset_id"] == "broken":
        raise ValueError("broken")
    return PlainTextResponse(
        "x", status_code=404 if request.path_params["asset_id"] == "none" else 200
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> TestClient:
    app = Starlette(
        routes=[
            Route("/v1/assets/{asset_id}", asset, methods=["GET", "DELETE"]),
            Mount("/mm", routes=[Route("/{asset_id}", asset)]),
            metrics.create_route(),
        ]
    )
    app.add_middleware(MeteredApp, metrics=metrics)
    return TestClient(app, raise_server_exceptions=False)


def figures(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(metrics.format_text().decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_the_template_of_their_route(
    client: TestClient, metrics: Metrics
) -> None:
    for name in ("a", "b", "none", "broken"):
        client.get(f"/v1/assets/{name}")
    client.delete("/v1/assets/a")
    client.get("/mm/a")
    found = figures(metrics)

    route = "/v1/assets/{asset_id}"
    assert found["mmsearch_requests_total", "GET", route, "2xx"] == 2
    assert found["mmsearch_requests_total", "GET", route, "4xx"] == 1
    assert found["mmsearch_requests_total", "GET", route, "5xx"] == 1
    assert found["mmsearch_requests_total", "DELETE", route, "2xx"] == 1
    assert found["mmsearch_request_duration_seconds_count", "GET", route] == 4
    assert found["mmsearch_requests_in_flight",] == 0


def test_a_client_cannot_make_series(client: TestClient, metrics: Metrics) -> None:
    client.get("/nothing")
    before = len(figures(metrics))
    for number in range(300):
        client.get(f"/{number}")
        client.get(f"/v1/assets/{number}/x")
        client.request(f"METHOD{number}", "/nothing")
        metrics.record_refusal(f"reason {number}")

    found = figures(metrics)
    assert len(found) - before < 2 * MAX_NAMES + 50
    assert found["mmsearch_requests_total", "GET", "other", "4xx"] == 601
    assert found["mmsearch_requests_total", "other", "other", "4xx"] == 300
    assert found["mmsearch_refused_total", "other"] > 200
    assert "/299" not in metrics.format_text().decode()


def test_searches_and_refusals_are_counted(metrics: Metrics) -> None:
    metrics.record_start(0.02)
    metrics.record_start(0.3)
    metrics.record_end()
    metrics.record_refusal("full")
    found = figures(metrics)

    assert found["mmsearch_searches_in_flight",] == 1
    assert found["mmsearch_queue_wait_seconds_count",] == 2
    assert found["mmsearch_queue_wait_seconds_bucket", "0.025"] == 1
    assert found["mmsearch_refused_total", "full"] == 1


def test_jobs_are_counted_when_asked(metrics: Metrics, tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(100)")
    with Jobs(tmp_path / "library", command=command) as jobs:
        metrics.observe_jobs(jobs)
        jobs.start([tmp_path])
        jobs.start([tmp_path])
        found = figures(metrics)

    assert found["mmsearch_jobs", "running"] == 1
    assert found["mmsearch_jobs", "queued"] == 1
    assert figures(metrics)["mmsearch_jobs", "cancelled"] == 2


def test_figures_are_served_as_prometheus_reads_them(client: TestClient) -> None:
    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"
    assert list(text_string_to_metric_families(answer.text))
    assert "process_resident_memory_bytes" in answer.text


def test_two_servers_in_a_process_count_each_for_itself() -> None:
    one, other = Metrics(), Metrics()
    one.record_refusal("full")

    assert ("mmsearch_refused_total", "full") in figures(one)
    assert ("mmsearch_refused_total", "full") not in figures(other)
