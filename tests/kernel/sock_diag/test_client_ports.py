"""Which rows are of client ports, by their numbers alone."""

from __future__ import annotations

import socket

import pytest

from sockwatch.kernel.sock_diag.client_ports import ClientPorts

RANGE = (32_768, 60_999)


def is_client(port: int, peer_port: int, *listening: int) -> bool:
    clients = ClientPorts(RANGE)
    for number in listening:
        clients.add_listener(socket.htons(number))
    return clients.is_client(socket.htons(port), socket.htons(peer_port))


@pytest.mark.parametrize(
    ("port", "peer_port", "listening", "expected"),
    [
        (32_768, 443, (), True),
        (60_999, 443, (), True),
        (32_767, 443, (), False),
        (61_000, 443, (), False),
        (40_000, 443, (40_000,), False),
        (443, 40_000, (443,), False),
        (443, 40_000, (), False),  # its server is dead
        (40_000, 40_001, (), False),  # either might be the server
        (40_000, 40_001, (40_001,), True),
        (20_000, 8080, (8080,), True),
        (8080, 40_000, (40_000,), False),  # a dead server, a peer on a port that listens too
        (8080, 40_000, (40_000, 40_000), False),  # for IPv4 and IPv6
        (20_000, 8080, (8080, 8080), True),
        (65_535, 1, (1,), True),
    ],
)
def test_rule(port: int, peer_port: int, listening: tuple[int, ...], expected: bool) -> None:
    assert is_client(port, peer_port, *listening) is expected
