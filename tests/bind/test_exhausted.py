"""No port is left for port 0: who has them, and advice that is carried out, on the kernel."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.view.code_lines import code_line
from tests.support.netns import set_ipv4_sysctl
from tests.support.privilege import REAL_ROOT
from tests.support.tools import need

FIRST, LAST = 40000, 40003
IP_LOCAL_PORT_RANGE = 51


@pytest.fixture
def stack(netns: None) -> Iterator[ExitStack]:
    set_ipv4_sysctl("ip_local_port_range", f"{FIRST} {LAST}")
    with ExitStack() as stack:
        yield stack


def ask(address: str = "127.0.0.1", *, udp: bool = False, **options: object) -> Verdict:
    """The verdict on port 0, which must be what the kernel says."""
    request = BindRequest("udp" if udp else "tcp", address, 0, **options)  # type: ignore[arg-type]
    with SnapshotReader() as reader:
        verdict = explain_bind(request, reader.take(fold=False))
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as sock:
        if request.port_range is not None:
            own = struct.pack("I", request.port_range[1] << 16 | request.port_range[0])
            try:
                sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, own)
            except OSError:
                pytest.skip("needs Linux 6.3")
        try:
            sock.bind((address, 0))
            said = "ok"
        except OSError as error:
            said = errno.errorcode[error.errno or 0]
    assert verdict.bind == said
    return verdict


def fill(stack: ExitStack, address: str, ports: range, *, udp: bool = False) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in ports:
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        sock = stack.enter_context(socket.socket(family, kind))
        sock.bind((address, port))


def cause(verdict: Verdict) -> str:
    assert verdict.cause is not None
    return f"{verdict.cause.id}: {verdict.cause.text}"


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_who_has_the_ports_and_the_wider_range_helps(
    stack: ExitStack, address: str, udp: bool
) -> None:
    fill(stack, address, range(FIRST, LAST + 1), udp=udp)
    verdict = ask(address, udp=udp)
    assert cause(verdict).startswith("range-exhausted: all 4 ports of ip_local_port_range 40000-")
    assert " 4 by " in cause(verdict)
    assert f"({os.getpid()})" in cause(verdict)
    (widen,) = (fix.command for fix in verdict.fixes if fix.in_netns)
    need("sysctl")
    subprocess.run(shlex.split(widen or ""), check=True, stdout=subprocess.DEVNULL)
    assert ask(address, udp=udp).bind == "ok"


def test_another_address_is_free(stack: ExitStack) -> None:
    fill(stack, "127.0.0.2", range(FIRST, LAST + 1))
    assert ask("127.0.0.1").bind == "ok"
    assert cause(ask("0.0.0.0")).startswith("range-exhausted:")


def test_no_port_is_needed_before_connect(stack: ExitStack) -> None:
    fill(stack, "127.0.0.1", range(FIRST, LAST + 1))
    (fix,) = (fix for fix in ask().fixes if "IP_BIND_ADDRESS_NO_PORT" in fix.options)
    with socket.socket() as sock:
        line = code_line(fix.options, "python")
        exec(line, {"sock": sock, "socket": socket})  # noqa: S102 - the advice as it is given
        sock.bind(("127.0.0.1", 0))
        assert sock.getsockname()[1] == 0


def test_reserved_ports_count_as_such(stack: ExitStack) -> None:
    set_ipv4_sysctl("ip_local_reserved_ports", f"{FIRST + 1}-{LAST}")
    fill(stack, "127.0.0.1", range(FIRST, FIRST + 1))
    assert "all 1 port of" in cause(ask())
    assert "3 more of the range are reserved" in cause(ask())
    set_ipv4_sysctl("ip_local_reserved_ports", f"{FIRST}-{LAST}")
    assert "every port of ip_local_port_range 40000-40003 is reserved" in cause(ask("127.0.0.9"))


@pytest.mark.skipif(not REAL_ROOT, reason="clocks beside living sockets need real root")
def test_time_waits_alone_end_by_themselves(stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 443)))
    for _ in range(FIRST, LAST + 1):
        client = socket.create_connection(("127.0.0.1", 443))
        accepted = listener.accept()[0]
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        accepted.close()
        client.close()
    verdict = ask()
    assert "4 by TIME_WAIT" in cause(verdict)
    assert verdict.fixes[0].text.startswith("wait ")


@pytest.mark.parametrize(
    ("own", "outcome"),
    [
        ((FIRST, LAST), "EADDRINUSE"),
        ((FIRST, LAST + 2), "ok"),
        ((FIRST - 8, LAST), "ok"),
        ((40, 50), "ok"),  # outside of the namespace's: it does not count
    ],
)
def test_a_range_of_the_sockets_own(stack: ExitStack, own: tuple[int, int], outcome: str) -> None:
    set_ipv4_sysctl("ip_local_port_range", "32768 60999")
    fill(stack, "127.0.0.1", range(FIRST, LAST + 1))
    verdict = ask(port_range=own)
    assert verdict.bind == outcome
    if outcome != "ok":
        assert "IP_LOCAL_PORT_RANGE 40000-40003" in cause(verdict)
        assert not any(fix.in_netns for fix in verdict.fixes)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 7, 8, 9])
@pytest.mark.parametrize("reuseaddr", [False, True])
def test_the_one_port_that_is_left_may_not_be_tried(
    stack: ExitStack, size: int, reuseaddr: bool
) -> None:
    """Where the verdict is sure, the kernel says so each time."""
    ports = range(FIRST, FIRST + size)
    set_ipv4_sysctl("ip_local_port_range", f"{ports[0]} {ports[-1]}")
    request = BindRequest("tcp", "127.0.0.1", 0, reuseaddr=reuseaddr)
    for left in ports:
        with ExitStack() as taken, SnapshotReader() as reader:
            fill(taken, "127.0.0.1", ports[: left - FIRST])
            fill(taken, "127.0.0.1", ports[left - FIRST + 1 :])
            fill(taken, "127.0.0.2", range(left, left + 1))
            said = explain_bind(request, reader.take(fold=False)).bind
            kernel = {bind_once(reuseaddr) for _ in range(50)}
        assert kernel == {said} if said == "ok" else said == "depends", (left, kernel)


def bind_once(reuseaddr: bool) -> str:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
        try:
            sock.bind(("127.0.0.1", 0))
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        # Who reads this fd, as a look of another test may, delays close(); this frees the port.
        sock.listen()
        sock.shutdown(socket.SHUT_RDWR)
    return "ok"
