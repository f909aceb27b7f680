"""Host names that a server answers to, against pages that DNS leads here (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from mmsearch.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
ANY_ADDRESS = "<address>"
"""Stands for all IP addresses: no DNS leads from one to another."""
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9._-]{0,252}))(?::([0-9]{1,5}))?")
_DEFAULT_PORT = 80


def list_allowed_hosts(
    host: str, port: int | None = None, extra: Iterable[str] = ()
) -> frozenset[str]:
    """Lists the values of `Host` that a server answers to that is bound to an address.

    Those are the names of this machine for itself, the address, and `extra`: names with a port, or
    without for any. Where `port` is None, any port will do. A server on all addresses (0.0.0.0, ::)
    may be asked for by any address. Raises ConfigError for names that are none.
    """
    names = {_normalize(name) for name in extra}
    own = {*LOOPBACK, _bracket(host)}
    if is_wildcard(host):
        names.add(ANY_ADDRESS)
    return frozenset(names | {name if port is None else f"{name}:{port}" for name in own})


def is_allowed_host(host: str, allowed: frozenset[str]) -> bool:
    """Tests if the value of a `Host` header, in lower case, is among those of `allowed_hosts`."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name, port = match[1], match[2]
    if name in allowed or f"{name}:{port or _DEFAULT_PORT}" in allowed:
        return True
    return ANY_ADDRESS in allowed and _parse_address(name) is not None


def is_loopback(host: str) -> bool:
    """Tests if an address, or `localhost`, can be reached from this machine alone."""
    address = _parse_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_wildcard(host: str) -> bool:
    """Tests if a server that is bound to an address listens on all addresses of the machine."""
    address = _parse_address(host)
    return address is not None and address.is_unspecified


def format_url(host: str, port: int) -> str:
    """Formats the URL by which this machine reaches a server that is bound to an address."""
    if is_wildcard(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://{_bracket(host)}:{port}"


def _parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()


def _normalize(name: str) -> str:
    host = _bracket(name) if name.count(":") > 1 else name.lower()
    if _HOST.fullmatch(host) is None:
        raise ConfigError(
            f"{name!r} is no name of a host: write search.example.org, or with a port, "
            f"search.example.org:8765"
        )
    return host
