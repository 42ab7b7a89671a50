"""An endpoint as people type it: ``8080``, ``*:8080``, ``[::1]:8080``, ``localhost:http``."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from sockwatch.cli.command import UsageError

EXAMPLES = "type 8080, 127.0.0.1:8080, [::1]:8080 or localhost:http"
WILDCARD = "0.0.0.0"  # noqa: S104 - the address in question, nothing is bound


def parse_endpoint(text: str, protocol: str, *, v6only: bool = False) -> tuple[str, int]:
    """(address, port). Raises UsageError with what is wrong and what to type."""
    host, port = _split(text)
    number = _port(port, protocol)
    if host in ("", "*"):
        return ("::" if v6only else WILDCARD), number
    return _address(host), number


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise UsageError(f"{text!r} has no port; {EXAMPLES}")
        return host, rest[1:]
    host, _, port = text.rpartition(":")
    if ":" in host:
        # ::1:8080 could be an address without a port: ask for the brackets.
        raise UsageError(f"{text!r} needs brackets around its IPv6 address; {EXAMPLES}")
    return host, port


def _port(text: str, protocol: str) -> int:
    if text.isascii() and text.isdigit():
        if len(text) > 5 or int(text) > 65535:
            raise UsageError(f"port {text[:12]} is too large: type 0 to 65535")
        return int(text)
    try:
        return socket.getservbyname(text, protocol)
    except OSError:
        raise UsageError(
            f"{text!r} is neither a port nor a {protocol} service; {EXAMPLES}"
        ) from None


def _address(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UsageError(
            f"{host!r} is neither an address nor a host name that resolves; {EXAMPLES}"
        ) from None
    return str(addresses[0][4][0])
