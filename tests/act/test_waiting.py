"""Waits on real sockets: they end when the kernel lets the same request through, and not before."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

import pytest

import sockwatch
from sockwatch.act import waiting
from sockwatch.bind import BindRequest
from sockwatch.bind.pair import RequestPair
from sockwatch.kernel.sock_diag.destroy import destroy
from tests.bind.calls import abort, attempt, new_socket, set_flags
from tests.support.awaiting import Awaiting
from tests.support.child import become, idle_child, in_child
from tests.support.full_window import fill
from tests.support.netns import set_ipv4_sysctl
from tests.support.privilege import needs_root
from tests.support.seccomp import refuse, refuse_netlink
from tests.support.tools import need
from tests.support.user import UID
from tests.support.waiting import PATIENCE_S, wait_until

PORT = 8080
ANY = BindRequest("tcp", "0.0.0.0", PORT)
LOOPBACK = BindRequest("tcp", "127.0.0.1", PORT)
UDP = BindRequest("udp", "0.0.0.0", PORT)
pytestmark = pytest.mark.usefixtures("netns")


class Taken(NamedTuple):
    """A request that fails, and what has to happen until it succeeds."""

    request: BindRequest
    free: Callable[[], object]


Arrange = Callable[[ExitStack], Taken]


def kernel(request: BindRequest) -> str:
    """What the kernel answers to the request now."""
    with new_socket(request) as sock:
        answer = attempt(lambda: sock.bind((request.address, request.port)))
        if answer != "ok" or request.protocol == "udp":
            return answer
        return attempt(sock.listen)


def serve(
    stack: ExitStack,
    address: str = "127.0.0.1",
    *,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    reuse: bool = False,
    reuseport: bool = False,
) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = stack.enter_context(socket.socket(family, kind))
    set_flags(sock, reuse, reuseport)
    # Who looks at all fds of the host keeps one alive for a moment after it has been closed.
    wait_until(lambda: attempt(lambda: sock.bind((address, PORT))) == "ok")
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


def connect(stack: ExitStack, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
    return stack.enter_context(listener.accept()[0]), client


def listener_closes(stack: ExitStack) -> Taken:
    return Taken(ANY, serve(stack).close)


def listener_shuts_down_and_closes(stack: ExitStack) -> Taken:
    sock = serve(stack)

    def end() -> None:
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    return Taken(LOOPBACK, end)


def holder_is_killed(stack: ExitStack) -> Taken:
    sock = serve(stack)
    pid = stack.enter_context(idle_child())
    sock.close()
    return Taken(ANY, lambda: os.kill(pid, signal.SIGKILL))


def two_holders_are_killed(stack: ExitStack) -> Taken:
    sock = serve(stack)
    pids = [stack.enter_context(idle_child()) for _ in range(2)]
    sock.close()

    def end() -> None:
        os.kill(pids[0], signal.SIGKILL)
        os.waitpid(pids[0], 0)
        assert kernel(ANY) == "EADDRINUSE"
        os.kill(pids[1], signal.SIGKILL)

    return Taken(ANY, end)


def bound_only_closes(stack: ExitStack) -> Taken:
    sock = stack.enter_context(socket.socket())
    sock.bind(("127.0.0.1", PORT))
    return Taken(ANY, sock.close)


def udp_closes(stack: ExitStack) -> Taken:
    return Taken(UDP, serve(stack, kind=socket.SOCK_DGRAM).close)


def udp_in_both_families_closes(stack: ExitStack) -> Taken:
    return Taken(UDP, serve(stack, "::", kind=socket.SOCK_DGRAM).close)


def dual_stack_listener_closes(stack: ExitStack) -> Taken:
    return Taken(ANY, serve(stack, "::").close)


def mapped_listener_closes(stack: ExitStack) -> Taken:
    return Taken(LOOPBACK, serve(stack, "::ffff:127.0.0.1").close)


def ipv6_listener_closes(stack: ExitStack) -> Taken:
    return Taken(BindRequest("tcp", "::1", PORT), serve(stack, "::1").close)


def last_connection_is_reset(stack: ExitStack) -> Taken:
    listener = serve(stack)
    server, _ = connect(stack, listener)
    listener.close()
    return Taken(ANY, lambda: abort(server))


def last_connections_holder_is_killed(stack: ExitStack) -> Taken:
    listener = serve(stack, reuse=True)
    server, client = connect(stack, listener)
    listener.close()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)

    def end() -> None:
        client.send(b"unread, so that it is reset")
        os.kill(pid, signal.SIGKILL)

    pid = stack.enter_context(idle_child(client.close))
    server.close()
    return Taken(ANY, end)


def orphans_peer_resets(stack: ExitStack) -> Taken:
    listener = serve(stack)
    server, client = connect(stack, listener)
    listener.close()
    fill(server)
    server.close()  # FIN_WAIT1: the client has no room for the FIN
    return Taken(ANY, lambda: abort(client))


def client_of_elsewhere_closes(stack: ExitStack) -> Taken:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 9090)))
    client = stack.enter_context(socket.socket())
    client.bind(("127.0.0.1", PORT))
    client.connect(listener.getsockname())
    stack.enter_context(listener.accept()[0])
    return Taken(ANY, lambda: abort(client))


BY_EVENT: tuple[Arrange, ...] = (
    listener_closes,
    listener_shuts_down_and_closes,
    holder_is_killed,
    two_holders_are_killed,
    bound_only_closes,
    udp_closes,
    udp_in_both_families_closes,
    dual_stack_listener_closes,
    mapped_listener_closes,
    ipv6_listener_closes,
    last_connection_is_reset,
    last_connections_holder_is_killed,
    orphans_peer_resets,
    client_of_elsewhere_closes,
)


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks without an event or a clock."""
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 2 * PATIENCE_S)


@pytest.mark.usefixtures("only_events")
@pytest.mark.parametrize("arrange", BY_EVENT)
@pytest.mark.parametrize("reuseaddr", [False, True])
def test_an_event_ends_it_when_the_kernel_lets_the_request_through(
    arrange: Arrange, reuseaddr: bool
) -> None:
    with ExitStack() as stack:
        request, free = arrange(stack)
        request = replace(request, reuseaddr=reuseaddr)
        assert kernel(request) == "EADDRINUSE"
        with Awaiting(request) as awaiting:
            awaiting.until_told()
            free()
            standing = awaiting.result()
        assert standing.is_free
        assert kernel(request) == "ok"


def leave_time_wait(stack: ExitStack, *, reuse: bool = False) -> None:
    """A TIME_WAIT of 60 s on the port, and nothing else."""
    listener = serve(stack, reuse=reuse)
    server, client = connect(stack, listener)
    listener.close()
    server.close()
    client.close()
    wait_until(lambda: states() == {"TIME_WAIT": 1}, states)


def states() -> dict[str, int]:
    port = sockwatch.take_snapshot(PORT).port("tcp", PORT)
    return {} if port is None else dict(port.states)


@pytest.mark.usefixtures("only_events")
def test_what_is_free_is_not_waited_for() -> None:
    with Awaiting(ANY, timeout_s=None) as awaiting:
        assert awaiting.result().is_free
    assert awaiting.told == []
    assert kernel(ANY) == "ok"


@pytest.mark.usefixtures("only_events")
def test_a_time_wait_with_the_flag_on_both_sides_is_not_waited_for() -> None:
    with ExitStack() as stack:
        leave_time_wait(stack, reuse=True)
        request = replace(ANY, reuseaddr=True)
        assert (kernel(ANY), kernel(request)) == ("EADDRINUSE", "ok")
        assert sockwatch.wait_until_free(request).bind == "ok"


@pytest.mark.usefixtures("only_events")
def test_the_clock_of_a_closed_connection_ends_it() -> None:
    set_ipv4_sysctl("tcp_fin_timeout", "1")  # how long a FIN_WAIT2 without a process is kept
    with ExitStack() as stack:
        listener = serve(stack)
        server, _client = connect(stack, listener)
        listener.close()
        server.close()
        with Awaiting(ANY, timeout_s=None) as awaiting:
            (verdict,) = awaiting.until_told().all()
            assert verdict.frees_in_s is not None
            assert verdict.frees_in_s <= 1
            assert awaiting.result().is_free
        assert kernel(ANY) == "ok"


@pytest.mark.exhaustive
@pytest.mark.usefixtures("only_events")
def test_the_clock_of_a_time_wait_ends_it() -> None:
    with ExitStack() as stack:
        leave_time_wait(stack)
        with Awaiting(ANY, timeout_s=None) as awaiting:
            awaiting.until_told()
            awaiting._thread.join(90)
            assert awaiting.result().is_free
        assert kernel(ANY) == "ok"


@needs_root
def test_a_time_wait_that_is_destroyed_ends_it_without_an_event() -> None:
    with ExitStack() as stack:
        leave_time_wait(stack)
        assert kernel(replace(ANY, reuseaddr=True)) == "EADDRINUSE"
        with Awaiting(ANY, timeout_s=None) as awaiting:
            awaiting.until_told()
            port = sockwatch.take_snapshot(PORT).port("tcp", PORT)
            assert port is not None
            assert port.connections is not None
            assert destroy(port.connections) == 1
            assert awaiting.result().is_free
        assert kernel(ANY) == "ok"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_server_that_nobody_stops_is_not_waited_for_without_a_timeout(
    kind: socket.SocketKind,
) -> None:
    request = ANY if kind == socket.SOCK_STREAM else UDP
    with ExitStack() as stack:
        serve(stack, kind=kind)
        with Awaiting(request, timeout_s=None) as awaiting:
            standing = awaiting.result()
        assert (standing.prospect, awaiting.looks) == ("stays", 1)
        assert kernel(request) == "EADDRINUSE"


@pytest.mark.parametrize("timeout_s", [0.0, 0.1])
def test_the_timeout_ends_it(timeout_s: float) -> None:
    with ExitStack() as stack:
        serve(stack)
        verdict = sockwatch.wait_until_free(ANY, timeout_s)
        assert (verdict.bind, kernel(ANY)) == ("EADDRINUSE", "EADDRINUSE")


@pytest.mark.parametrize("timeout_s", [float("nan"), -1.0])
def test_a_time_that_is_none_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="is no number of seconds"):
        sockwatch.wait_until_free(ANY, timeout_s)
    with pytest.raises(ValueError, match="there is none to wait for"):
        sockwatch.wait_until_free(replace(ANY, port=0), 1)


@pytest.mark.usefixtures("only_events")
def test_a_port_that_changes_hands_is_waited_for_until_the_last_one_ends() -> None:
    with ExitStack() as stack:
        first, second = (serve(stack, reuseport=True) for _ in range(2))
        with Awaiting(ANY) as awaiting:
            awaiting.until_told()
            first.close()
            awaiting.until_told(2)
            second.close()
            assert awaiting.result().is_free
        assert kernel(ANY) == "ok"


def test_a_server_that_comes_instead_of_a_time_wait_ends_it_without_a_timeout() -> None:
    with ExitStack() as stack:
        leave_time_wait(stack, reuse=True)
        with Awaiting(ANY, timeout_s=None) as awaiting:
            assert awaiting.until_told().prospect == "ends"
            serve(stack, reuse=True)
            standing = awaiting.result()
        assert standing.prospect == "stays"
        assert kernel(ANY) == "EADDRINUSE"


@pytest.mark.usefixtures("only_events")
def test_several_ports_have_to_be_free_at_the_same_time() -> None:
    other = replace(ANY, port=PORT + 1)
    with ExitStack() as stack:
        first = serve(stack)
        second = stack.enter_context(socket.create_server(("127.0.0.1", PORT + 1)))
        with Awaiting(ANY, other) as awaiting:
            awaiting.until_told()
            first.close()
            awaiting.until_told(2)
            first = serve(stack)  # no event tells of it
            second.close()
            assert awaiting.until_told(3).prospect == "stays"
            first.close()
            assert awaiting.result().is_free
        assert (kernel(ANY), kernel(other)) == ("ok", "ok")


@pytest.mark.usefixtures("only_events")
def test_a_port_alone_is_waited_for_in_both_families() -> None:
    with ExitStack() as stack:
        sock = stack.enter_context(
            socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=False)
        )
        with Awaiting(RequestPair(ANY, "::")) as awaiting:
            outcomes = [verdict.bind for verdict in awaiting.until_told().all()]
            assert outcomes == ["ok", "EADDRINUSE"]
            sock.close()
            assert awaiting.result().is_free
        assert kernel(BindRequest("tcp", "::", PORT)) == "ok"


@pytest.mark.usefixtures("only_events")
def test_an_address_that_comes_ends_it() -> None:
    need("ip")
    request = replace(ANY, address="10.9.8.7")
    assert kernel(request) == "EADDRNOTAVAIL"
    assert sockwatch.wait_until_free(request).bind == "EADDRNOTAVAIL"
    with Awaiting(request) as awaiting:
        awaiting.until_told()
        subprocess.run(["ip", "address", "add", "10.9.8.7/32", "dev", "lo"], check=True)
        assert awaiting.result().is_free
    assert kernel(request) == "ok"


def test_it_looks_now_and_then_where_no_event_comes() -> None:
    request = replace(ANY, reuseport=True)
    with ExitStack() as stack:
        sock = serve(stack)
        with Awaiting(request) as awaiting:
            awaiting.until_told()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            assert awaiting.result().is_free
        assert kernel(request) == "ok"


def wait_without(refuse: Callable[[], None]) -> tuple[str, str]:
    """The verdict and the kernel's answer where a sandbox refuses something, and a holder dies."""

    def waits() -> tuple[str, str]:
        sock = socket.create_server(("127.0.0.1", PORT))
        with idle_child() as pid:
            sock.close()
            refuse()
            with Awaiting(ANY) as awaiting:
                awaiting.until_told()
                os.kill(pid, signal.SIGKILL)
                verdict = next(awaiting.result().all())
            return verdict.bind, kernel(ANY)

    return in_child(waits)


@pytest.mark.usefixtures("only_events")
def test_the_end_of_a_holder_suffices_where_netlink_is_refused() -> None:
    assert wait_without(refuse_netlink) == ("ok", "ok")


@pytest.mark.usefixtures("only_events")
def test_the_end_of_a_socket_suffices_where_pidfds_are_refused() -> None:
    assert wait_without(lambda: refuse("pidfd_open")) == ("ok", "ok")


@needs_root
@pytest.mark.usefixtures("only_events")
def test_an_ordinary_user_is_woken_by_what_they_cannot_see_into() -> None:
    sock = serve(stack := ExitStack())

    def waits() -> tuple[str, str]:
        sock.close()
        become(UID)
        with Awaiting(ANY) as awaiting:
            (verdict,) = awaiting.until_told().all()
            assert not verdict.blockers[0].holders
            os.write(ready[1], b"1")
            verdict = next(awaiting.result().all())
        return verdict.bind, kernel(ANY)

    ready = os.pipe()

    def close_then() -> None:
        os.read(ready[0], 1)
        sock.close()

    closing = threading.Thread(target=close_then)
    closing.start()
    with stack:
        assert in_child(waits) == ("ok", "ok")
    closing.join()
