"""Whose port is it: a client's or a server's? On real sockets, in a namespace of the test's own."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Socket, SocketGroup
from sockwatch.view.code_lines import code_line
from tests.support.child import become, in_child
from tests.support.netns import set_ipv4_sysctl
from tests.support.privilege import REAL_ROOT

ADDR, SHARE = socket.SO_REUSEADDR, socket.SO_REUSEPORT
RANGE = "40000 40099"
needs_flags = pytest.mark.skipif(not REAL_ROOT, reason="flags of TIME_WAITs need real root")


def why(address: str, port: int, *, udp: bool = False, **options: bool) -> Verdict:
    """The verdict, which must be what the kernel says to the same request."""
    request = BindRequest("udp" if udp else "tcp", address, port, **options)  # type: ignore[arg-type]
    with SnapshotReader() as reader:
        verdict = explain_bind(request, reader.take(port))
    said = attempt(request)
    assert verdict.bind in (said, "depends")
    return verdict


def attempt(request: BindRequest) -> str:
    kind = socket.SOCK_DGRAM if request.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, ADDR, request.reuseaddr)
        sock.setsockopt(socket.SOL_SOCKET, SHARE, request.reuseport)
        try:
            sock.bind((request.address, request.port))
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return "ok"


def cause(verdict: Verdict) -> str:
    assert verdict.cause is not None
    return f"{verdict.cause.id}: {verdict.cause.text}"


def advice(verdict: Verdict) -> str:
    return " | ".join(f"{fix.text} {fix.command}" for fix in verdict.fixes)


@contextmanager
def server(address: str, port: int, *options: int) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        for option in options:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((address, port))
        sock.listen()
        yield sock


def close_first(first: socket.socket, second: socket.socket) -> None:
    """Leave a TIME_WAIT of `first`."""
    first.shutdown(socket.SHUT_WR)
    assert second.recv(1) == b""
    second.close()
    first.close()


@pytest.fixture
def ephemeral(netns: None) -> None:
    set_ipv4_sysctl("ip_local_port_range", RANGE)


def test_a_udp_port_of_the_first_send_is_a_clients(ephemeral: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.sendto(b"?", ("127.0.0.1", 53))
        port = resolver.getsockname()[1]
        verdict = why("0.0.0.0", port, udp=True)
        assert cause(verdict).startswith("client-port:")
        assert f"({os.getpid()}) has 0.0.0.0:{port}" in cause(verdict)
        assert f"ip_local_reserved_ports={port}" in advice(verdict)
        assert "kill" not in advice(verdict)


@pytest.mark.skipif(not REAL_ROOT, reason="needs a second user")
def test_an_ordinary_user_is_told_so_too(ephemeral: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.sendto(b"?", ("127.0.0.1", 53))
        port = resolver.getsockname()[1]

        def as_user() -> Verdict:
            resolver.close()
            become(1234)
            return why("127.0.0.1", port, udp=True)

        why("127.0.0.1", port, udp=True)  # imports what that user may not read
        verdict = in_child(as_user)
        assert cause(verdict).startswith("client-port: a process that could not be seen has")
        assert f"ip_local_reserved_ports={port}" in advice(verdict)
        assert "sudo" in advice(verdict)


def test_a_udp_server_whose_port_lies_in_the_range_is_a_server(ephemeral: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 40005))
        verdict = why("0.0.0.0", 40005, udp=True)
        assert cause(verdict).startswith("listener:")
        assert "reserve" not in advice(verdict)


def test_a_udp_client_that_connected(ephemeral: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", 40050))  # a peer in the range proves nothing for TCP only
        port = sock.getsockname()[1]
        verdict = why("0.0.0.0", port, udp=True, reuseaddr=True)
        assert cause(verdict).startswith("client-port:")
        assert "to 127.0.0.1:40050" in cause(verdict)


@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT"])
def test_a_source_port_that_the_client_named(ephemeral: None, state: str) -> None:
    """As NFS does, with 600 to 1023: no range, and no reserved port, keeps it from that."""
    with server("127.0.0.1", 2049) as nfsd, socket.socket() as client:
        client.bind(("0.0.0.0", 700))
        client.connect(("127.0.0.1", 2049))
        accepted = nfsd.accept()[0]
        if state == "CLOSE_WAIT":
            accepted.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        verdict = why("0.0.0.0", 700, reuseaddr=True)
        assert cause(verdict).startswith("client-port:")
        assert "700 as the source port of a connection to 127.0.0.1:2049" in cause(verdict)
        assert ("the peer has closed it" in cause(verdict)) == (state == "CLOSE_WAIT")
        assert "another source port" in advice(verdict)
        assert "reserve" not in advice(verdict)
        # The other end of it was accepted, whatever its peer's port is.
        nfsd.close()
        assert cause(why("0.0.0.0", 2049, reuseaddr=True)).startswith("leftovers-no-flag:")
        accepted.close()


def test_a_port_that_is_bound_and_about_to_connect(ephemeral: None) -> None:
    with socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        port = client.getsockname()[1]
        verdict = why("0.0.0.0", port)
        assert cause(verdict).startswith("client-port:")
        assert f"ip_local_reserved_ports={port}" in advice(verdict)


def test_a_server_that_asked_for_port_0(ephemeral: None) -> None:
    with server("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        verdict = why("127.0.0.1", port, reuseaddr=True)
        assert cause(verdict).startswith("listener:")
        assert "which the kernel chose for it" in cause(verdict)
        assert f"kill {os.getpid()}" in advice(verdict)
        assert f"ip_local_reserved_ports={port}" in advice(verdict)


@needs_flags
def test_a_time_wait_of_an_outgoing_connection(ephemeral: None) -> None:
    with server("127.0.0.1", 443) as remote:
        client = socket.create_connection(("127.0.0.1", 443))
        port = client.getsockname()[1]
        close_first(client, remote.accept()[0])
    verdict = why("0.0.0.0", port, reuseaddr=True)
    assert cause(verdict).startswith("client-port: TIME_WAIT")
    assert "an outgoing connection to 127.0.0.1:443" in cause(verdict)
    assert "SO_REUSEADDR" not in advice(verdict)
    assert verdict.fixes[0].text.startswith("wait ")
    assert f"ip_local_reserved_ports={port}" in advice(verdict)


@needs_flags
def test_a_flag_that_the_client_had_helps_now(ephemeral: None) -> None:
    with server("127.0.0.1", 443) as remote, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, ADDR, 1)
        client.connect(("127.0.0.1", 443))
        port = client.getsockname()[1]
        close_first(client, remote.accept()[0])
    assert cause(why("0.0.0.0", port)).startswith("request-lacks-flag:")
    assert why("0.0.0.0", port, reuseaddr=True).bind == "ok"


@needs_flags
def test_a_time_wait_of_a_server_on_a_port_of_the_range(ephemeral: None) -> None:
    with server("127.0.0.1", 40010) as listener:
        client = socket.create_connection(listener.getsockname())
        close_first(listener.accept()[0], client)
    assert cause(why("0.0.0.0", 40010, reuseaddr=True)).startswith("time-wait-no-flag:")


@needs_flags
@pytest.mark.parametrize(
    ("left", "asked", "helps"),
    [
        ([(SHARE,)], {"reuseaddr": True}, {"SO_REUSEPORT"}),
        ([(SHARE,)], {}, {"SO_REUSEPORT"}),
        ([(ADDR,)], {"reuseport": True}, {"SO_REUSEADDR"}),
        ([(ADDR, SHARE)], {}, {"SO_REUSEADDR"}),
        ([(ADDR,), (SHARE,)], {}, {"SO_REUSEADDR", "SO_REUSEPORT"}),
        ([(ADDR,), (SHARE,)], {"reuseaddr": True}, {"SO_REUSEPORT"}),
        ([(), (SHARE,)], {"reuseaddr": True}, None),
    ],
)
def test_the_flags_that_help_now_are_the_ones_advised(
    netns: None, left: list[tuple[int, ...]], asked: dict[str, bool], helps: set[str] | None
) -> None:
    for number, options in enumerate(left, 1):
        with server(f"127.0.0.{number}", 8080, *options) as listener:
            client = socket.create_connection(listener.getsockname())
            close_first(listener.accept()[0], client)
    verdict = why("0.0.0.0", 8080, **asked)
    now = [fix for fix in verdict.fixes if fix.options and fix.step == "or"]
    if helps is None:
        assert verdict.fixes[0].text.startswith("wait ")
        return
    assert set(now[0].options) == helps
    with socket.socket() as sock:
        for name, option in (("reuseaddr", ADDR), ("reuseport", SHARE)):
            sock.setsockopt(socket.SOL_SOCKET, option, asked.get(name, False))
        in_python = code_line(now[0].options, "python")
        exec(in_python, {"sock": sock, "socket": socket})  # noqa: S102 - the advice as it is given
        sock.bind(("0.0.0.0", 8080))


@needs_flags
def test_a_fin_wait2_may_last_longer_than_its_clock(netns: None) -> None:
    with server("127.0.0.1", 8080) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
        accepted.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""  # its ACK makes a FIN_WAIT2
        accepted.close()
    with client:
        verdict = why("127.0.0.1", 8080, reuseaddr=True)
        assert verdict.blockers[0].owner.state == "FIN_WAIT2"
        assert "at the earliest" in cause(verdict)
        assert "at least" in verdict.fixes[0].text
        client.close()
        verdict = why("127.0.0.1", 8080, reuseaddr=True)
        assert "at least" not in verdict.fixes[0].text
        assert verdict.frees_in_s is not None
        assert verdict.frees_in_s > 59


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.2"])
def test_only_what_is_both_ends_of_itself_connected_to_itself(netns: None, asked: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(server("127.0.0.1", 443))
        for address, peer in (
            ("127.0.0.1", ("127.0.0.1", 40010)),
            ("127.0.0.2", ("127.0.0.1", 443)),
        ):
            sock = stack.enter_context(socket.socket())
            sock.bind((address, 40010))
            sock.connect(peer)
        said = cause(why(asked, 40010))
        assert said.startswith("self-connect:" if asked == "127.0.0.1" else "client-port:")
        assert f"({os.getpid()})" in said


def test_an_outgoing_connection_beside_a_listener_on_another_address(ephemeral: None) -> None:
    with server("127.0.0.2", 443), socket.socket() as client:
        client.connect(("127.0.0.2", 443))
        port = client.getsockname()[1]
        with server("127.0.0.9", port):
            verdict = why("0.0.0.0", port, reuseaddr=True)
    by_state = {blocker.owner.state: blocker.cause for blocker in verdict.blockers}
    assert by_state["ESTABLISHED"] is not None
    assert by_state["ESTABLISHED"].id == "client-port"


@pytest.mark.parametrize("listening", ["127.0.0.1", "::", "::1"])
def test_an_outgoing_ipv6_connection_beside_a_listener(ephemeral: None, listening: str) -> None:
    v6 = socket.AF_INET6
    with socket.create_server(("::1", 443), family=v6) as far, socket.socket(v6) as client:
        client.connect(far.getsockname())
        port = client.getsockname()[1]
        with socket.socket(v6 if ":" in listening else socket.AF_INET) as beside:
            beside.setsockopt(socket.SOL_SOCKET, ADDR, 1)
            client.setsockopt(socket.SOL_SOCKET, ADDR, 1)
            beside.bind((listening, port))
            beside.listen()
            client.setsockopt(socket.SOL_SOCKET, ADDR, 0)
            request = BindRequest("tcp", "::1", port)
            with SnapshotReader() as reader:
                verdict = explain_bind(request, reader.take(port))
    assert verdict.bind == "EADDRINUSE"
    by_state = {blocker.owner.state: blocker.cause for blocker in verdict.blockers}
    assert by_state["ESTABLISHED"] is not None
    # What listens on the address may have accepted the connection.
    assert (by_state["ESTABLISHED"].id == "client-port") == (listening == "127.0.0.1")


def test_the_snapshot_says_who_chose_the_port(ephemeral: None) -> None:
    kept: list[socket.socket] = []
    expected: dict[int, bool] = {}

    def keep(sock: socket.socket, automatic: bool) -> socket.socket:
        kept.append(sock)
        expected[sock.getsockname()[1]] = automatic
        return sock

    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for number in (0, 41000 + kind):
            sock = socket.socket(socket.AF_INET, kind)
            sock.bind(("127.0.0.1", number))
            keep(sock, automatic=number == 0)
    listener = keep(socket.create_server(("127.0.0.1", 8081)), automatic=False)
    keep(socket.create_connection(listener.getsockname()), automatic=True)
    with SnapshotReader() as reader:
        for port, automatic in expected.items():
            found = reader.take(port).ports
            seen: list[Socket | SocketGroup] = []
            for p in found:
                seen += [*p.listeners, *p.bound, *p.groups]
            assert {s.automatic for s in seen if s.state != "ESTABLISHED"} <= {automatic}, port
            assert all(s.automatic for s in seen if s.state == "ESTABLISHED")
        kept.append(listener.accept()[0])
        (accepted,) = reader.take(8081).ports[0].groups
        assert accepted.automatic is True
        assert reader.take().ports[0].listeners[0].automatic is None
    for sock in kept:
        sock.close()
