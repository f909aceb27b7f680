"""Jobs over HTTP: started only where that is allowed, watched as events, ended."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from mmsearch.jobs import Jobs
from mmsearch.library.library import Library
from mmsearch.server.http import jobs as routes
from mmsearch.server.http import problems
from mmsearch.server.http.job_answers import JobAnswer, JobsAnswer
from tests.fakes import write_text
from tests.patience import HANG_S
from tests.server.hostile_clients import serving

PROGRAM = """
import json, sys, time
def tell(**event):
    print(json.dumps(event), flush=True)
tell(event="failed", path="/broken", error="DecodeError", message="it is broken")
for done in range(1, 6):
    tell(event="progress", done=done, total=5)
    time.sleep(0.2)
tell(event="failed", path="/broken too", error="DecodeError", message="it is\\nbroken")
tell(event="finished", indexed=3, updated=0, moved=0, skipped=0, removed=0, failed=2, partial=0,
     seconds=1.0)
"""
FOREVER = "import time; time.sleep(100)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write_text(root / "inside" / "a.txt", "A lantern in the window.")
    write_text(tmp_path / "outside" / "secret.txt", "A secret beyond the root.")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "inside" / "linked.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (root / "inside" / "folder").symlink_to(tmp_path / "outside")
    (root / "inside" / "own.txt").symlink_to(root / "inside" / "a.txt")
    return root


def client_of(jobs: Jobs, *, allow_write: bool = True) -> TestClient:
    app = FastAPI()
    app.include_router(routes.create_router(lambda: jobs, allow_write=allow_write))
    problems.install_handlers(app)
    return TestClient(app)


@pytest.fixture
def jobs(root: Path, tmp_path: Path) -> Iterator[Jobs]:
    command = (sys.executable, "-c", PROGRAM)
    with Jobs(tmp_path / "library", roots=[root], command=command) as made:
        yield made


@pytest.fixture
def client(jobs: Jobs) -> TestClient:
    return client_of(jobs)


def start(client: TestClient, *paths: Path, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/index", json={"paths": [str(path) for path in paths], **more})
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    assert answer.headers["location"] == told["url"] == f"/v1/jobs/{told['id']}"
    return told


def ended(client: TestClient, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + HANG_S
    while True:
        told: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
        if told["state"] not in ("queued", "running"):
            return told
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_is_started_and_told_to_its_end(client: TestClient, root: Path) -> None:
    told = start(client, root / "inside", prune=True, kinds=["text"], retry_failed=True)
    assert TypeAdapter(JobAnswer).validate_python(told).state == "running"
    last = ended(client, told["id"])

    assert TypeAdapter(JobAnswer).validate_python(last).state == "done"
    assert last["counts"]["indexed"] == 3
    assert [one["path"] for one in last["failures"]] == ["/broken", "/broken too"]
    listed = client.get("/v1/jobs").json()
    assert [job.id for job in TypeAdapter(JobsAnswer).validate_python(listed).jobs] == [told["id"]]


@pytest.mark.slow
def test_a_real_job_indexes_what_lies_below_the_root_and_nothing_else(
    root: Path, tmp_path: Path
) -> None:
    """Two links lead out of it: neither is followed, and one within is."""
    with Jobs(tmp_path / "library", roots=[root]) as jobs:
        client = client_of(jobs)
        last = ended(client, start(client, root)["id"])

    assert last["state"] == "done", last["message"]
    with Library.open(tmp_path / "library", create=False) as library:
        assert library.status().files == 2
        assert {Path(hit.path).name for hit in library.search("secret", min_score=0)} == {"a.txt"}


@pytest.mark.parametrize(
    "path",
    [
        "{root}/../outside", "{root}/link", "{root}/link/secret.txt", "/", "/etc/passwd", "..",
        "{root}/inside/linked.txt", "{root}/none/../../outside", "{root}x", "~", "~root",
        "/proc/self/root{root}/../outside", "{root}/\x00", "//etc", "-rf", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_lies_outside_the_roots_is_refused(
    client: TestClient, jobs: Jobs, root: Path, path: str
) -> None:
    answer = client.post("/v1/index", json={"paths": [str(root), path.format(root=root)]})

    # What is no absolute path is not even looked at.
    is_absolute = path.format(root=root).startswith("/")
    assert answer.status_code == (403 if is_absolute else 422)
    name = "outside-roots" if is_absolute else "invalid-request"
    assert answer.json()["type"] == f"urn:mmsearch:problem:{name}"
    assert jobs.all() == []


def test_whether_something_is_there_is_told_only_below_the_roots(
    client: TestClient, root: Path, tmp_path: Path
) -> None:
    inside = client.post("/v1/index", json={"paths": [str(root / "none")]})
    there = client.post("/v1/index", json={"paths": [str(tmp_path / "outside")]})
    not_there = client.post("/v1/index", json={"paths": [str(tmp_path / "nowhere")]})

    assert inside.status_code == 422
    assert inside.json()["type"] == "urn:mmsearch:problem:no-such-path"
    assert there.status_code == not_there.status_code == 403
    assert there.json()["detail"].replace("outside", "nowhere") == not_there.json()["detail"]


def test_nothing_is_written_where_that_is_not_allowed(
    jobs: Jobs, root: Path, tmp_path: Path
) -> None:
    for one in (
        client_of(jobs, allow_write=False),
        client_of(Jobs(tmp_path / "library")),  # allowed, but there are no roots
    ):
        answer = one.post("/v1/index", json={"paths": [str(root)]})
        assert answer.status_code == 403
        assert "--allow-write" in answer.json()["detail"]
        assert one.delete(f"/v1/jobs/{'0' * 16}").status_code == 403
        assert one.get("/v1/jobs").json() == {"jobs": []}


@pytest.mark.parametrize(
    "body",
    [
        {}, [], None, {"paths": []}, {"paths": "x"}, {"paths": [""]}, {"paths": [1]},
        {"paths": ["x" * 5000]}, {"paths": ["/x"] * 101}, {"paths": ["\ud800"]},
        {"paths": ["/x"], "prune": "yes"}, {"paths": ["/x"], "kinds": ["y"]},
        {"paths": ["/x"], "more": 1},
    ],
)  # fmt: skip
def test_what_is_not_as_described_is_refused(client: TestClient, jobs: Jobs, body: Any) -> None:
    answer = client.post(
        "/v1/index", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert jobs.all() == []


def test_a_form_of_another_page_starts_nothing(client: TestClient, jobs: Jobs, root: Path) -> None:
    body = json.dumps({"paths": [str(root)]})
    for said in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post("/v1/index", content=body, headers={"Content-Type": said})
        assert answer.status_code == 415
    assert jobs.all() == []


def test_too_many_jobs_are_told_to_come_later(root: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-c", FOREVER)
    with Jobs(tmp_path / "library", roots=[root], command=command) as jobs:
        client = client_of(jobs)
        for _ in range(101):
            start(client, root)
        answer = client.post("/v1/index", json={"paths": [str(root)]})

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "10"


def test_a_job_is_ended(root: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-c", FOREVER)
    with Jobs(tmp_path / "library", roots=[root], command=command) as jobs:
        client = client_of(jobs)
        told = start(client, root)
        assert client.delete(told["url"]).status_code == 200
        assert ended(client, told["id"])["state"] == "cancelled"
        again = client.delete(told["url"])

    assert again.json()["state"] == "cancelled"


@pytest.mark.parametrize(
    "job_id", ["0" * 16, "..%2f..%2fetc%2fpasswd", "x", "0" * 17, "0" * 5000, "%00", "..", "*"]
)
def test_there_are_no_other_jobs(client: TestClient, job_id: str) -> None:
    for answer in (client.get(f"/v1/jobs/{job_id}"), client.delete(f"/v1/jobs/{job_id}")):
        assert answer.status_code in (404, 405, 422)
        assert answer.headers["content-type"] == "application/problem+json"


EVENTS = {"Accept": "text/event-stream"}


def events(text: str) -> list[tuple[str, int, dict[str, Any]]]:
    """The events of a stream: name, id, data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        if "event" in fields:
            assert set(fields) == {"event", "id", "data"}
            found.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return found


def test_events_tell_of_progress_failures_and_the_end(client: TestClient, root: Path) -> None:
    told = start(client, root)
    answer = client.get(told["url"], headers=EVENTS)
    found = events(answer.text)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    names = [name for name, _, _ in found]
    assert names.count("failure") == 2
    assert names.count("job") >= 3
    assert names[-1] == "end"
    assert names.count("end") == 1
    seen = [data["done"] for name, _, data in found if name == "job"]
    assert seen == sorted(seen)
    ids = [number for _, number, _ in found]
    assert ids == sorted(ids)
    assert [data["path"] for name, _, data in found if name == "failure"] == [
        "/broken", "/broken too",
    ]  # fmt: skip
    assert TypeAdapter(JobAnswer).validate_python(found[-1][2]).state == "done"
    assert "failures" not in found[0][2] or names[0] == "failure"


def test_who_comes_again_misses_nothing_and_hears_nothing_twice(
    client: TestClient, root: Path
) -> None:
    told = start(client, root)
    whole = events(client.get(told["url"], headers=EVENTS).text)
    for cut in range(len(whole)):
        last = whole[cut][1]
        answer = client.get(told["url"], headers={**EVENTS, "Last-Event-ID": str(last)})
        if cut == len(whole) - 1:
            assert answer.status_code == 204  # it is over, and was told
            assert answer.content == b""
            continue
        failures = [event for event in whole if event[0] == "failure" and event[1] > last]
        rest = events(answer.text)
        assert [event for event in rest if event[0] == "failure"] == failures
        assert rest[-1] == whole[-1]


@pytest.mark.parametrize("last", ["x", "-1", "1e9", "٣", "9" * 5000, " "])
def test_a_broken_last_event_id_is_none(client: TestClient, root: Path, last: str) -> None:
    told = start(client, root)
    ended(client, told["id"])
    answer = client.get(told["url"], headers={**EVENTS, "Last-Event-ID": last.encode()})

    assert [name for name, _, _ in events(answer.text)] == ["failure", "failure", "end"]


@pytest.mark.parametrize(
    ("accept", "is_stream"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream;q=0.9, */*", True),
        ("application/json", False),
        ("*/*", False),
        ("text/event-stream;q=0", False),
        ("", False),
    ],
)
def test_events_are_sent_to_who_asks_for_them(
    client: TestClient, root: Path, accept: str, is_stream: bool
) -> None:
    told = start(client, root)
    ended(client, told["id"])
    answer = client.get(told["url"], headers={"Accept": accept})

    assert answer.headers["content-type"].startswith("text/event-stream") == is_stream
    assert answer.headers["vary"] == "Accept"


SERVER = """
import sys
from fastapi import FastAPI
from mmsearch.jobs import Jobs
from mmsearch.server.http import jobs as routes
from mmsearch.server.http import problems
from mmsearch.server.guard.runner import serve
routes.HEARTBEAT_S = 0.3
with Jobs(sys.argv[1], roots=[sys.argv[2]], command=(sys.executable, "-c", sys.argv[3])) as jobs:
    app = FastAPI()
    app.include_router(routes.create_router(lambda: jobs, allow_write=True))
    problems.install_handlers(app)
    serve(app, on_bound=lambda url: print(url, flush=True))
"""


def test_events_go_on_with_heartbeats_and_end_with_the_server(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path / "library"), str(root), FOREVER]
    with serving(command) as server:
        address = f"http://{server.name}"
        told = httpx.post(f"{address}/v1/index", json={"paths": [str(root)]}).json()
        with httpx.stream("GET", address + told["url"], headers=EVENTS, timeout=HANG_S) as left:
            next(left.iter_text())  # and leaves
        still = httpx.get(address + told["url"]).json()
        assert still["state"] == "running"
        with httpx.stream("GET", address + told["url"], headers=EVENTS, timeout=HANG_S) as stream:
            text, is_told_to_end = "", False
            for piece in stream.iter_text():  # ends in order, by the server's hand
                text += piece
                if not is_told_to_end and text.count(": still there\n\n") >= 2:
                    server.process.terminate()
                    is_told_to_end = True
        assert server.process.wait(HANG_S) == 0

    assert text.count(": still there\n\n") >= 2
    assert events(text)[-1][2]["state"] == "running"


def test_it_is_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    body = paths["/v1/index"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"paths", "prune", "kinds", "retry_failed"}
    assert "202" in paths["/v1/index"]["post"]["responses"]
    one = paths["/v1/jobs/{job_id}"]["get"]["responses"]
    assert set(one["200"]["content"]) == {"application/json", "text/event-stream"}
