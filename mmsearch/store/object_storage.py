"""Small objects of a library on an S3-compatible storage, read and written in one request."""

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
"""Seconds after which a storage that does not answer is given up."""

NO_BUCKET = "NoSuchBucket"
REFUSED = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidToken", "ExpiredToken",
           "AccessDenied", "403 Forbidden", "401 Unauthorized")  # fmt: skip
ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "redirect without LOCATION")
NO_CREDENTIALS = ("169.254.169.254", "CredentialsNotLoaded", "no providers in chain")
SILENT = ("error sending request", "HTTP error", "timed out", "imeout")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The content of an object, and the tag that identifies this content."""

    content: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects below `prefix` in `bucket`.

    Every method raises StoreError if the storage does not answer, refuses or has no such bucket,
    and MissingExtra without obstore.
    """

    bucket: str
    prefix: str

    def get(self, name: str) -> StoredObject | None:
        """Reads an object; None if there is none."""
        with self.translate_errors():
            try:
                result = _import_obstore().get(self._open_store(), name)
                return StoredObject(bytes(result.bytes()), str(result.meta["e_tag"]))
            except FileNotFoundError as exc:
                if NO_BUCKET in str(exc):
                    raise
        return None

    def put(self, name: str, content: bytes) -> None:
        """Writes an object, replacing an older one."""
        with self.translate_errors():
            _import_obstore().put(self._open_store(), name, content, use_multipart=False)

    def put_new(self, name: str, content: bytes) -> str | None:
        """Creates an object and returns its tag; None if it exists."""
        with self.translate_errors():
            try:
                result = _import_obstore().put(self._open_store(), name, content, mode="create")
            except _import_exceptions().AlreadyExistsError:
                return None
            return str(result["e_tag"])

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Replaces the object with this tag and returns the new tag; None if it has changed."""
        with self.translate_errors():
            try:
                result = _import_obstore().put(
                    self._open_store(), name, content, mode={"e_tag": tag}
                )
            except _import_exceptions().PreconditionError:
                return None
            return str(result["e_tag"])

    def delete(self, *names: str) -> None:
        """Removes objects; skips those that do not exist."""
        with self.translate_errors():
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    _import_obstore().delete(self._open_store(), name)

    def list_names(self, below: str | None = None) -> list[str]:
        """Lists the names of all objects, or of those below a name."""
        with self.translate_errors():
            return [entry["path"] for entry in self._list(below)]

    def measure_bytes(self) -> int:
        """Returns the total size of all objects."""
        with self.translate_errors():
            return sum(entry["size"] for entry in self._list())

    def _list(self, below: str | None = None) -> list[Any]:
        entries: list[Any] = _import_obstore().list(self._open_store(), below).collect()
        return entries

    def _open_store(self) -> S3Store:
        return _connect(self.bucket, self.prefix, storage_settings())

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turns errors of obstore and Lance into StoreError with advice."""
        try:
            yield
        except (_import_exceptions().BaseError, OSError, ValueError, RuntimeError) as exc:
            raise StoreError(self.explain_error(exc)) from exc

    def explain_error(self, error: Exception) -> str:
        """Returns the cause of an error of obstore or Lance, and what to do about it."""
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
def _connect(bucket: str, prefix: str, settings: StorageSettings) -> S3Store:
    from obstore.store import S3Store

    options = {
        "endpoint": settings.endpoint,
        "aws_endpoint_url_s3": settings.endpoint,  # else the environment's would come first
        "region": settings.region,
        "access_key_id": settings.key_id,
        "secret_access_key": settings.secret,
        "session_token": settings.token,
    }
    config: Any = {key: value for key, value in options.items() if value}
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


def _import_obstore() -> ModuleType:
    try:
        import obstore
    except ImportError as exc:
        raise MissingExtra("a library on S3 needs the extra: pip install 'mmsearch[s3]'") from exc
    module: ModuleType = obstore
    return module


def _import_exceptions() -> ModuleType:
    _import_obstore()
    from obstore import exceptions

    return exceptions
