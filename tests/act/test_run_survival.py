"""Under `sockwatch run` nothing of the program breaks: signals, kills of us, daemons, waiting."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import sample
from tests.support.failing import compiled
from tests.support.netns import netns_inode
from tests.support.privilege import needs_root
from tests.support.run import PYTHON, command, end, run, server, standbys
from tests.support.tools import need
from tests.support.waiting import wait_until

SECCOMP = ["--by", "seccomp"]
# Binds a free port each time it reads a line, and says what it got: 0 or an errno.
ON_REQUEST = """
import socket, sys
for line in sys.stdin:
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", int(line)))
        print(0, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
    sock.close()
"""


@pytest.fixture
def taken(netns: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 8080)) as sock:
        yield sock


@pytest.fixture(autouse=True)
def _nothing_stays(netns: None) -> Iterator[None]:
    """No process of ours is left when the last one under the filter has ended."""
    here = netns_inode()

    def ours() -> list[int]:
        return [pid for pid in standbys() if _netns(pid) == here]

    yield
    wait_until(lambda: not ours(), lambda: f"{ours()} stay")


def _netns(pid: int) -> int:
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    return 0


class Asked:
    """The program ON_REQUEST under `sockwatch run`."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            command([*SECCOMP, *options], [*PYTHON, ON_REQUEST]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def ask(self, port: int = 0) -> int:
        """What bind() got."""
        self.send(port)
        return self.answer()

    def send(self, port: int = 0) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{port}\n")
        self.process.stdin.flush()

    def answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def serving(self) -> list[int]:
        """The pids of the supervisor and its standby."""
        here = netns_inode()
        return [pid for pid in standbys() if _netns(pid) == here]

    def finish(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


@contextlib.contextmanager
def asked(*options: str) -> Iterator[Asked]:
    one = Asked(*options)
    try:
        assert one.ask() == 0
        yield one
    finally:
        if one.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate(timeout=60)


def test_the_standby_serves_when_the_supervisor_is_killed(taken: socket.socket) -> None:
    with asked() as one:
        end(one.process.pid)
        assert one.ask() == 0
        assert one.ask(8080) == errno.EADDRINUSE
        for _ in range(3):  # and so does each next one
            wait_until(lambda: len(one.serving()) == 2)
            end(one.serving()[0])
            assert one.ask() == 0
            assert one.ask(8080) == errno.EADDRINUSE


def test_a_killed_standby_is_replaced(taken: socket.socket) -> None:
    with asked() as one:
        for _ in range(3):
            wait_until(lambda: len(one.serving()) == 2)
            end(max(one.serving()))
            assert one.ask() == 0
        wait_until(lambda: len(one.serving()) == 2)
        assert one.ask(8080) == errno.EADDRINUSE
        status, err = one.finish()
        assert status == 0
        assert " bind tcp 127.0.0.1:8080 EADDRINUSE" in err


BINDER = """
import socket, sys
bad = count = 0
print("ready", flush=True)
while count < int(sys.argv[1]):
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        if count % 3 == 0:
            try:
                socket.socket().bind(("127.0.0.1", 8080))
                bad += 1
            except OSError as error:
                bad += error.errno != 98
    except OSError as error:
        bad += 1
        print(error, file=sys.stderr, flush=True)
    sock.close()
    count += 1
print(bad, flush=True)
"""


@pytest.mark.parametrize(
    "kills", [2, pytest.param(200, marks=[pytest.mark.exhaustive, pytest.mark.timeout(1200)])]
)
def test_kills_at_random_moments(kills: int, taken: socket.socket) -> None:
    """No bind() fails that would have succeeded, none succeeds that would have failed."""
    draw = random.Random(sample.SEED)  # noqa: S311 - no secret
    for _ in range(kills):
        with subprocess.Popen(
            command(SECCOMP, [*PYTHON, BINDER, "300"]),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            # The moment is what is tried out.
            time.sleep(draw.uniform(0, 0.1))
            process.kill()
            assert process.stdout.readline() == "0\n", process.stderr and process.stderr.read()


@pytest.mark.parametrize(
    ("way", "number"),
    [
        *(("seccomp", getattr(signal, f"SIG{name}")) for name in ("TERM", "HUP", "INT", "USR1")),
        pytest.param("bpf", signal.SIGTERM, marks=needs_root),
    ],
)
def test_signals_to_us_reach_the_program(way: str, number: signal.Signals, netns: None) -> None:
    script = """
import signal, sys
def on(number, frame):
    print("got", number, flush=True)
    sys.exit(3)
signal.signal(int(sys.argv[1]), on)
print("ready", flush=True)
while True: signal.pause()
"""
    with subprocess.Popen(
        command(["--by", way], [*PYTHON, script, str(int(number))]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert out == f"got {int(number)}\n"
    assert process.returncode == 3
    assert "ended with 3" in err


def test_a_signal_that_the_program_dies_of(netns: None) -> None:
    with asked() as one:
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 128 + signal.SIGTERM


DAEMON = """
import os, socket, sys, time
gate, report = sys.argv[1:]
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
for fd in range(3):
    os.close(fd)
open(gate).read()
result = []
for port in (8081, 8080):
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen()
        result.append(0)
    except OSError as error:
        result.append(error.errno)
with open(report, "w") as file:
    file.write(repr(result))
"""


@pytest.mark.parametrize("way", ["seccomp", pytest.param("bpf", marks=needs_root)])
def test_a_daemon_outlives_us(way: str, taken: socket.socket, tmp_path: Path) -> None:
    gate, report = tmp_path / "gate", tmp_path / "report"
    os.mkfifo(gate)
    os.mkfifo(report)
    done = run(["--by", way], [*PYTHON, DAEMON, str(gate), str(report)])
    assert done.returncode == 0  # its pipes are at their end: nothing of ours holds them
    gate.write_text("go")
    assert report.read_text() == f"[0, {errno.EADDRINUSE}]"


def test_a_program_that_cannot_be_read(taken: socket.socket) -> None:
    """prctl(PR_SET_DUMPABLE, 0): its calls are the kernel's, and we say so."""
    script = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"
    done = run(SECCOMP, ["sh", "-c", "exit 0"])
    assert done.returncode == 0
    from tests.support.run import SERVER
    from tests.support.user import run_as_user

    done = run_as_user(command([], [*PYTHON, script + SERVER, "8080", "8081"]))
    assert done.stdout.splitlines() == [f"8080 {errno.EADDRINUSE}", "8081 serves"]
    assert "3 were not seen: the program " in done.stderr


def test_a_program_in_a_user_namespace_of_its_own(taken: socket.socket) -> None:
    need("bwrap")
    sandbox = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--unshare-net"]
    done = run(SECCOMP, [*sandbox, *server(8080)])
    assert done.stdout == "8080 serves\n"
    done = run(SECCOMP, [*sandbox, *server(80, 80)])
    assert done.stdout.splitlines() == ["80 serves", f"80 {errno.EADDRINUSE}"]
    assert "3 were not seen: the program's user namespace, cgroup" in done.stderr


@needs_root
def test_a_program_that_gives_up_its_rights(taken: socket.socket) -> None:
    """What it may not bind, we do not bind for it."""
    need("setpriv")
    drop = ["setpriv", "--reuid", "65534", "--clear-groups", "busybox", "httpd", "-f", "-p"]
    done = run(SECCOMP, [*drop, "127.0.0.1:80"])
    assert "httpd: bind: Permission denied" in done.stderr
    assert "1 was not seen: the program's user namespace, cgroup, label" in done.stderr
    done = run(SECCOMP, [*drop, "127.0.0.1:8080"])
    assert "bind tcp 127.0.0.1:8080 (reuseaddr) EADDRINUSE" in done.stderr


LANDLOCK = """
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    uint64_t rules[3] = {0, 1 /* LANDLOCK_ACCESS_NET_BIND_TCP */, 0};
    struct sockaddr_in to = {AF_INET, htons(8081), {htonl(INADDR_LOOPBACK)}};
    int fd = syscall(444, rules, sizeof rules, 0);
    if (fd < 0) return 77;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(446, fd, 0)) return 78;
    printf("%d\\n", bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to) ? errno : 0);
    return 0;
}
"""


def test_landlock(netns: None, tmp_path: Path) -> None:
    """What a program forbids itself stays forbidden, though no file of /proc tells it."""
    done = run(SECCOMP, [compiled(LANDLOCK, tmp_path, "landlock")])
    if done.returncode == 77:
        pytest.skip("the kernel has no Landlock")
    assert done.stdout == f"{errno.EACCES}\n"
    assert "1 was not seen: the program has restricted itself by Landlock" in done.stderr


def test_wait_until_the_port_is_free(taken: socket.socket) -> None:
    with asked("--wait") as one:
        one.send(8080)
        assert one.process.stderr is not None
        title = one.process.stderr.readline()
        assert title.endswith("EADDRINUSE; it waits until this succeeds\n")
        taken.close()
        assert one.answer() == 0
        status, err = one.finish()
        assert status == 0
        assert " bind tcp 127.0.0.1:8080 succeeds after " in err
        assert "; 1 has waited and succeeded" in err


def test_wait_for_so_long(taken: socket.socket) -> None:
    with asked("--wait=0.3") as one:
        assert one.ask(8080) == errno.EADDRINUSE
        _, err = one.finish()
        assert re.search(r" bind tcp 127\.0\.0\.1:8080 gets EADDRINUSE after \d s\n", err)


def test_nobody_waits_for_itself(netns: None) -> None:
    done = run([*SECCOMP, "--wait"], server(8080, 8080))
    assert done.stdout.splitlines() == ["8080 serves", f"8080 {errno.EADDRINUSE}"]


def test_others_are_served_while_one_waits(taken: socket.socket) -> None:
    words = " ".join(f"'{word}'" for word in server(8080))
    others = " ".join(f"'{word}'" for word in server(8081, 8082))
    with subprocess.Popen(
        command([*SECCOMP, "--wait"], ["sh", "-c", f"{words} & {others}; wait"]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["8081 serves\n", "8082 serves\n"]
        taken.close()
        out, _ = process.communicate(timeout=60)
    assert out == "8080 serves\n"


def test_a_program_that_is_killed_while_it_waits(taken: socket.socket) -> None:
    with asked("--wait") as one:
        one.send(8080)
        assert one.process.stderr is not None
        assert "it waits" in one.process.stderr.readline()
        one.process.send_signal(signal.SIGTERM)
        assert one.finish()[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize("restarts", [False, True])
def test_signal_handlers_of_the_program(restarts: bool, netns: None) -> None:
    """A handler runs, and no call fails that the program did not see fail without us."""
    script = f"""
import signal, socket
signal.signal(signal.SIGALRM, lambda number, frame: None)
signal.siginterrupt(signal.SIGALRM, {not restarts})
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
result = []
for port in range(20000, 20300):
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", port))
    except InterruptedError:
        result.append("EINTR")
    except OSError as error:
        result.append(error.errno)
print(set(result) - {{"EINTR"}})
"""
    assert run(SECCOMP, [*PYTHON, script]).stdout == "set()\n"


def memory_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_no_fd_and_no_memory_leaks(count: int, taken: socket.socket) -> None:
    with asked() as one:
        pids = one.serving()

        def state() -> list[tuple[int, int]]:
            return [(len(os.listdir(f"/proc/{pid}/fd")), memory_kb(pid)) for pid in pids]

        def bind_all() -> None:
            for number in range(count):
                assert one.ask(8080 if number % 10 == 0 else 0) in (0, errno.EADDRINUSE)

        bind_all()
        before = state()
        bind_all()
        # A call has its answer just before the duplicate of its socket is closed.
        wait_until(
            lambda: not any(now > then for (now, _), (then, _) in zip(state(), before, strict=True))
        )
        after = state()
    assert all(now - then < 200 for (_, then), (_, now) in zip(before, after, strict=True))


def test_the_supervisor_is_small(taken: socket.socket) -> None:
    """It has loaded neither psutil, pyroute2 nor textual, also when it has explained."""
    with asked() as one:
        assert one.ask(8080) == errno.EADDRINUSE
        for pid in one.serving():
            maps = Path(f"/proc/{pid}/maps").read_text()
            assert "psutil" not in maps
            assert memory_kb(pid) < 16_000
        document = json.dumps(one.serving())
        assert len(json.loads(document)) == 2
