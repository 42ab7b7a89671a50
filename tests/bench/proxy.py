"""A proxy: as many connections in, on one port, as out, to several destinations elsewhere."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from tests.bench.crowds import listener, open_many_files, plain_client, shares
from tests.support.child import idle_child
from tests.support.netns import enter_new_netns, link_up, setns

PROXY, PROXY_PORT = "10.0.0.1", 443
# Each is a destination of its own, and the address of as many clients: none needs all ports.
PEERS = tuple(f"10.0.0.{last}" for last in range(2, 7))
PEER_PORT = 8080
BATCH = 1_000  # fewer than a listener's backlog


@contextmanager
def proxy(connections: int) -> Iterator[None]:
    """So many in and so many out; their other ends are in a network namespace of their own."""
    with ExitStack() as stack:
        peers = stack.enter_context(idle_child(enter_new_netns))
        _link(peers)
        server = stack.enter_context(listener(PROXY, PROXY_PORT))
        for place, numbers in enumerate(shares(connections)):
            share = partial(_share, server, peers, PEER_PORT + place, numbers)
            stack.enter_context(idle_child(share))
        yield


def _link(peers: int) -> None:
    """Between this network namespace and that of the process."""
    with open(f"/proc/{peers}/ns/net") as other, open("/proc/thread-self/ns/net") as own:
        _ip(f"link add v0 type veth peer name v1 netns {peers}")
        _ip(f"addr add {PROXY}/24 dev v0")
        link_up("v0")
        setns(other.fileno())
        try:
            for address in PEERS:
                _ip(f"addr add {address}/24 dev v1")
            link_up("v1")
        finally:
            setns(own.fileno())


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def _share(server: socket.socket, peers: int, port: int, numbers: Sequence[int]) -> None:
    """The connections of these numbers, in and out, and a process with their other ends."""
    open_many_files()
    here, there = socket.socketpair()
    if os.fork() == 0:
        try:
            here.close()
            server.close()
            _be_peers(there, peers, port, numbers)
            there.recv(1)  # until the proxy has gone
        finally:
            os._exit(0)
    there.close()
    _expect(here)
    for batch in _batches(numbers):
        for number in batch:
            client = plain_client(PROXY)
            client.connect((PEERS[number % len(PEERS)], port))
            client.detach()
        _say(here)
        _expect(here)
    for batch in _batches(numbers):
        _expect(here)
        for _ in batch:
            server.accept()[0].detach()
        _say(here)
    here.detach()


def _be_peers(proxy_end: socket.socket, peers: int, port: int, numbers: Sequence[int]) -> None:
    """Accept what comes from the proxy, then connect to it."""
    with open(f"/proc/{peers}/ns/net") as netns:
        setns(netns.fileno())
    servers = [listener(address, port) for address in PEERS]
    _say(proxy_end)
    for batch in _batches(numbers):
        _expect(proxy_end)
        for number in batch:
            servers[number % len(servers)].accept()[0].detach()
        _say(proxy_end)
    for batch in _batches(numbers):
        for number in batch:
            client = plain_client(PEERS[number % len(PEERS)])
            client.connect((PROXY, PROXY_PORT))
            client.detach()
        _say(proxy_end)
        _expect(proxy_end)
    for server in servers:
        server.detach()


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(numbers), BATCH):
        yield numbers[first : first + BATCH]


def _say(other: socket.socket) -> None:
    other.send(b"1")


def _expect(other: socket.socket) -> None:
    if other.recv(1) != b"1":
        raise RuntimeError("the other end of the connections has gone")
