"""Groups of sockets on client ports."""

from __future__ import annotations

import socket

from sockwatch.kernel.sock_diag.inet_diag import address_text
from sockwatch.model import ClientGroup, SocketGroup


def client_group(
    group: SocketGroup, peer: tuple[bytes, int] | None, span: tuple[int, int]
) -> ClientGroup:
    """The group as one of client ports, from the first port of `span` to the last.

    `peer` is where it leads: a packed address and a port; None where that was not counted.
    """
    family = socket.AF_INET if group.family == "ipv4" else socket.AF_INET6
    return ClientGroup(
        protocol="tcp",
        family=group.family,
        state=group.state,
        mini=group.mini,
        address=group.address,
        device=group.device,
        peer_address=peer and address_text(family, peer[0]),
        peer_port=peer and peer[1],
        uid=group.uid,
        count=group.count,
        with_fd=group.with_fd,
        lowest_port=span[0],
        highest_port=span[1],
        first_frees_in_s=group.first_frees_in_s,
        last_frees_in_s=group.last_frees_in_s,
        flags=group.flags,
        holders=group.holders,
    )
