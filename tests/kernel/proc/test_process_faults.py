"""Processes that vanish, hide or are enormous while they are looked at."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.bpf.reader import MISSES
from sockwatch.kernel.expendable import LIMIT_S
from sockwatch.kernel.proc import command_lines, processes, reuse_flags
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import GapCode, KernelError, Port, Snapshot
from sockwatch.text import COMMAND_LIMIT
from tests.support.child import idle_child, in_child
from tests.support.privilege import REAL_ROOT
from tests.support.seccomp import refuse, refuse_netlink

CLONE_FILES = 0x400
NUMBER = 8080
MANY_FDS = 100_000
SPARE_FDS = 50
ARGUMENT = "x" * 120_000  # MAX_ARG_STRLEN is 128 KiB
SERVER = """
import socket, sys
sock = socket.socket()
sock.bind(("127.0.0.1", 8080))
sock.listen()
print("ready", flush=True)
sys.stdin.read()
"""


def listener() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", NUMBER))
    sock.listen()
    return sock


def on_port(snapshot: Snapshot) -> Port:
    port = snapshot.port("tcp", NUMBER)
    assert port is not None
    return port


def without_bpf() -> SnapshotReader:
    reader = SnapshotReader()
    reader._bpf.give_up("the walk through /proc is wanted here")
    return reader


@contextmanager
def victim() -> Iterator[int]:
    """A child that holds what we hold, and may be killed at any time."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.pause()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        kill(pid)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # the test has killed it


def before(
    monkeypatch: pytest.MonkeyPatch,
    of: tuple[Any, str],
    happens: Callable[[], object],
    when: Callable[..., bool],
) -> list[bool]:
    """Have something happen before the first call that `when` knows; whether it did."""
    original = getattr(*of)
    happened: list[bool] = []

    def call(*arguments: Any, **named: Any) -> Any:
        if not happened and when(*arguments, **named):
            happened.append(True)
            happens()
        return original(*arguments, **named)

    monkeypatch.setattr(*of, call)
    return happened


def is_fd_directory(pid: int, descriptor: object) -> bool:
    return (
        isinstance(descriptor, int)
        and os.path.realpath(f"/proc/self/fd/{descriptor}") == f"/proc/{pid}/fd"
    )


MOMENTS: dict[str, tuple[tuple[Any, str], Callable[[int], Callable[..., bool]]]] = {
    "open": ((os, "open"), lambda pid: lambda path, *_: path == f"/proc/{pid}/fd"),
    "listdir": ((os, "listdir"), lambda pid: lambda path: is_fd_directory(pid, path)),
    "readlink": (
        (os, "readlink"),
        lambda pid: lambda _, dir_fd=None: is_fd_directory(pid, dir_fd),
    ),
    "stat": ((processes, "read_stat"), lambda pid: lambda seen: seen == pid),
    "identity": ((processes, "_process"), lambda pid: lambda seen, *_: seen == pid),
    "command line": ((command_lines, "read_command_line"), lambda pid: lambda seen: seen == pid),
    "executable": ((processes, "executable_of"), lambda pid: lambda seen: seen == pid),
    "user": ((processes, "_effective_uid"), lambda pid: lambda seen: seen == pid),
    "pidfd": ((reuse_flags, "open_pidfd"), lambda pid: lambda seen: seen == pid),
    "duplicate": ((reuse_flags, "socket_options"), lambda _: lambda *_: True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_that_vanishes_midway(
    netns: None, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    sock = listener()
    with victim() as pid, victim() as survivor, without_bpf() as reader:
        sock.close()
        function, when = MOMENTS[moment]
        happened = before(monkeypatch, function, lambda: kill(pid), when(pid))
        found = on_port(reader.take())
        assert happened
        pids = {holder.pid for holder in found.listeners[0].holders}
        assert {survivor} <= pids <= {survivor, pid}
        assert all(holder.process is not None for holder in found.holders)
        assert [holder.pid for holder in on_port(reader.take()).holders] == [survivor]


@pytest.mark.skipif(not REAL_ROOT, reason="the BPF iterators need root")
def test_a_process_that_vanishes_between_the_iterator_and_its_name(
    netns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock = listener()
    with victim() as pid, SnapshotReader() as reader:
        sock.close()
        happened = before(
            monkeypatch, (processes, "_effective_uid"), lambda: kill(pid), lambda seen: seen == pid
        )
        found = on_port(reader.take())
        assert happened
        assert found.listeners[0].holders == ()
        assert reader.take().port("tcp", NUMBER) is None


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to lose its rights midway")
def test_rights_that_are_lost_between_two_processes(
    netns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        listener() as sock,
        idle_child(sock.close),  # so that there are more than those that hold it
        idle_child() as earlier,
        idle_child() as later,
        without_bpf() as reader,
    ):
        lost = before(
            monkeypatch,
            (os, "open"),
            lambda: os.seteuid(1234),
            lambda path, *_: path == f"/proc/{later}/fd",
        )
        try:
            snapshot = reader.take()
        finally:
            os.seteuid(0)
        assert lost
        pids = {holder.pid for holder in on_port(snapshot).holders}
        assert earlier in pids
        assert later not in pids
        assert "holders-not-permitted" in {gap.code for gap in snapshot.gaps}
        assert later in {holder.pid for holder in on_port(reader.take()).holders}


@pytest.mark.skipif(not REAL_ROOT, reason="the BPF iterators need root")
def test_bpf_that_is_refused_from_the_second_look_on(netns: None) -> None:
    def looks() -> list[Snapshot]:
        with SnapshotReader() as reader:
            first = reader.take()
            refuse("bpf")
            return [first, reader.take(), reader.take()]

    with listener(), socket.create_connection(("127.0.0.1", NUMBER)):
        first, *others = in_child(looks)
        assert on_port(first).listeners[0].flags == (True, False, "bpf")
        for snapshot, why in zip(
            others, ("Operation not permitted", "seccomp filter"), strict=True
        ):
            assert on_port(snapshot).states == on_port(first).states
            assert on_port(snapshot).listeners[0].flags == (True, False, "pidfd_getfd")
            (gap,) = [gap for gap in snapshot.gaps if gap.code == "flags-unknown"]
            assert why in gap.text


@pytest.mark.skipif(not REAL_ROOT, reason="the BPF iterators need root")
@pytest.mark.parametrize("failing", [1, MISSES])
def test_iterators_that_fail_are_tried_again_a_few_times(
    netns: None, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    def fail(*_: object) -> None:
        raise KernelError("out of memory", errno.ENOMEM)

    with listener(), SnapshotReader() as reader:
        with monkeypatch.context() as patch:
            patch.setattr(SocketIterators, "holders", fail)
            for _ in range(failing):
                assert on_port(reader.take()).listeners[0].flags.source == "pidfd_getfd"
        source = on_port(reader.take()).listeners[0].flags.source
    assert source == ("pidfd_getfd" if failing == MISSES else "bpf")


def test_netlink_that_is_refused_from_the_second_look_on(netns: None) -> None:
    def looks() -> list[Snapshot]:
        with SnapshotReader() as reader:
            first = reader.take()
            refuse_netlink(errno.EACCES)
            return [first, reader.take()]

    with listener():
        first, second = in_child(looks)
        assert on_port(second).states == on_port(first).states == {"LISTEN": 1}
        assert (
            "Permission denied"
            in {gap.code: gap.text for gap in second.gaps}[GapCode.SOCK_DIAG_REFUSED]
        )


def test_a_pidfd_that_is_refused_from_the_second_look_on(netns: None) -> None:
    def looks() -> list[Snapshot]:
        with without_bpf() as reader:
            first = reader.take()
            refuse("pidfd_getfd")
            return [first, reader.take()]

    with listener():
        first, second = in_child(looks)
        assert on_port(first).listeners[0].flags == (True, False, "pidfd_getfd")
        assert on_port(second).listeners[0].flags == (True, False, "remembered")


def test_a_command_line_of_a_megabyte(netns: None) -> None:
    command = [sys.executable, "-c", SERVER, *[ARGUMENT] * 9]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        with SnapshotReader() as reader:
            (holder,) = on_port(reader.take()).holders
        assert holder.process is not None
        assert holder.process.command.startswith(sys.executable)
        assert len(holder.process.command) == COMMAND_LIMIT
        table = subprocess.run(
            [sys.executable, "-m", "sockwatch", "ports", "--json"], capture_output=True, check=True
        )
        assert len(table.stdout) < 10_000
        server.stdin.close()


def _open_many() -> None:
    """Many fds in this process: in as many tables, of a thread each, as the limit asks for."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    spare = len(os.listdir("/proc/self/fd")) + SPARE_FDS  # what the tests before have left open
    limit = MANY_FDS + spare if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, MANY_FDS + spare), hard))
    listener().detach()
    nothing = os.open(os.devnull, os.O_RDONLY)
    each = min(limit - spare, MANY_FDS)
    for _ in range(each - 2):
        os.dup(nothing)
    for _ in range(-(-MANY_FDS // each) - 1):
        copied = threading.Event()
        threading.Thread(target=_copy_table, args=(copied,), daemon=True).start()
        copied.wait()


def _copy_table(copied: threading.Event) -> None:
    ctypes.CDLL(None).unshare(CLONE_FILES)
    copied.set()
    threading.Event().wait()


@pytest.mark.parametrize("bpf", [True, False], ids=["bpf", "proc"])
def test_a_process_with_a_hundred_thousand_fds(netns: None, bpf: bool) -> None:
    with (
        idle_child(_open_many) as pid,
        SnapshotReader() if bpf else without_bpf() as reader,
    ):
        tables = [f"/proc/{pid}/task/{task}/fd" for task in os.listdir(f"/proc/{pid}/task")]
        assert sum(len(os.listdir(table)) for table in tables) >= MANY_FDS
        found = on_port(reader.take())
        assert {holder.pid for holder in found.listeners[0].holders} == {pid}
        assert found.listeners[0].flags.reuseaddr is True


def test_a_process_whose_memory_is_locked(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command line cannot be read; all else is told, and the next look does not wait again."""
    reader_end, writer_end = os.pipe()
    monkeypatch.setattr(command_lines, "read_command_line", lambda pid: os.read(reader_end, pid))
    with listener(), SnapshotReader() as reader:
        try:
            first = reader.take()
            started = time.monotonic()
            second = reader.take()
            assert time.monotonic() - started < LIMIT_S
        finally:
            os.write(writer_end, b"x")
            os.close(writer_end)
    for snapshot in (first, second):
        (holder,) = on_port(snapshot).holders
        assert holder.process is not None
        assert (holder.process.pid, holder.process.command) == (os.getpid(), "")
        assert "process-stuck" in {gap.code for gap in snapshot.gaps}


def test_a_clock_that_is_set_back(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives start times by the clock as it is now, and so do we, at once."""
    with listener(), idle_child(), SnapshotReader() as reader:
        first = reader.take()
        real_time = time.time
        monkeypatch.setattr(time, "time", lambda: real_time() - 86_400)
        second = reader.take()
        assert first.time - 86_400 <= second.time < first.time
        ages = [
            {h.pid: snap.time - h.process.start_time for h in on_port(snap).holders if h.process}
            for snap in (first, second)
        ]
        assert ages[0].keys() == ages[1].keys()
        assert len(ages[0]) == 2
        for pid, age in ages[0].items():
            assert abs(ages[1][pid] - age) < 5
