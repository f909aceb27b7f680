"""The address of a server: its checked URL, and the proxy that leads there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from mmsearch.errors import ConfigError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The address of a server; `path` stands before `/v1`, empty or beginning with a slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL; the usual port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Tests if the server is on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def proxy(self) -> ServerAddress | None:
        """Finds the proxy that http_proxy, https_proxy and no_proxy name; none on this machine.

        Raises ConfigError for a proxy that is no URL.
        """
        if self.is_loopback:
            return None
        # Not at the top: the import takes time that a server on this machine does not need.
        from urllib.request import getproxies, proxy_bypass

        proxy = getproxies().get(self.scheme)
        if not proxy or proxy_bypass(self.host):
            return None
        return parse_address(
            proxy if "//" in proxy else f"http://{proxy}", what=f"{self.scheme}_proxy"
        )


def parse_address(url: str, *, what: str = "--server") -> ServerAddress:
    """Reads a URL as an address; `what` names it in the ConfigError for one that cannot be used."""
    example = "write one as http://127.0.0.1:8100"
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigError(f"{what} {url!r} is no URL: {example}") from exc
    if parts.scheme not in _PORTS or not host:
        raise ConfigError(f"{what} {url!r} is no URL of http or https: {example}")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{what}: a URL is no place for a secret: put it into MMSEARCH_TOKEN")
    if parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{what} {url!r} is more than an address: {example}")
    return ServerAddress(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))
