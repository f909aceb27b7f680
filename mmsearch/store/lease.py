"""The right to write to a library on a storage: an object that says who has it and until when."""

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
"""How often a lease is renewed while it lasts: the storage may fail to answer some of them."""
SKEW_S = 5.0
"""So far may the clocks of two machines be apart: a lease is taken over so much later."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who may write, and until when (seconds since 1970, by the clock of the owner).

    `token` differs each time that the right is taken. One that was given back ended at once.
    """

    owner: str
    token: str
    expires_at_s: float

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Claim:
        """What `to_bytes` wrote; what is no claim is one of nobody that has ended."""
        try:
            told = json.loads(content)
            return cls(str(told["owner"]), str(told["token"]), float(told["expires_at_s"]))
        except (ValueError, KeyError, TypeError):
            return cls("nobody", "", 0.0)


@dataclass(frozen=True, slots=True)
class _Clocks:
    """A moment by two clocks: one stands still while the machine sleeps, one may be set."""

    steady_s: float
    wall_s: float

    @classmethod
    def now(cls) -> _Clocks:
        return cls(time.monotonic(), time.time())


class Lease:
    """Held by one writer at a time, among all machines; renewed by a thread while it is held.

    It is taken by writing an object that is not there, or in the place of one that has ended, and
    is renewed in the place of one's own: the storage lets only one of several do that.
    """

    def __init__(self, location: Location, *, lasts_s: float | None = None) -> None:
        self._location = location
        self._objects = location.objects
        self._lasts_s = LEASE_S if lasts_s is None else lasts_s
        self._owner = f"process {os.getpid()} on {socket.gethostname()}"
        self._token = ""
        self._tag = ""
        self._until = _Clocks(0.0, 0.0)
        self._ended = threading.Event()
        self._renewing: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the right; raises LibraryLocked where another has it, and StoreError."""
        self._token = uuid.uuid4().hex
        while True:
            began = _Clocks.now()
            found = self._objects.get(NAME)
            if found is None:
                tag = self._objects.put_new(NAME, self._claim())
            else:
                claim = Claim.from_bytes(found.content)
                if claim.token == self._token:  # it was written, though the answer was lost
                    tag = found.tag
                elif time.time() > claim.expires_at_s + SKEW_S or not claim.expires_at_s:
                    tag = self._objects.replace(NAME, self._claim(), found.tag)
                else:
                    raise LibraryLocked(self._taken(claim))
            if tag is not None:
                self._hold(tag, began)
                break  # else another was quicker: see who
        _held[self._location.uri] = self
        self._ended.clear()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def release(self) -> None:
        """Give the right back. What is not given back ends by itself."""
        self._ended.set()
        if self._renewing is not None:
            self._renewing.join()
            self._renewing = None
        if _held.get(self._location.uri) is self:
            del _held[self._location.uri]
        over = Claim(self._owner, self._token, 0.0)
        with contextlib.suppress(StoreError):  # where that fails it ends by itself
            self._objects.replace(NAME, over.to_bytes(), self._tag)
        self._until = _Clocks(0.0, 0.0)

    def check(self) -> None:
        """Raise LibraryLocked where the right was lost: the machine slept, or the storage did."""
        now = _Clocks.now()
        if now.steady_s >= self._until.steady_s or now.wall_s >= self._until.wall_s:
            raise LibraryLocked(
                f"{self._location}: the right to write could not be renewed in time and may be "
                f"another's now; what was finished is kept: index again"
            )

    def _claim(self) -> bytes:
        return Claim(self._owner, self._token, time.time() + self._lasts_s).to_bytes()

    def _hold(self, tag: str, began: _Clocks) -> None:
        self._tag = tag
        self._until = _Clocks(began.steady_s + self._lasts_s, began.wall_s + self._lasts_s)

    def _renew(self) -> None:
        while not self._ended.wait(self._lasts_s / RENEWALS):
            began = _Clocks.now()
            try:
                tag = self._objects.replace(NAME, self._claim(), self._tag)
                if tag is None:
                    tag = self._own_tag()
                if tag is None:
                    self._until = _Clocks(0.0, 0.0)  # taken over
                    return
            except StoreError:
                continue  # it lasts yet: there will be another try
            self._hold(tag, began)

    def _own_tag(self) -> str | None:
        """The tag of the object where it says that this is the owner: an answer was lost."""
        found = self._objects.get(NAME)
        is_own = found is not None and Claim.from_bytes(found.content).token == self._token
        return found.tag if found is not None and is_own else None

    def _taken(self, claim: Claim) -> str:
        until = datetime.fromtimestamp(claim.expires_at_s, UTC)
        return (
            f"{self._location} is being written to by {claim.owner}, whose right to it is renewed "
            f"while it lives and lasts until {until:%Y-%m-%d %H:%M:%S} UTC: wait until it is done"
        )


_held: dict[str, Lease] = {}


def held(location: Location) -> Lease | None:
    """The lease that this process has on a library; None where it has none."""
    return _held.get(location.uri)
