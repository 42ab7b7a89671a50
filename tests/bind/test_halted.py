"""Holders that do not run: what the kernel shows of each, and how the port gets free for all."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.kernel.proc.services import UNIFIED, hierarchy_mounts
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Halt
from tests.bind.makers import snapshot
from tests.bind.makers import socket as made_socket
from tests.support import build
from tests.support.child import idle_child
from tests.support.libc import check, libc
from tests.support.privilege import REAL_ROOT
from tests.support.waiting import wait_until

PORT = 8080
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
CLONE, VFORK_FLAGS = 56, 0x4000 | signal.SIGCHLD
needs_cgroups = pytest.mark.skipif(not REAL_ROOT, reason="only root may make a cgroup")


def why(reader: SnapshotReader | None = None) -> Verdict:
    with ExitStack() as stack:
        used = reader or stack.enter_context(SnapshotReader())
        return explain_bind(BindRequest("tcp", "127.0.0.1", PORT), used.take(PORT))


def seen(verdict: Verdict) -> str:
    assert verdict.cause is not None
    return " ".join(verdict.cause.evidence)


@contextmanager
def server() -> Iterator[int]:
    kept = []
    with idle_child(lambda: kept.append(socket.create_server(("127.0.0.1", PORT)))) as pid:
        yield pid


@contextmanager
def cgroup(hierarchy: str, freeze: str, thaw: str) -> Iterator[tuple[Path, Path]]:
    """A cgroup and one below it; the upper one is thawed in the end."""
    if (mount := hierarchy_mounts().get(hierarchy)) is None:
        pytest.skip(f"no {hierarchy} hierarchy is mounted here")
    upper = Path(mount, f"sockwatch test {os.getpid()}")
    lower = upper / "lower"
    lower.mkdir(parents=True)
    try:
        yield upper, lower
    finally:
        (upper / freeze).write_text(thaw)
        for folder in (lower, upper):
            wait_until(partial(_is_empty, folder))
            folder.rmdir()


def _is_empty(folder: Path) -> bool:
    return not (folder / "cgroup.procs").read_text()


@needs_cgroups
@pytest.mark.parametrize(
    ("hierarchy", "file", "frozen", "thawed"),
    [
        (UNIFIED, "cgroup.freeze", "1", "0"),
        ("freezer", "freezer.state", "FROZEN", "THAWED"),
    ],
)
def test_a_holder_below_a_frozen_cgroup(
    netns: None, hierarchy: str, file: str, frozen: str, thawed: str
) -> None:
    with cgroup(hierarchy, file, thawed) as (upper, lower), server() as pid:
        (lower / "cgroup.procs").write_text(str(pid))
        (upper / file).write_text(frozen)
        wait_until(lambda: (why().cause or ("",))[0] == "holder-frozen")
        verdict = why()
        assert str(upper) in seen(verdict)
        thaw, stop = verdict.fixes
        assert thaw.command is not None
        assert stop.command == f"kill {pid}"
        subprocess.run(["sh", "-c", thaw.command], check=True)
        wait_until(lambda: (why().cause or ("",))[0] == "listener")


def test_a_traced_holder(netns: None) -> None:
    with server() as pid:
        check(libc.ptrace(PTRACE_ATTACH, pid, None, None))
        os.waitpid(pid, os.WUNTRACED)
        try:
            verdict = why()
        finally:
            check(libc.ptrace(PTRACE_DETACH, pid, None, None))
        assert verdict.cause is not None
        assert verdict.cause.id == "holder-traced"
        assert f"({os.getpid()}) (state t)" in seen(verdict)
        assert [fix.command for fix in verdict.fixes] == [None, f"kill -KILL {pid}"]


def test_a_stopped_holder_explains_its_full_queue(netns: None) -> None:
    listener = socket.create_server(("127.0.0.1", PORT), backlog=0)
    with socket.create_connection(("127.0.0.1", PORT)), idle_child() as pid:
        listener.close()
        verdict = why()
        assert verdict.cause is not None
        assert verdict.cause.id == "accept-queue-full"
        assert "its accept queue has 1 connection, one more than its backlog" in seen(verdict)
        assert [fix.command for fix in verdict.fixes] == [f"kill {pid}"]
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        verdict = why()
        assert verdict.cause is not None
        assert verdict.cause.id == "holder-stopped"
        assert seen(verdict).count("accept queue") == 1
        os.kill(pid, signal.SIGCONT)


def test_one_of_two_is_stopped(netns: None) -> None:
    """The other one serves; SIGTERM for both frees the port once the stopped one is resumed."""
    listener = socket.create_server(("127.0.0.1", PORT))
    with idle_child() as first, idle_child() as second:
        listener.close()
        os.kill(second, signal.SIGSTOP)
        os.waitid(os.P_PID, second, os.WSTOPPED | os.WNOWAIT)
        verdict = why()
        assert verdict.cause is not None
        assert verdict.cause.id == "listener"
        assert f"({second}) is stopped (state T)" in seen(verdict)
        assert f"({first}) is stopped" not in seen(verdict)
        for fix in verdict.fixes:
            subprocess.run((fix.command or "").split(), check=True)
        for pid in (first, second):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert why().bind == "ok"


def _sleep_in_vfork(seconds: float) -> None:
    """The caller is in state D until its child is gone; the server's other threads run on."""
    if libc.syscall(ctypes.c_long(CLONE), ctypes.c_long(VFORK_FLAGS), 0, 0, 0, 0) == 0:
        libc.usleep(int(seconds * 1e6))
        libc._exit(0)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of clone(2)")
def test_a_sleep_is_called_long_once_it_is(netns: None) -> None:
    listener = socket.create_server(("127.0.0.1", PORT))
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            _sleep_in_vfork(60)
        finally:
            os._exit(0)
    listener.close()
    try:
        with SnapshotReader() as reader:
            wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "D")
            first = why(reader)
            assert first.cause is not None
            assert first.cause.id == "listener"
            wait_until(lambda: "uninterruptible sleep for at least 1 s" in seen(why(reader)))
            # The child holds the socket too, and is in no such sleep.
            last = why(reader)
            assert last.cause is not None
            assert last.cause.id == "listener"
            assert last.fixes[0].command is not None
            assert str(pid) in last.fixes[0].command.split()
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_all_that_hold_it_sleep() -> None:
    one = build.process(7, "app")._replace(state="D", sleeps_s=2.4)
    shown = snapshot(made_socket(holders=(build.holder(one),)))
    verdict = explain_bind(BindRequest("tcp", "0.0.0.0", PORT), shown)
    assert verdict.cause is not None
    assert verdict.cause.id == "holder-uninterruptible"
    assert "app(7) has been in one uninterruptible sleep for at least 2 s" in seen(verdict)
    assert [fix.command for fix in verdict.fixes] == ["kill 7", "cat /proc/7/wchan"]


def test_a_folder_that_cannot_be_typed_is_not_in_a_command() -> None:
    one = build.process(7, "app")._replace(halt=Halt("frozen", "/sys/fs/cgroup/a?b"))
    shown = snapshot(made_socket(holders=(build.holder(one),)))
    verdict = explain_bind(BindRequest("tcp", "0.0.0.0", PORT), shown)
    assert [fix.command for fix in verdict.fixes] == [None, "kill 7"]
