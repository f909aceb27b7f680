"""An S3 server on loopback, in a process of its own: moto, with signatures checked."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUCKET = "libraries"
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where it is, and who may use it. It has one bucket, `BUCKET`."""

    url: str
    key_id: str
    secret: str

    def environment(self, **others: str) -> dict[str, str]:
        """The variables with which a program uses this server; `others` take their places."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": REGION,
            "NO_PROXY": "*",
            "no_proxy": "*",
        } | others


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with an empty bucket; it also ends when this process does."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, "the server did not start"
            yield S3Server(**json.loads(line))
        finally:
            process.stdin.close()  # what it waits for
            process.wait(10)


class _OneAtATime:
    """Answers one request after the other, as if each were a single step.

    moto looks whether a condition holds and then writes; two threads of it could both find that it
    does. S3 lets one of them win.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if not environ.get("wsgi.input_terminated"):  # else it ends by itself: it comes in chunks
            sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(sent)
        with self._turn:
            return [b"".join(self._application(environ, start_response))]


def _user() -> tuple[str, str]:
    """Make the bucket and a user who may do everything with it; returns key id and secret."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends

    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(BUCKET, REGION)
    users = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    users.create_user(REGION, "writer")
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    users.put_user_policy("writer", "everything", json.dumps(policy))
    key = users.create_access_key("writer")
    return key.access_key_id, key.secret_access_key


def _serve() -> None:
    from moto import settings
    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as a real server keeps them

        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # the base's
            del type, message, args

    user = _user()
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0  # from here on, who asks has to sign
    application = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = {"url": f"http://127.0.0.1:{server.server_port}", "key_id": user[0], "secret": user[1]}
    print(json.dumps(here), flush=True)
    sys.stdin.read()  # until the process that started this one lets go, in whatever way


if __name__ == "__main__":
    _serve()
