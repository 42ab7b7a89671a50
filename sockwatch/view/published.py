"""Where the traffic of a port goes: to a container, or elsewhere by NAT rules."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.bind.again import request_without_flags
from sockwatch.bind.ending import servers
from sockwatch.bind.redirected import redirects_of, target_words, unreached
from sockwatch.model import Protocol, Publication, Snapshot
from sockwatch.units import endpoint
from sockwatch.view.lines import Line


def published_lines(protocol: Protocol, number: int, snapshot: Snapshot) -> Iterator[Line]:
    """``-> web2:80 (podman)`` for each place that the holders of the one port publish."""
    places = (
        _place(publication)
        for publication in snapshot.publications
        if (publication.protocol, snapshot.only_port) == (protocol, number)
    )
    yield from (Line("text", f"-> {place}") for place in dict.fromkeys(filter(None, places)))


def _place(publication: Publication) -> str | None:
    container, port = publication.container, publication.port
    if container is not None:
        where = container.short_name if port is None else f"{container.short_name}:{port}"
    elif publication.address is not None:
        where = endpoint(publication.address, port)
    elif port is not None:
        where = f"port {port}"
    else:
        return None
    return f"{where} ({publication.runtime})"


def redirect_warnings(protocol: Protocol, number: int, snapshot: Snapshot) -> Iterator[Line]:
    """That clients do not reach the port's server, unless that only stands for a container."""
    port = snapshot.port(protocol, number)
    server = None if port is None else next(iter(servers(port)), None)
    if port is None or server is None:
        return
    publishers = {publication.pid for publication in snapshot.publications}
    if any(holder.pid in publishers for holder in port.holders):
        return
    request = request_without_flags(server)
    if found := redirects_of(request, snapshot, snapshot.facts):
        who = unreached(request, found, snapshot.facts, "it")
        yield Line("warning", f"{who}: {target_words(found[0])}, by {found[0].rule}")
