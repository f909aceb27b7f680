"""The write lease of a library on a remote storage: an object with its owner and its end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from mmsearch.errors import LibraryLocked, StoreError
from mmsearch.store.location import Location

NAME = "write.lease"
LEASE_S = 60.0
"""A writer that was killed keeps others out for so long."""
RENEWALS = 4
"""Renewals within the duration of a lease: the storage may fail to answer some of them."""
SKEW_S = 5.0
"""The tolerated difference of the clocks of two machines: a lease is taken over so much later."""


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """The content of the lease object: owner and end (seconds since 1970, by the owner's clock).

    `token` is new each time that the lease is taken. A released lease ends at 0.
    """

    owner: str
    token: str
    expires_at_s: float

    def to_bytes(self) -> bytes:
        """Returns it as it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> LeaseClaim:
        """Parses the bytes of `to_bytes`; anything else is an expired claim of nobody."""
        try:
            fields = json.loads(content)
            return cls(str(fields["owner"]), str(fields["token"]), float(fields["expires_at_s"]))
        except (ValueError, KeyError, TypeError):
            return cls("nobody", "", 0.0)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A moment by two clocks: one stands still while the machine sleeps, one may be set."""

    steady_s: float
    wall_s: float

    @classmethod
    def now(cls) -> _Moment:
        return cls(time.monotonic(), time.time())


_NEVER = _Moment(0.0, 0.0)


class Lease:
    """A lock held by one writer at a time, among all machines, renewed by a thread.

    It is taken by creating the object, or by replacing an expired one, and renewed by replacing
    one's own: the storage lets only one of several writers do that.
    """

    def __init__(self, location: Location, *, lasts_s: float | None = None) -> None:
        self._location = location
        self._objects = location.objects
        self._lasts_s = LEASE_S if lasts_s is None else lasts_s
        self._owner = f"process {os.getpid()} on {socket.gethostname()}"
        self._token = ""
        self._tag = ""
        self._until = _NEVER
        self._ended = threading.Event()
        self._renewing: threading.Thread | None = None

    def acquire(self) -> None:
        """Takes the lease; raises LibraryLocked if another process holds it, and StoreError."""
        self._token = uuid.uuid4().hex
        tag = None
        while tag is None:  # after a try in which another process was quicker
            began = _Moment.now()
            stored = self._objects.get(NAME)
            if stored is None:
                tag = self._objects.put_new(NAME, self._encode_claim())
                continue
            claim = LeaseClaim.from_bytes(stored.content)
            if claim.token == self._token:  # it was written, though the answer was lost
                tag = stored.tag
            elif time.time() > claim.expires_at_s + SKEW_S or not claim.expires_at_s:
                tag = self._objects.replace(NAME, self._encode_claim(), stored.tag)
            else:
                until = datetime.fromtimestamp(claim.expires_at_s, UTC)
                raise LibraryLocked(
                    f"{self._location} is being written to by {claim.owner}, whose right to it is "
                    f"renewed while it lives and lasts until {until:%Y-%m-%d %H:%M:%S} UTC: wait "
                    f"until it is done"
                )
        self._set_held(tag, began)
        _held[self._location.uri] = self
        self._ended.clear()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def release(self) -> None:
        """Releases the lease; one that is not released expires."""
        self._ended.set()
        if self._renewing is not None:
            self._renewing.join()
            self._renewing = None
        if _held.get(self._location.uri) is self:
            del _held[self._location.uri]
        released = LeaseClaim(self._owner, self._token, 0.0)
        with contextlib.suppress(StoreError):  # it expires by itself
            self._objects.replace(NAME, released.to_bytes(), self._tag)
        self._until = _NEVER

    def check(self) -> None:
        """Raises LibraryLocked if the lease was lost: the machine slept, or the storage failed."""
        now = _Moment.now()
        if now.steady_s >= self._until.steady_s or now.wall_s >= self._until.wall_s:
            raise LibraryLocked(
                f"{self._location}: the right to write could not be renewed in time and may be "
                f"another's now; what was finished is kept: index again"
            )

    def _encode_claim(self) -> bytes:
        return LeaseClaim(self._owner, self._token, time.time() + self._lasts_s).to_bytes()

    def _set_held(self, tag: str, began: _Moment) -> None:
        self._tag = tag
        self._until = _Moment(began.steady_s + self._lasts_s, began.wall_s + self._lasts_s)

    def _renew(self) -> None:
        while not self._ended.wait(self._lasts_s / RENEWALS):
            began = _Moment.now()
            try:
                tag = self._objects.replace(NAME, self._encode_claim(), self._tag)
                if tag is None:
                    tag = self._read_own_tag()
                if tag is None:
                    self._until = _NEVER  # taken over
                    return
            except StoreError:
                continue  # the lease has not ended: there will be another try
            self._set_held(tag, began)

    def _read_own_tag(self) -> str | None:
        """Returns the tag of the object if it is this lease's: an answer was lost."""
        stored = self._objects.get(NAME)
        is_own = stored is not None and LeaseClaim.from_bytes(stored.content).token == self._token
        return stored.tag if stored is not None and is_own else None


_held: dict[str, Lease] = {}


def find_held_lease(location: Location) -> Lease | None:
    """Returns the lease that this process holds on a library; None if it holds none."""
    return _held.get(location.uri)
