"""Real servers that fail, and what is told of each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.kernel.bpf.layout import Layout
from sockwatch.view.folding import fold
from sockwatch.watch import FailureWatch
from tests.support.failing import (
    C_SERVER,
    PATIENCE_S,
    PYTHON_SERVER,
    bind,
    collect,
    compiled,
    forked,
    of_pid,
    run_and_reap,
)
from tests.support.netns import netns_inode
from tests.support.privilege import needs_bound, needs_root
from tests.support.tools import need

REUSEADDR = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
REUSEPORT = (socket.SOL_SOCKET, socket.SO_REUSEPORT)
V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def blocker_pids(explained: ExplainedFailure) -> set[int]:
    return {holder.pid for blocker in explained.blockers for holder in blocker.holders}


def test_a_python_server(watch: FailureWatch, taken: socket.socket) -> None:
    command = [sys.executable, "-c", PYTHON_SERVER, "8080"]
    pid = run_and_reap(*command)
    (explained,) = collect(watch, of_pid(pid))
    failure = explained.failure
    assert (failure.call, failure.errno, failure.protocol) == ("bind", "EADDRINUSE", "tcp")
    assert (failure.family, failure.address, failure.port) == ("ipv4", "127.0.0.1", 8080)
    assert failure.flags[:2] == (True, False)
    assert failure.netns_inode == netns_inode()
    assert failure.uid == os.getuid()
    assert explained.explained
    assert explained.cause is not None
    assert blocker_pids(explained) == {os.getpid()}
    assert explained.looked_after_s is not None


def test_a_c_server(watch: FailureWatch, taken: socket.socket, tmp_path: Path) -> None:
    """It ends with the failure, and nothing of it is left when it is looked at."""
    program = compiled(C_SERVER, tmp_path)
    pid = run_and_reap(program, "8080")
    (explained,) = collect(watch, of_pid(pid))
    failure = explained.failure
    assert failure.comm == "cserver"
    assert failure.flags[:2] == (False, True)
    assert explained.explained
    process = failure.process
    assert process is not None
    assert (process.name, process.command) == ("cserver", f"{program} 8080")
    assert process.state == "X"
    assert process.parent_pid == os.getpid()
    assert failure.parent_name is not None
    assert abs(process.start_time - failure.time) < 5
    assert [gap.code for gap in failure.gaps] == ["process-gone"]


def test_a_server_that_lives_on(watch: FailureWatch, taken: socket.socket) -> None:
    code = PYTHON_SERVER.replace("sock.bind", "try: sock.bind") + (
        "except OSError: print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, "8080"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        (explained,) = collect(watch, of_pid(server.pid))
        server.communicate()
    process = explained.failure.process
    assert process is not None
    assert process.state != "X"
    assert process.executable is not None
    assert process.command.startswith(f"{sys.executable} -c  import socket")
    assert process.parent_pid == os.getpid()
    assert explained.failure.gaps == ()
    assert explained.explained


def test_a_threaded_server(watch: FailureWatch, taken: socket.socket) -> None:
    tids: list[int] = []

    def serve() -> None:
        tids.append(threading.get_native_id())
        with pytest.raises(OSError, match="in use"):
            bind(socket.AF_INET, ("127.0.0.1", 8080))

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = collect(watch, of_pid(os.getpid()), 4)
    assert sorted(each.failure.tid or 0 for each in found) == sorted(tids)
    assert all(each.explained for each in found)


def test_bind_and_listen_are_told_apart(watch: FailureWatch, netns: None) -> None:
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        fds = [second.fileno(), third.fileno()]
        for sock in (first, second, third):
            sock.setsockopt(*REUSEADDR, 1)
        first.bind(("127.0.0.1", 8080))
        second.bind(("127.0.0.1", 8080))
        first.listen()
        with pytest.raises(OSError, match="in use"):
            second.listen()
        with pytest.raises(OSError, match="in use"):
            third.bind(("127.0.0.1", 8080))
        found = collect(watch, of_pid(os.getpid()), 2)
    assert [each.failure.call for each in found] == ["listen", "bind"]
    assert [each.failure.fd for each in found] == fds
    for each in found:
        assert (each.failure.address, each.failure.port) == ("127.0.0.1", 8080)
        assert each.explained
        assert "LISTEN" in {blocker.owner.state for blocker in each.blockers}


@pytest.mark.parametrize(
    ("family", "owner", "owner_options", "address", "options", "kind"),
    [
        (socket.AF_INET, "0.0.0.0", (), "127.0.0.9", (REUSEADDR,), socket.SOCK_STREAM),
        (socket.AF_INET, "127.0.0.1", (REUSEPORT,), "0.0.0.0", (REUSEADDR,), socket.SOCK_STREAM),
        (socket.AF_INET6, "::", (V6ONLY,), "::1", (V6ONLY,), socket.SOCK_STREAM),
        (socket.AF_INET6, "::1", (), "::", (REUSEADDR, REUSEPORT), socket.SOCK_STREAM),
        (socket.AF_INET6, "::", (), "::ffff:127.0.0.1", (), socket.SOCK_STREAM),
        (socket.AF_INET, "127.0.0.1", (), "127.0.0.1", (REUSEADDR,), socket.SOCK_DGRAM),
        (socket.AF_INET6, "::", (REUSEADDR,), "::1", (REUSEPORT,), socket.SOCK_DGRAM),
    ],
)
def test_addresses_flags_and_protocols(
    watch: FailureWatch,
    family: int,
    owner: str,
    owner_options: tuple[tuple[int, int], ...],
    address: str,
    options: tuple[tuple[int, int], ...],
    kind: int,
) -> None:
    with socket.socket(family, kind) as sock:
        for level, option in owner_options:
            sock.setsockopt(level, option, 1)
        sock.bind((owner, 8080))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        pid = forked(lambda: bind(family, (address, 8080), options, kind))
        (explained,) = collect(watch, of_pid(pid))
    failure = explained.failure
    assert (failure.address, failure.port) == (address, 8080)
    assert failure.family == ("ipv6" if family == socket.AF_INET6 else "ipv4")
    assert failure.protocol == ("tcp" if kind == socket.SOCK_STREAM else "udp")
    assert failure.flags[:2] == (REUSEADDR in options, REUSEPORT in options)
    assert failure.v6only == (V6ONLY in options)
    assert explained.explained
    assert blocker_pids(explained) == {os.getpid()}


def test_time_waits_in_the_way(watch: FailureWatch, netns: None) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 8080))
        server.listen()
        client = socket.create_connection(("127.0.0.1", 8080))
        server.accept()[0].close()
        client.close()
    pid = forked(lambda: bind(socket.AF_INET, ("127.0.0.1", 8080), (REUSEADDR,)))
    (explained,) = collect(watch, of_pid(pid))
    assert explained.explained
    assert [blocker.owner.state for blocker in explained.blockers] == ["TIME_WAIT"]
    assert explained.cause is not None
    assert explained.cause.id == "time-wait-no-flag"


def test_a_reuseport_group_of_its_own(watch: FailureWatch, netns: None) -> None:
    """SO_ATTACH_REUSEPORT_CBPF before bind(): the kernel lets it share with nobody."""
    import ctypes
    import struct

    accept = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(accept))

    def fail() -> None:
        with socket.socket() as sock:
            sock.setsockopt(*REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, 51, program)
            sock.bind(("127.0.0.1", 8080))

    with socket.socket() as owner:
        owner.setsockopt(*REUSEPORT, 1)
        owner.bind(("127.0.0.1", 8080))
        owner.listen()
        pid = forked(fail)
        (explained,) = collect(watch, of_pid(pid))
    assert explained.failure.own_group
    assert explained.failure.flags.reuseport
    assert explained.explained


def test_errors_that_come_before_the_test(watch: FailureWatch, netns: None) -> None:
    def as_nobody() -> None:
        os.setresuid(65534, 65534, 65534)
        bind(socket.AF_INET, ("127.0.0.1", 80))

    pids = [
        forked(as_nobody),
        forked(lambda: bind(socket.AF_INET, ("192.0.2.1", 8080))),
        forked(lambda: bind(socket.AF_INET6, ("2001:db8::1", 8080))),
    ]
    found = {each.failure.pid: each for each in collect(watch, of_pid(*pids), 3)}
    assert [found[pid].failure.errno for pid in pids] == [
        "EACCES",
        "EADDRNOTAVAIL",
        "EADDRNOTAVAIL",
    ]
    assert [found[pid].explained for pid in pids] == [True, True, True]
    assert [found[pid].cause and found[pid].cause.id for pid in pids] == [  # type: ignore[union-attr]
        "low-port",
        "address-not-local",
        "address-not-local",
    ]
    assert found[pids[0]].failure.uid == 65534


@pytest.mark.parametrize("option", [15, 19])  # IP_FREEBIND, IP_TRANSPARENT
def test_a_foreign_address_is_no_obstacle_to_the_option(
    watch: FailureWatch, taken: socket.socket, option: int
) -> None:
    def fail() -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_IP, option, 1)
            sock.bind(("198.51.100.7", 8081))

    taken.close()
    with socket.socket() as owner:
        owner.bind(("0.0.0.0", 8081))
        owner.listen()
        pid = forked(fail)
        (explained,) = collect(watch, of_pid(pid))
    assert explained.failure.errno == "EADDRINUSE"
    assert explained.explained
    assert str(os.getpid()) in str(explained.cause)


def test_an_address_that_comes_after_the_call(watch: FailureWatch, netns: None) -> None:
    """The sample is taken after the call: the address may be there by then."""
    need("ip")
    add = ["ip", "address", "add", "192.0.2.7/32", "dev", "lo"]

    def fail() -> None:
        with suppress(OSError), socket.socket() as sock:
            sock.bind(("192.0.2.7", 8080))
        subprocess.run(add, check=True)

    pid = forked(fail)
    (explained,) = collect(watch, of_pid(pid))
    assert explained.failure.errno == "EADDRNOTAVAIL"
    assert explained.cause is not None
    assert explained.cause.id == "address-late"


@needs_bound
def test_a_port_range_that_is_used_up(watch: FailureWatch, netns: None) -> None:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001")
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        one.bind(("127.0.0.1", 40000))
        two.bind(("127.0.0.1", 40001))
        with pytest.raises(OSError, match="in use"):
            three.bind(("127.0.0.1", 0))
        (explained,) = collect(watch, of_pid(os.getpid()))
    assert explained.failure.port == 0
    assert explained.explained


@needs_bound
@needs_root
def test_without_the_kernels_structs(taken: socket.socket) -> None:
    """No BTF: the helpers and the call's arguments tell most of it, the fd the rest."""
    with (
        FailureWatch(Layout({}, {})) as watch,
        socket.socket() as one,
        socket.socket() as two,
    ):
        for sock in (one, two):
            sock.setsockopt(*REUSEADDR, 1)
            sock.bind(("127.0.0.1", 8081))
        one.listen()
        with pytest.raises(OSError, match="in use"):
            two.listen()
        with pytest.raises(OSError, match="in use"):
            bind(socket.AF_INET, ("127.0.0.1", 8080), (REUSEPORT,))
        gone = forked(lambda: bind(socket.AF_INET, ("127.0.0.1", 8080)))
        listening, closed, dead = collect(watch, of_pid(os.getpid(), gone), 3)
    assert (listening.failure.address, listening.failure.port) == ("127.0.0.1", 8081)
    assert listening.failure.flags == (True, False, "pidfd_getfd")
    assert listening.explained
    assert (closed.failure.address, closed.failure.port) == ("127.0.0.1", 8080)
    assert closed.failure.flags[:2] == (None, None)
    assert not closed.explained
    assert "socket-unseen" in {gap.code for gap in closed.gaps}
    assert (dead.failure.pid, dead.failure.process) == (gone, None)
    assert {gap.code for gap in dead.gaps} >= {"process-gone", "socket-unseen"}


@needs_root
def test_nginx_tries_five_times(watch: FailureWatch, taken: socket.socket, tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed: .ci/run installs it without starting it")
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:8080; }} }}\n"
    )
    with subprocess.Popen(
        [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"],
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        found = collect(watch, of_pid(server.pid), 5)
        output = server.communicate(timeout=PATIENCE_S)[1]
    assert output.count("bind() to 127.0.0.1:8080 failed (98: Address already in use)") == 5
    assert all(each.explained for each in found)
    assert {each.failure.flags[:2] for each in found} == {(True, False)}
    (line,) = fold((), found)
    assert line.count == 5
    assert line.text.startswith("nginx 127.0.0.1:8080, 5 times in 2 s, every 0.5")
