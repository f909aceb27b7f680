"""How a server does, for Prometheus: requests by route, searches at work, what was refused."""

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
"""Of reasons, and of routes: what a client can choose must not become a series."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts what happens in one application, in a registry of its own.

    It is what `mmsearch.server.http.worker_pool` wants of an observer, and `refused` what the guard
    and the protocol tell of.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        named: Any = {"namespace": PREFIX, "registry": self.registry}
        self._requests = Counter(
            "requests", "Requests that were answered.", ("route", "method", "status"), **named
        )
        self._duration = Histogram(
            "request_duration_seconds",
            "From a request to the end of its answer.",
            ("route", "method"),
            buckets=SECONDS,
            **named,
        )
        self._open = Gauge("requests_in_flight", "Requests that are being answered.", **named)
        self._searches = Gauge("searches_in_flight", "Searches that are at work.", **named)
        self._wait = Histogram(
            "queue_wait_seconds",
            "From a search's arrival to its beginning.",
            buckets=SECONDS,
            **named,
        )
        self._refused = Counter(
            "refused", "Requests and connections that were refused.", ("reason",), **named
        )
        self._jobs = Gauge("jobs", "Jobs that are remembered.", ("state",), **named)
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def began(self, waited_s: float) -> None:
        """A search began after it had waited so long."""
        self._searches.inc()
        self._wait.observe(waited_s)

    def ended(self) -> None:
        """A search ended."""
        self._searches.dec()

    def refused(self, reason: str) -> None:
        """Something was refused, for a reason that has a name."""
        self._refused.labels(self._known(reason)).inc()

    def jobs(self, jobs: Jobs) -> None:
        """Count the jobs of a library whenever the figures are asked for."""
        from mmsearch.jobs import State

        def count(state: State) -> float:
            return sum(job.state is state for job in jobs.all())

        for state in State:
            self._jobs.labels(state.value).set_function(partial(count, state))

    def opened(self) -> None:
        """A request came."""
        self._open.inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is its template, as `/v1/assets/{asset_id}`."""
        self._open.dec()
        known = self._known(route)
        method = method if method in METHODS else OTHER
        self._requests.labels(known, method, f"{status // 100}xx").inc()
        self._duration.labels(known, method).observe(seconds)

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self.registry)

    def route(self) -> Route:
        """`GET /metrics`."""

        async def metrics(request: Request) -> Response:
            del request
            return Response(
                self.text(),
                headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
            )

        return Route("/metrics", metrics, methods=["GET"], include_in_schema=False)

    def _known(self, name: str) -> str:
        with self._lock:
            if name not in self._names and len(self._names) >= MAX_NAMES:
                return OTHER
            self._names.add(name)
            return name


class Measured:
    """ASGI middleware that counts and times every request by the template of its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and measure it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # of an application that fails before it answers
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.opened()
        try:
            await self._app(scope, receive, noted)
        finally:
            took_s = time.perf_counter() - began
            self._metrics.answered(_template(scope), scope["method"], status, took_s)


def _template(scope: Scope) -> str:
    """The route that answered: never the path, which a client chooses."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return str(path) if path else OTHER
