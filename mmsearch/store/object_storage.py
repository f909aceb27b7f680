"""Small objects of a library on an S3-compatible storage, each read and written whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmsearch.config import StorageSettings, storage_settings
from mmsearch.errors import MissingExtra, StoreError

if TYPE_CHECKING:
    from obstore.store import S3Store

CONNECT_S = 3
REQUEST_S = 5
RETRIES = 2
RETRY_S = 6
"""A storage that does not answer is given up on after about so many seconds."""

NO_BUCKET = "NoSuchBucket"
REFUSED = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidToken", "ExpiredToken",
           "AccessDenied", "403 Forbidden", "401 Unauthorized")  # fmt: skip
ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "redirect without LOCATION")
NO_CREDENTIALS = ("169.254.169.254", "CredentialsNotLoaded", "no providers in chain")
SILENT = ("error sending request", "HTTP error", "timed out", "imeout")


@dataclass(frozen=True, slots=True)
class Tagged:
    """What an object holds, and the tag that this content has and no other."""

    content: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects below `prefix` in `bucket`.

    Every method raises StoreError where the storage does not answer, refuses or has no such
    bucket, and MissingExtra without obstore.
    """

    bucket: str
    prefix: str

    def get(self, name: str) -> Tagged | None:
        """An object; None where there is none."""
        with self.reaching():
            try:
                found = _obstore().get(self._store(), name)
                return Tagged(bytes(found.bytes()), str(found.meta["e_tag"]))
            except FileNotFoundError as exc:
                if NO_BUCKET in str(exc):
                    raise
        return None

    def put(self, name: str, content: bytes) -> None:
        """Write an object, over an older one where there is one."""
        with self.reaching():
            _obstore().put(self._store(), name, content, use_multipart=False)

    def put_new(self, name: str, content: bytes) -> str | None:
        """Write an object that is not there, and return its tag; None where it is there."""
        with self.reaching():
            try:
                put = _obstore().put(self._store(), name, content, mode="create")
            except _exceptions().AlreadyExistsError:
                return None
            return str(put["e_tag"])

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Write over what has this tag, and return the new one; None where it has changed."""
        with self.reaching():
            try:
                put = _obstore().put(self._store(), name, content, mode={"e_tag": tag})
            except _exceptions().PreconditionError:
                return None
            return str(put["e_tag"])

    def delete(self, *names: str) -> None:
        """Remove objects; those that are not there are passed over."""
        with self.reaching():
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    _obstore().delete(self._store(), name)

    def names(self, below: str | None = None) -> list[str]:
        """The names of all objects, or of those below a name."""
        with self.reaching():
            return [found["path"] for found in _obstore().list(self._store(), below).collect()]

    def size_bytes(self) -> int:
        """What all objects take together."""
        with self.reaching():
            return sum(found["size"] for found in _obstore().list(self._store()).collect())

    def _store(self) -> S3Store:
        return _opened(self.bucket, self.prefix, storage_settings())

    @contextlib.contextmanager
    def reaching(self) -> Iterator[None]:
        """Say of whatever goes wrong in here what it was and what to do about it."""
        try:
            yield
        except (_exceptions().BaseError, OSError, ValueError, RuntimeError) as exc:
            raise StoreError(self.trouble(exc)) from exc

    def trouble(self, error: Exception) -> str:
        """What an error of obstore or of Lance means, and what to do about it."""
        place = f"s3://{self.bucket}/{self.prefix}"
        endpoint = storage_settings().endpoint or "AWS"
        text = str(error)
        if NO_BUCKET in text:
            return f"{place}: there is no bucket {self.bucket!r} at {endpoint}: make it first"
        if any(word in text for word in NO_CREDENTIALS):
            return f"{place}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        if refused := next((word for word in REFUSED if word in text), ""):
            return (
                f"{place}: {endpoint} refuses these credentials ({refused}): check "
                f"AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
            )
        if any(word in text for word in ELSEWHERE):
            return f"{place}: the bucket is in another region: set AWS_REGION"
        if any(word in text for word in SILENT):
            return (
                f"{place}: {endpoint} does not answer: see whether it can be reached, and that "
                f"AWS_ENDPOINT_URL is right"
            )
        return f"{place} cannot be used: {text.partition(chr(10))[0]}"


@lru_cache(maxsize=16)
def _opened(bucket: str, prefix: str, settings: StorageSettings) -> S3Store:
    from obstore.store import S3Store

    given = {
        "endpoint": settings.endpoint,
        "aws_endpoint_url_s3": settings.endpoint,  # else the environment's would come first
        "region": settings.region,
        "access_key_id": settings.key_id,
        "secret_access_key": settings.secret,
        "session_token": settings.token,
    }
    config: Any = {key: value for key, value in given.items() if value}
    return S3Store(
        bucket,
        prefix=prefix,
        config=config | {"disable_bulk_delete": True},  # not every storage deletes in bulk
        client_options={
            "allow_http": settings.allow_http,
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "timeout": timedelta(seconds=REQUEST_S),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
    )


def _obstore() -> ModuleType:
    try:
        import obstore
    except ImportError as exc:
        raise MissingExtra("a library on S3 needs the extra: pip install 'mmsearch[s3]'") from exc
    found: ModuleType = obstore
    return found


def _exceptions() -> ModuleType:
    _obstore()
    from obstore import exceptions

    return exceptions
