"""Access tokens of a server: reads and compares them, and slows down guessing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import stat
from collections import Counter
from pathlib import Path

from mmsearch.config import server_token
from mmsearch.errors import ConfigError

MIN_CHARS = 16
MAX_BYTES = 4096
WRONG_S = 1.0
"""The time after which a wrong token is answered."""
GUESSES_AT_ONCE = 8
"""Wrong tokens of one address that may wait for their answers; no more are looked at."""
_HOW_TO_MAKE = "make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def read_token(file: Path | None = None) -> str | None:
    """Returns the token of a file, else of `MMSEARCH_TOKEN`; None where there is neither.

    Raises ConfigError for a file that cannot be read, that others can read, or a token that is
    short or could not be sent.
    """
    if file is None:
        content, source = server_token(), "MMSEARCH_TOKEN"
        if not content:
            return None
    else:
        content, source = _read_private(file.expanduser()), str(file)
    token = content.strip()
    if len(token) < MIN_CHARS:
        raise ConfigError(
            f"{source} holds a token of {len(token)} characters, and less than {MIN_CHARS} are too "
            f"easily guessed; {_HOW_TO_MAKE}"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            f"{source} holds a token with characters that no header can carry; {_HOW_TO_MAKE}"
        )
    return token


def _read_private(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"{file} can be read by others (mode {mode:o}): chmod 600 {file}")
            return stream.read(MAX_BYTES).decode()
    except FileNotFoundError as exc:
        raise ConfigError(f"{file}: there is no such file; {_HOW_TO_MAKE}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file} cannot be read as a token: {exc}") from exc


class AccessToken:
    """The token that every request must carry."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()

    def matches(self, authorization: bytes) -> bool:
        """Tests if an `Authorization` header has the token; takes as long for any other."""
        scheme, _, credentials = authorization.partition(b" ")
        # Digests are of one length: nothing can be learned of the token's.
        is_right = hmac.compare_digest(hashlib.sha256(credentials.strip()).digest(), self._digest)
        return is_right and scheme.lower() == b"bearer"


class GuessLimiter:
    """Slows down those who try tokens, and nobody else; for one event loop.

    A right token is never delayed. Each address has GUESSES_AT_ONCE answers a WRONG_S.
    """

    def __init__(self) -> None:
        self.wrong_count = 0
        self._waiting: Counter[str] = Counter()

    def is_blocked(self, address: str) -> bool:
        """Tests if no further token of this address is looked at for now."""
        return self._waiting[address] >= GUESSES_AT_ONCE  # a Counter adds no key when it is read

    async def delay_answer(self, address: str) -> None:
        """Counts a wrong token, and delays its answer."""
        self.wrong_count += 1
        self._waiting[address] += 1
        try:
            await asyncio.sleep(WRONG_S)
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
