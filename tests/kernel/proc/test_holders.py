"""Every holder of a socket, whatever table its fd is in."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

import sockwatch
from sockwatch.kernel.proc import holders
from sockwatch.kernel.proc.proc_stat import parse_stat
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.model import Port
from tests.support.child import become, idle_child
from tests.support.privilege import REAL_ROOT

CLONE_FILES = 0x400


def look(number: int) -> Port:
    port = sockwatch.take_snapshot(number).port("tcp", number)
    assert port is not None
    return port


def listener(number: int = 8080) -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", number))
    sock.listen()
    return sock


def test_a_pre_forked_listener_has_four_holders(netns: None) -> None:
    with listener() as sock, ExitStack() as stack:
        children = {stack.enter_context(idle_child()) for _ in range(3)}
        found = look(8080).listeners[0].holders
        assert {holder.pid for holder in found} == {os.getpid(), *children}
        assert {holder.fd for holder in found} == {sock.fileno()}
        parents = {h.process.parent_pid for h in found if h.process and h.pid in children}
        assert parents == {os.getpid()}


def test_two_fds_of_one_process(netns: None) -> None:
    with listener() as sock, sock.dup() as copy:
        found = look(8080).listeners[0].holders
        assert {(h.pid, h.fd) for h in found} == {
            (os.getpid(), sock.fileno()),
            (os.getpid(), copy.fileno()),
        }


def _keep_in_a_thread_with_its_own_table() -> None:
    """Open the listener in a thread that shares its fds with nobody."""
    ready = threading.Event()

    def work() -> None:
        ctypes.CDLL(None).unshare(CLONE_FILES)
        sock = listener()
        ready.set()
        threading.Event().wait()
        sock.close()

    threading.Thread(target=work, daemon=True).start()
    ready.wait()


def test_a_thread_with_an_fd_table_of_its_own(netns: None) -> None:
    with idle_child(_keep_in_a_thread_with_its_own_table) as pid:
        assert {holder.pid for holder in look(8080).listeners[0].holders} == {pid}


WITHOUT_A_LEADER = """
import ctypes, os, socket, threading
def serve():
    sock = socket.create_server(("127.0.0.1", 8080))
    while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z":
        pass
    os.write(1, b"1")
    threading.Event().wait()
threading.Thread(target=serve).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit(2)
"""


@pytest.mark.skipif(not REAL_ROOT, reason="only root may read the fds behind a dead leader")
def test_a_process_whose_leader_has_exited(netns: None) -> None:
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_A_LEADER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.read(1) == b"1", "the thread has failed"
            assert os.listdir(f"/proc/{child.pid}/fd") == []
            (found,) = look(8080).listeners[0].holders
            assert found.pid == child.pid
            assert found.process is not None
            assert found.process.state == "Z"
        finally:
            child.kill()


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to become somebody else")
def test_a_process_that_may_not_be_read_is_counted(netns: None) -> None:
    with listener() as sock:
        inode = os.fstat(sock.fileno()).st_ino
        scan = holders.scan([inode])
        with idle_child():
            os.seteuid(1234)
            try:
                refused = holders.scan([inode])
            finally:
                os.seteuid(0)
        assert [holder.pid for holder in scan.holders[inode]] == [os.getpid()]
        assert refused.unreadable > scan.unreadable


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to become somebody else")
def test_identity(netns: None) -> None:
    names = ProcessNames()
    with idle_child(lambda: become(65534)) as pid:
        process = names.identify(pid)
        assert process is not None
        assert process.uid == 65534
        assert process.user == "nobody"
        assert process.parent_pid == os.getpid()
        again = names.identify(pid)
        assert again is not None
        assert again._replace(state=process.state) == process
    assert names.identify(pid) is None


def test_a_new_program_in_the_same_process_is_seen() -> None:
    names = ProcessNames()
    with subprocess.Popen(["sh", "-c", "read go; exec cat"], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        before = names.identify(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        while Path(f"/proc/{child.pid}/comm").read_text() != "cat\n":
            pass
        after = names.identify(child.pid)
        child.stdin.close()
    assert before is not None
    assert after is not None
    assert (before.name, after.name, after.command) == ("sh", "cat", "cat")
    assert before.start_time == after.start_time


def test_a_stat_line_with_a_hostile_name() -> None:
    tail = b" S 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 1 1"
    stat = parse_stat(b"12 (a) R 1 (b\n) )" + tail)
    assert stat is not None
    assert (stat.comm, stat.state, stat.parent_pid, stat.start_ticks) == (
        b"a) R 1 (b\n) ",
        "S",
        7,
        4242,
    )
    assert parse_stat(b"12 (a) S 7") is None
    assert parse_stat(b"") is None
