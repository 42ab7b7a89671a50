"""Endpoints as people type them, with their hosts looked up: where to bind()."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, NamedTuple

from sockwatch.cli.command import UsageError
from sockwatch.cli.place import Place
from sockwatch.kernel.expendable import call
from sockwatch.kernel.services import known_services
from sockwatch.model import Protocol
from sockwatch.view.asked import (
    EXAMPLES,
    LOCALHOST,
    LOOPBACK,
    WILDCARDS,
    Asked,
    NoPortError,
    parse_asked,
)

OWN_PLACE: Final = Place(None)
MOST_ENDPOINTS: Final = 100
LOOKUP_LIMIT_S: Final = 3.0


class Endpoint(NamedTuple):
    """Where to bind. `also` is the address that the same words mean in IPv6; None if in none."""

    protocol: Protocol
    address: str
    port: int
    also: str | None = None


def parse_endpoints(
    words: Iterable[str],
    protocol: Protocol | None = None,
    *,
    v6only: bool = False,
    place: Place = OWN_PLACE,
) -> tuple[Endpoint, ...]:
    """The endpoints that the words ask for, each once; `protocol` is that of ``--udp``.

    With `v6only` a port alone means ``::``. `place` has the interfaces; names of hosts are looked
    up where we are. Raises UsageError with what is wrong and what to type.
    """
    try:
        asked = [one for word in words for one in parse_asked(word, known_services(), protocol)]
    except NoPortError as error:
        raise UsageError(str(error)) from None
    count = sum(one.last - one.first + 1 for one in asked)
    if count > MOST_ENDPOINTS:
        raise UsageError(
            f"these are {count} ports, and {MOST_ENDPOINTS} can be asked for at once; "
            "sockwatch ports FIRST-LAST lists those in use"
        )
    return tuple(
        dict.fromkeys(endpoint for one in asked for endpoint in _endpoints(one, v6only, place))
    )


def _endpoints(asked: Asked, v6only: bool, place: Place) -> Iterator[Endpoint]:
    address, also = asked.host, None
    if not address:
        address, also = (WILDCARDS[1], None) if v6only else WILDCARDS
    elif address == LOCALHOST:
        address, also = (LOOPBACK[1], None) if v6only else LOOPBACK
    else:
        address = _address(address, place)
    for port in range(asked.first, asked.last + 1):
        yield Endpoint(asked.protocol or "tcp", address, port, also)


def _address(host: str, place: Place) -> str:
    address, percent, zone = host.partition("%")
    if zone.isascii() and zone.isdigit():  # fe80::1%2 is by the index of an interface
        with suppress(OSError, OverflowError):
            name = place.run(lambda: socket.if_indextoname(int(zone)))
            host = f"{address}{percent}{name}"
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    found = call(lambda: _look_up(host), limit_s=LOOKUP_LIMIT_S)
    if found is None:
        raise UsageError(f"{host!r} was not found within {LOOKUP_LIMIT_S:g} s; type its address")
    if not found:
        raise UsageError(
            f"{host!r} is neither an address nor a host name that resolves; {EXAMPLES}"
        )
    return found


def _look_up(host: str) -> str:
    """The first address of the host; empty if it has none."""
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return ""
    return str(addresses[0][4][0])
