"""Metrics for Prometheus: requests by route, searches at work, refusals, jobs."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mmsearch.jobs import Jobs

PREFIX = "mmsearch"
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
OTHER = "other"
MAX_NAMES = 64
"""Most names of reasons and routes: a name that a client chooses must not become a series."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one application, in a registry of their own.

    An observer of `mmsearch.server.http.worker_pool`; the guard and the connections report to
    `record_refusal` too.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        options: Any = {"namespace": PREFIX, "registry": self.registry}
        self._requests = Counter(
            "requests", "Requests that were answered.", ("route", "method", "status"), **options
        )
        self._duration = Histogram(
            "request_duration_seconds",
            "From a request to the end of its answer.",
            ("route", "method"),
            buckets=SECONDS,
            **options,
        )
        self._open = Gauge("requests_in_flight", "Requests that are being answered.", **options)
        self._searches = Gauge("searches_in_flight", "Searches that are at work.", **options)
        self._wait = Histogram(
            "queue_wait_seconds",
            "From a search's arrival to its beginning.",
            buckets=SECONDS,
            **options,
        )
        self._refused = Counter(
            "refused", "Requests and connections that were refused.", ("reason",), **options
        )
        self._jobs = Gauge("jobs", "Jobs that are remembered.", ("state",), **options)
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def record_start(self, waited_s: float) -> None:
        """Counts a search that begins after it has waited."""
        self._searches.inc()
        self._wait.observe(waited_s)

    def record_end(self) -> None:
        """Counts a search that has ended."""
        self._searches.dec()

    def record_refusal(self, reason: str) -> None:
        """Counts a refusal by the name of its reason."""
        self._refused.labels(self._bound_label(reason)).inc()

    def observe_jobs(self, jobs: Jobs) -> None:
        """Counts the jobs of a library whenever the metrics are read."""
        from mmsearch.jobs import JobState

        def count(state: JobState) -> float:
            return sum(job.state is state for job in jobs.all())

        for state in JobState:
            self._jobs.labels(state.value).set_function(partial(count, state))

    def record_request(self) -> None:
        """Counts a request that has come."""
        self._open.inc()

    def record_response(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts and times an answered request; `route` is a template: `/v1/assets/{asset_id}`."""
        self._open.dec()
        label = self._bound_label(route)
        method = method if method in METHODS else OTHER
        self._requests.labels(label, method, f"{status // 100}xx").inc()
        self._duration.labels(label, method).observe(seconds)

    def format_text(self) -> bytes:
        """Formats all metrics as the text of Prometheus."""
        return generate_latest(self.registry)

    def create_route(self) -> Route:
        """Creates the route `GET /metrics`."""

        async def metrics(request: Request) -> Response:
            del request
            return Response(
                self.format_text(),
                headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
            )

        return Route("/metrics", metrics, methods=["GET"], include_in_schema=False)

    def _bound_label(self, name: str) -> str:
        with self._lock:
            if name not in self._names and len(self._names) >= MAX_NAMES:
                return OTHER
            self._names.add(name)
            return name


class MeteredApp:
    """ASGI middleware that counts and times every request by the template of its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and measures it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # of an application that fails before it answers
        began = time.perf_counter()

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.record_request()
        try:
            await self._app(scope, receive, record_status)
        finally:
            took_s = time.perf_counter() - began
            self._metrics.record_response(_get_template(scope), scope["method"], status, took_s)


def _get_template(scope: Scope) -> str:
    """Returns the template of the route that answered, not the path, which a client chooses."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return str(path) if path else OTHER
