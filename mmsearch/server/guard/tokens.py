"""The token that a server asks for: how it is read and compared, how guessing is slowed."""

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
"""After what time a wrong token is answered."""
GUESSES_AT_ONCE = 8
"""So many wrong tokens of one address are being answered, no further one is looked at."""
_MAKE_ONE = "make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def read_token(file: Path | None = None) -> str | None:
    """The token of a file, else of `MMSEARCH_TOKEN`; None where there is neither.

    Raises ConfigError for a file that cannot be read, that others can read, or a token that is
    short or could not be sent.
    """
    if file is None:
        written, where = server_token(), "MMSEARCH_TOKEN"
        if not written:
            return None
    else:
        written, where = _content(file.expanduser()), str(file)
    token = written.strip()
    if len(token) < MIN_CHARS:
        raise ConfigError(
            f"{where} holds a token of {len(token)} characters, and less than {MIN_CHARS} are too "
            f"easily guessed; {_MAKE_ONE}"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            f"{where} holds a token with characters that no header can carry; {_MAKE_ONE}"
        )
    return token


def _content(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"{file} can be read by others (mode {mode:o}): chmod 600 {file}")
            return stream.read(MAX_BYTES).decode()
    except FileNotFoundError as exc:
        raise ConfigError(f"{file}: there is no such file; {_MAKE_ONE}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file} cannot be read as a token: {exc}") from exc


class Token:
    """What every request must show."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()

    def is_shown_by(self, authorization: bytes) -> bool:
        """Whether an `Authorization` header has it; takes as long for any other."""
        scheme, _, given = authorization.partition(b" ")
        # Digests are of one length: nothing can be learned of the token's.
        is_right = hmac.compare_digest(hashlib.sha256(given.strip()).digest(), self._digest)
        return is_right and scheme.lower() == b"bearer"


class Guesses:
    """Slows down who tries tokens, and nobody else; for one event loop.

    A right token is never delayed. Each address has GUESSES_AT_ONCE answers a WRONG_S; what is
    kept of it ends with the last of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiting: Counter[str] = Counter()

    def are_too_many(self, address: str) -> bool:
        """Whether nothing more of this address is looked at for now."""
        return self._waiting[address] >= GUESSES_AT_ONCE if address in self._waiting else False

    async def wrong(self, address: str) -> None:
        """Take note of a wrong token, and let its answer wait."""
        self.count += 1
        self._waiting[address] += 1
        try:
            await asyncio.sleep(WRONG_S)
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
