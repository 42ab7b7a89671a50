"""The table as /proc/net shows it, against that of sock_diag; test_states.py has every state."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sockwatch
from sockwatch.kernel.proc_net import ProcNetRows
from sockwatch.model import Family, KernelError, Protocol
from tests.support.privilege import needs_root
from tests.support.proc_net import assert_shows_the_same
from tests.support.time_waits import make_time_waits
from tests.support.user import as_user

PORT = 8080
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
HEAD = b"  sl  local_address rem_address   st\n"
ROW = (
    b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
    b"  1000        0 77 1 0000000000000000 100 0 0 10 0\n"
)


def assert_alike(protocol: Protocol) -> None:
    port = sockwatch.take_snapshot(PORT).port(protocol, PORT)
    assert port is not None
    assert_shows_the_same(port)


@pytest.mark.parametrize("kind", [TCP, UDP])
@pytest.mark.parametrize("bind_to", ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.2"])
def test_addresses_and_peers(netns: None, kind: int, bind_to: str) -> None:
    family = socket.AF_INET6 if ":" in bind_to else socket.AF_INET
    via = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(bind_to, bind_to)
    with socket.socket(family, kind) as server, ExitStack() as stack:
        server.bind((bind_to, PORT))
        if kind == TCP:
            server.listen(3)
            for _ in range(2):
                stack.enter_context(socket.create_connection((via, PORT)))
        else:
            client = stack.enter_context(socket.socket(family, kind))
            client.connect((bind_to if family == socket.AF_INET6 else via, PORT))
            client.send(b"unread")
        assert_alike("tcp" if kind == TCP else "udp")


@needs_root
def test_sockets_of_several_users(netns: None) -> None:
    with ExitStack() as stack:
        for uid in (0, 1234, 4_000_000_000):
            with as_user(uid):
                sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((f"127.0.0.{uid % 7 + 1}", PORT))
            sock.listen()
        assert_alike("tcp")


def test_a_connected_udp_socket(netns: None) -> None:
    with socket.socket(type=UDP) as sock:
        sock.bind(("127.0.0.1", PORT))
        sock.connect(("127.0.0.1", PORT + 1))
        assert_alike("udp")


def test_thousands_of_time_waits_are_groups(netns: None) -> None:
    with ExitStack() as stack:
        (number,) = make_time_waits(2000, 1, stack, keep_open=3)
        port = sockwatch.take_snapshot(number).port("tcp", number)
        assert port is not None
        assert_shows_the_same(port)


def test_a_socket_that_is_shown_twice() -> None:
    rows = ProcNetRows("tcp")
    rows.feed("ipv4", HEAD + ROW + ROW)
    assert len(rows.owners({}).sockets[PORT]) == 1


def test_a_line_that_was_cut() -> None:
    rows = ProcNetRows("tcp")
    rows.feed("ipv4", HEAD + ROW + ROW[:40])
    assert len(rows.owners({}).sockets[PORT]) == 1


@given(st.one_of(st.binary(max_size=300), st.integers(0, len(ROW)).map(lambda n: ROW[:n])))
@example(ROW.replace(b"0100007F", b"-100007F"))
@example(ROW.replace(b"0100007F", b""))
@example(ROW.replace(b" 0A ", b" FFFFFFFFFFFF "))
def test_whatever_a_kernel_writes(line: bytes) -> None:
    families: tuple[Family, ...] = ("ipv4", "ipv6")
    for family in families:
        rows = ProcNetRows("tcp")
        try:
            rows.feed(family, HEAD + line + b"\n")
        except KernelError:
            continue
        sockets = [sock for some in rows.owners({}).sockets.values() for sock in some]
        assert all(0 < sock.port < 1 << 16 for sock in sockets)
