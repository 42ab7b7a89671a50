"""Causes reproduced with real processes and sockets, and their fixes carried out."""

from __future__ import annotations

import array
import errno
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sockwatch.bind import BindRequest, Fix, Verdict, explain_bind
from sockwatch.bind.kernels import Quirk
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.view.code_lines import code_line
from tests.bind.quirk_trials import has_quirk
from tests.support.child import become, idle_child, in_child
from tests.support.privilege import REAL_ROOT, needs_bound
from tests.support.tools import need
from tests.support.tun_peer import KERNEL, tun_network

PORT = 8080
ADDR, SHARE = socket.SO_REUSEADDR, socket.SO_REUSEPORT
needs_flags = pytest.mark.skipif(not REAL_ROOT, reason="flags of TIME_WAITs need real root")


def why(address: str = "0.0.0.0", port: int = PORT, **options: object) -> Verdict:
    """The verdict, which must be what the kernel says to the same request."""
    request = BindRequest("tcp", address, port, **options)  # type: ignore[arg-type]
    with SnapshotReader() as reader:
        verdict = explain_bind(request, reader.take(port))
    if request.uid is None:
        assert verdict.bind == attempt(request)
    return verdict


def attempt(request: BindRequest) -> str:
    with socket.socket(socket.AF_INET6 if ":" in request.address else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, ADDR, request.reuseaddr)
        sock.setsockopt(socket.SOL_SOCKET, SHARE, request.reuseport)
        try:
            sock.bind((request.address, request.port))
            sock.listen()
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return "ok"


def server(address: str = "127.0.0.1", port: int = PORT, *options: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind((address, port))
    sock.listen()
    return sock


def leave_time_wait(*options: int) -> None:
    with server("127.0.0.1", PORT, *options) as listener:
        client = socket.create_connection(listener.getsockname())
        listener.accept()[0].close()
        client.close()


def cause(verdict: Verdict) -> str | None:
    return verdict.cause and verdict.cause.id


def fix(verdict: Verdict, start: str) -> Fix:
    return next(each for each in verdict.fixes if each.text.startswith(start))


def carry_out(found: Fix) -> None:
    assert found.command is not None
    need(shlex.split(found.command)[0])
    subprocess.run(shlex.split(found.command), check=True, stdout=subprocess.DEVNULL)


def test_a_listener(netns: None) -> None:
    with server():
        verdict = why("127.0.0.1")
        assert cause(verdict) == "listener"
        assert str(os.getpid()) in str(verdict.cause)


def test_ending_the_listener_frees_the_port(netns: None) -> None:
    kept = []
    with ExitStack() as stack:
        pid = stack.enter_context(idle_child(lambda: kept.append(server())))
        verdict = why("127.0.0.1", reuseaddr=True)
        assert fix(verdict, "stop it").command == f"kill {pid}"
        carry_out(fix(verdict, "stop it"))
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert why("127.0.0.1", reuseaddr=True).bind == "ok"


def test_wildcard_against_specific(netns: None) -> None:
    with server():
        assert cause(why("0.0.0.0", reuseaddr=True)) == "wildcard-overlap"


def test_dual_stack(netns: None) -> None:
    with server("::"):
        assert cause(why("127.0.0.1", reuseaddr=True)) == "dual-stack"


@needs_bound
def test_bound_only(netns: None) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", PORT))
        assert cause(why("127.0.0.1")) == "bound-only"


@needs_flags
def test_time_waits_of_a_server_without_the_flag(netns: None) -> None:
    leave_time_wait()
    verdict = why(reuseaddr=True)
    assert cause(verdict) == "time-wait-no-flag"
    assert verdict.frees_in_s is not None
    assert 50 < verdict.frees_in_s <= 60
    if has_quirk(Quirk.MINIS_STAY):
        assert not any("destroy" in each.text for each in verdict.fixes)
        return
    carry_out(fix(verdict, "as root, destroy"))
    assert why(reuseaddr=True).bind == "ok"


@needs_flags
def test_time_waits_of_a_server_with_the_flag(netns: None) -> None:
    leave_time_wait(ADDR)
    verdict = why()
    assert cause(verdict) == "request-lacks-flag"
    with socket.socket() as sock:
        line = code_line(fix(verdict, "set SO_REUSEADDR before bind()").options, "python")
        exec(line, {"sock": sock, "socket": socket})  # noqa: S102 - the advice as it is given
        sock.bind(("0.0.0.0", PORT))
        sock.listen()


@needs_flags
def test_an_unaccepted_connection(netns: None) -> None:
    listener = server()
    with socket.create_connection(listener.getsockname()):
        verdict = why("127.0.0.1")
        assert [b.cause.id for b in verdict.blockers if b.cause] == ["listener", "unaccepted"]
        listener.close()


@needs_flags
def test_an_orphan(netns: None) -> None:
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun may not be opened")
    need("ip")
    with tun_network() as network, server(KERNEL) as listener:
        peer = network.connect(PORT, 50000)
        accepted = listener.accept()[0]
        peer.finish()
        assert accepted.recv(1) == b""
        accepted.close()
        network.receive(50000)
        listener.close()
        verdict = why(reuseaddr=True)
        assert verdict.blockers[0].owner.state == "LAST_ACK"
        assert cause(verdict) == "orphans"
        if has_quirk(Quirk.ORPHANS_STAY):
            assert not any("destroy" in each.text for each in verdict.fixes)
            return
        carry_out(fix(verdict, "as root, destroy"))
        assert why(reuseaddr=True).bind == "ok"


def test_an_outgoing_connection_has_the_port(netns: None) -> None:
    with server(), socket.create_connection(("127.0.0.1", PORT)) as client:
        taken = client.getsockname()[1]
        verdict = why("0.0.0.0", taken, reuseaddr=True)
        assert cause(verdict) == "client-port"
        assert f"to 127.0.0.1:{PORT}" in str(verdict.cause)
        assert not any("kill" in (each.command or "") for each in verdict.fixes)
        carry_out(fix(verdict, "as root, reserve the port"))
        reserved = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text()
        assert reserved.strip() == str(taken)


def test_a_connection_to_itself(netns: None) -> None:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 40000))
        sock.connect(("127.0.0.1", 40000))
        assert cause(why("127.0.0.1", 40000)) == "self-connect"


def test_a_native_ipv6_connection(netns: None) -> None:
    with server("::") as listener, socket.create_connection(("::1", PORT)), listener.accept()[0]:
        listener.close()
        verdict = why("0.0.0.0", reuseaddr=True)
        if REAL_ROOT:
            assert cause(verdict) == "native-ipv6-connection"


@pytest.mark.skipif(not REAL_ROOT, reason="needs a second user")
def test_a_group_of_another_user(netns: None) -> None:
    with server("127.0.0.1", PORT, SHARE):
        verdict = why("127.0.0.1", reuseport=True, uid=1234)
        assert (verdict.bind, cause(verdict)) == ("EADDRINUSE", "reuseport-other-user")


def test_a_member_without_the_flag(netns: None) -> None:
    with server("127.0.0.1", PORT):
        assert cause(why("127.0.0.1", reuseport=True)) == "reuseport-member-without"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stopped_holder(netns: None) -> None:
    kept = []
    with idle_child(lambda: kept.append(server())) as pid:
        with stopped(pid):
            verdict = why("127.0.0.1")
            assert cause(verdict) == "holder-stopped"
            assert [each.command for each in verdict.fixes] == [f"kill {pid}", f"kill -CONT {pid}"]
            for each in verdict.fixes:
                carry_out(each)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert why("127.0.0.1").bind == "ok"


def test_a_child_that_inherited_the_listener(netns: None) -> None:
    with server() as listener:
        listener.set_inheritable(True)
        heir = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        verdict = why("127.0.0.1", reuseaddr=True)
        assert cause(verdict) == "inherited-listener"
        assert f"sleep({heir.pid})" in str(verdict.cause)
        carry_out(fix(verdict, "stop what inherited it"))
        heir.wait()
        assert why("127.0.0.1", reuseaddr=True).bind == "ok"
    finally:
        heir.kill()
        heir.wait()


def test_docker_proxy(netns: None, tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        f"s = socket.create_server(('127.0.0.1', {PORT}))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    program = shutil.copy(os.path.realpath(sys.executable), tmp_path / "docker-proxy")
    proxy = [str(program), "-c", code, "-container-ip", "172.17.0.2", "-container-port", "80"]
    home = f"{sys.base_prefix}:{sys.base_exec_prefix}"
    with subprocess.Popen(
        proxy,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHOME": home},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        verdict = why("127.0.0.1")
        assert cause(verdict) == "docker-proxy"
        assert "172.17.0.2:80" in str(verdict.cause)
        process.stdin.close()


@pytest.mark.skipif(not REAL_ROOT, reason="needs a second user")
def test_a_holder_that_an_ordinary_user_may_not_see(netns: None) -> None:
    with server() as listener:

        def as_user() -> Verdict:
            listener.close()
            become(1234)
            return why("127.0.0.1")

        verdict = in_child(as_user)
        assert cause(verdict) == "holder-not-visible"
        assert verdict.fixes[0].command == (
            f"sudo {sys.executable} -I -m sockwatch why 127.0.0.1:{PORT} --uid 1234"
        )


def test_a_socket_in_flight(netns: None) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        listener = server()
        rights = array.array("i", [listener.fileno()])
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        listener.close()
        verdict = why("127.0.0.1")
        # Where some process hides its fds, that one could hold it.
        hidden = any(gap.code.startswith("holders-") for gap in verdict.gaps)
        assert cause(verdict) == ("holder-not-visible" if hidden else "no-fd-anywhere")
    assert why("127.0.0.1").bind == "ok"


def test_a_free_port_in_the_range(netns: None) -> None:
    verdict = why("127.0.0.1", 40000)
    assert (verdict.bind, cause(verdict)) == ("ok", "free-in-range")
    carry_out(verdict.fixes[0])
    assert cause(why("127.0.0.1", 40000)) is None


@needs_flags
def test_a_connection_that_its_program_does_not_close(netns: None) -> None:
    kept: list[socket.socket] = []

    def leak() -> None:
        with server() as listener:
            client = socket.create_connection(listener.getsockname())
            kept.append(listener.accept()[0])
        client.close()
        assert kept[0].recv(1) == b""

    with ExitStack() as stack:
        pid = stack.enter_context(idle_child(leak))
        verdict = why("127.0.0.1", reuseaddr=True)
        assert cause(verdict) == "close-wait"
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        assert f"which the peer has closed and {name}({pid}) has not" in str(verdict.cause)
        carry_out(fix(verdict, "stop it"))
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert why("127.0.0.1", reuseaddr=True).bind == "ok"


@needs_flags
def test_a_connection_that_a_worker_still_serves(netns: None) -> None:
    with server() as listener:
        client = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
    with client, idle_child() as pid:
        accepted.close()
        verdict = why("127.0.0.1", reuseaddr=True)
        assert cause(verdict) == "leftovers-no-flag"
        assert any((each.step, each.text[:9]) == ("then", "wait 60 s") for each in verdict.fixes)
        assert fix(verdict, "stop it").command == f"kill {pid}"
        carry_out(fix(verdict, "stop it"))
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        client.close()
        assert cause(why("127.0.0.1", reuseaddr=True)) == "time-wait-no-flag"
