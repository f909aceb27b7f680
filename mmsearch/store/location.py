"""The location of a library: a folder, or a prefix in a bucket of an S3-compatible storage."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mmsearch.config import cache_dir, storage_settings
from mmsearch.errors import ConfigError, StoreError
from mmsearch.store.object_storage import CONNECT_S, RETRIES, RETRY_S, Objects

SCHEME = "s3://"
TABLES = "tables"
INDEX = "index"
DATA_REQUEST_S = 30
"""The limit for one request of Lance, which may transfer many megabytes."""
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/{1,2})(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """A location; `uri` is an absolute path, or `s3://BUCKET/PREFIX` without a final slash.

    The credentials of a storage come from the environment: see `mmsearch.config.storage_settings`.
    """

    uri: str

    @classmethod
    def parse(cls, written: str | os.PathLike[str] | Location) -> Location:
        """Parses what a user writes; raises ConfigError for a URI that names no library.

        Accepts `s3:/BUCKET/PREFIX` too: a path made of a URI loses a slash.
        """
        if isinstance(written, Location):
            return written
        text = os.fspath(written)
        uri = _URI.fullmatch(text)
        if uri is not None and uri[1].lower() == "s3":
            parts = [part for part in uri[3].split("/") if part]
            if len(parts) < 2 or {".", ".."} & set(parts):
                raise ConfigError(f"{text} names no library: write s3://BUCKET/PREFIX")
            return cls(SCHEME + "/".join(parts))
        if uri is not None and uri[2] == "//":
            raise ConfigError(f"{text}: a library lies in a folder or at s3://BUCKET/PREFIX")
        # Like the files in it: without `..`, and links are not followed.
        return cls(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100

    def __str__(self) -> str:
        return self.uri

    @property
    def is_remote(self) -> bool:
        """True for a storage that is reached by the network."""
        return self.uri.startswith(SCHEME)

    @property
    def folder(self) -> Path:
        """The folder of a local library; raises StoreError for a remote one, which has none."""
        if self.is_remote:
            raise StoreError(f"{self.uri} is no folder: name a library on this machine")
        return Path(self.uri)

    @property
    def objects(self) -> Objects:
        """The objects of a remote library."""
        bucket, _, prefix = self.uri.removeprefix(SCHEME).partition("/")
        return Objects(bucket, prefix)

    @property
    def tables_uri(self) -> str:
        """The URI of the tables, for LanceDB."""
        return f"{self.uri}/{TABLES}"

    def table_uri(self, name: str) -> str:
        """Returns the URI of a table, for Lance."""
        return f"{self.tables_uri}/{name}.lance"

    @property
    def storage_options(self) -> dict[str, str] | None:
        """The options of Lance to reach the tables; None for a folder. Every wait has a limit."""
        if not self.is_remote:
            return None
        settings = storage_settings()
        options = {
            "aws_region": settings.region,
            "aws_endpoint": settings.endpoint,
            "aws_access_key_id": settings.key_id,
            "aws_secret_access_key": settings.secret,
            "aws_session_token": settings.token,
        }
        return {key: value for key, value in options.items() if value} | {
            "allow_http": str(settings.allow_http).lower(),
            "connect_timeout": f"{CONNECT_S}s",
            "timeout": f"{DATA_REQUEST_S}s",
            "client_max_retries": str(RETRIES),
            "client_retry_timeout": str(RETRY_S),
        }

    @property
    def cache_folder(self) -> Path:
        """The folder of the arrays for searching, which can be deleted at any time.

        `index` in a local library, else a folder of the user's cache, named by URI and endpoint.
        """
        if not self.is_remote:
            return self.folder / INDEX
        identity = f"{storage_settings().endpoint} {self.uri}"
        name = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
        return cache_dir() / "libraries" / name

    def read(self, name: str) -> bytes | None:
        """Reads a small file or object; None if there is none. Raises StoreError, OSError."""
        if self.is_remote:
            stored = self.objects.get(name)
            return None if stored is None else stored.content
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, name: str) -> bool:
        """Returns True if there is a file or an object of this name. Raises StoreError."""
        if self.is_remote:
            return self.objects.get(name) is not None
        return (self.folder / name).is_file()

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file or object completely or not at all. Raises StoreError, OSError."""
        if self.is_remote:
            self.objects.put(name, content)
            return
        part = self.folder / format_part_name(name)
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self.folder / name)

    def delete(self, name: str) -> None:
        """Removes a file or an object if it exists. Raises StoreError, OSError."""
        if self.is_remote:
            self.objects.delete(name)
            return
        (self.folder / name).unlink(missing_ok=True)

    def measure_bytes(self) -> int:
        """Returns the size of the library at its location. Raises StoreError."""
        if self.is_remote:
            return self.objects.measure_bytes()
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):  # a writer replaces files meanwhile
                    total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
        return total


def format_part_name(name: str) -> str:
    """Returns the name of a file until it is complete."""
    return f".{name}.part"
