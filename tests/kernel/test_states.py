"""Every state a socket can be in, made for real and found in a snapshot."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sockwatch
from sockwatch.model import Port
from tests.support.proc_net import assert_shows_the_same
from tests.support.tools import need
from tests.support.tun_peer import FIN, KERNEL, TunNetwork, tun_network

PORT = 8080
PEER_PORT = 50000


@pytest.fixture
def network(netns: None) -> Iterator[TunNetwork]:
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun may not be opened")
    need("ip")
    with tun_network() as network:
        yield network


@pytest.fixture
def listener(network: TunNetwork) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((KERNEL, PORT))
        sock.listen(7)
        sock.settimeout(5)
        yield sock


def look(number: int = PORT) -> Port:
    port = sockwatch.take_snapshot(number).port("tcp", number)
    whole = sockwatch.take_snapshot(fold=False).port("tcp", number)
    assert port is not None
    assert whole is not None
    assert whole.states == port.states
    assert_shows_the_same(port)
    return port


def established(network: TunNetwork, listener: socket.socket) -> Port:
    network.connect(PORT, PEER_PORT)
    with listener.accept()[0]:
        return look()


def unaccepted(network: TunNetwork, listener: socket.socket) -> Port:
    network.connect(PORT, PEER_PORT)
    return look()


def half_open(network: TunNetwork, listener: socket.socket) -> Port:
    network.open(PORT, PEER_PORT)
    network.receive(PEER_PORT)
    return look()


def syn_recv(network: TunNetwork, listener: socket.socket) -> Port:
    # TFO_SERVER_ENABLE | TFO_SERVER_COOKIE_NOT_REQD
    Path("/proc/sys/net/ipv4/tcp_fastopen").write_text(str(0x2 | 0x200))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    network.open(PORT, PEER_PORT, b"early data")
    with listener.accept()[0]:
        return look()


def syn_sent(network: TunNetwork, listener: socket.socket) -> Port:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((KERNEL, PORT + 1))
        sock.setblocking(False)
        sock.connect_ex(("10.9.0.3", 80))
        return look(PORT + 1)


def close_wait(network: TunNetwork, listener: socket.socket) -> Port:
    peer = network.connect(PORT, PEER_PORT)
    with listener.accept()[0] as sock:
        peer.finish()
        assert sock.recv(1) == b""
        return look()


def last_ack(network: TunNetwork, listener: socket.socket) -> Port:
    peer = network.connect(PORT, PEER_PORT)
    sock = listener.accept()[0]
    peer.finish()
    assert sock.recv(1) == b""
    sock.close()
    return look()


def fin_wait1(network: TunNetwork, listener: socket.socket) -> Port:
    network.connect(PORT, PEER_PORT)
    listener.accept()[0].close()
    return look()


def fin_wait2(network: TunNetwork, listener: socket.socket) -> Port:
    peer = network.connect(PORT, PEER_PORT)
    with listener.accept()[0] as sock:
        sock.shutdown(socket.SHUT_WR)
        peer.acknowledge_next(FIN)
        return look()


def fin_wait2_mini(network: TunNetwork, listener: socket.socket) -> Port:
    peer = network.connect(PORT, PEER_PORT)
    listener.accept()[0].close()
    peer.acknowledge_next(FIN)
    return look()


def closing(network: TunNetwork, listener: socket.socket) -> Port:
    peer = network.connect(PORT, PEER_PORT)
    with listener.accept()[0] as sock:
        sock.shutdown(socket.SHUT_WR)
        network.receive(PEER_PORT)
        peer.finish()
        assert sock.recv(1) == b""
        return look()


def time_wait(network: TunNetwork, listener: socket.socket) -> Port:
    peer = network.connect(PORT, PEER_PORT)
    listener.accept()[0].close()
    peer.acknowledge_next(FIN)
    peer.finish()
    return look()


@pytest.mark.parametrize(
    ("make", "state", "mini", "orphans", "unaccepted_count"),
    [
        (established, "ESTABLISHED", False, 0, 0),
        (unaccepted, "ESTABLISHED", False, 0, 1),
        (syn_recv, "SYN_RECV", False, 0, 0),
        (syn_sent, "SYN_SENT", False, 0, 0),
        (close_wait, "CLOSE_WAIT", False, 0, 0),
        (last_ack, "LAST_ACK", False, 1, 0),
        (fin_wait1, "FIN_WAIT1", False, 1, 0),
        (fin_wait2, "FIN_WAIT2", False, 0, 0),
        (fin_wait2_mini, "FIN_WAIT2", True, 0, 0),
        (closing, "CLOSING", False, 0, 0),
        (time_wait, "TIME_WAIT", True, 0, 0),
    ],
)
def test_a_connection_in_each_state(
    network: TunNetwork,
    listener: socket.socket,
    make: Callable[[TunNetwork, socket.socket], Port],
    state: str,
    mini: bool,
    orphans: int,
    unaccepted_count: int,
) -> None:
    port = make(network, listener)
    assert port.states.get(state) == 1
    (group,) = port.groups
    assert (group.state, group.mini, group.count) == (state, mini, 1)
    assert (group.uid is None) == mini
    assert (port.orphans, port.unaccepted) == (orphans, unaccepted_count)
    assert port.connections is not None
    (sock,) = port.connections
    assert (sock.state, sock.mini, sock.address) == (state, mini, KERNEL)
    assert (sock.frees_in_s is not None) == mini
    assert bool(sock.holders) == (sock.inode != 0)


def test_a_half_open_request_owns_nothing(network: TunNetwork, listener: socket.socket) -> None:
    port = half_open(network, listener)
    assert port.half_open == 1
    assert port.states == {"LISTEN": 1}
    assert port.groups == ()


def test_the_clock_of_a_time_wait(network: TunNetwork, listener: socket.socket) -> None:
    clock = time_wait(network, listener).time_wait
    assert clock.count == 1
    assert clock.first_frees_in_s == clock.last_frees_in_s
    assert clock.last_frees_in_s is not None
    assert 50 < clock.last_frees_in_s <= 60


def test_the_accept_queue(network: TunNetwork, listener: socket.socket) -> None:
    for peer_port in range(PEER_PORT, PEER_PORT + 3):
        network.connect(PORT, peer_port)
    (found,) = look().listeners
    assert (found.queue, found.backlog) == (3, 7)
