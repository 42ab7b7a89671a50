"""`sockwatch failures` as a user meets it: lines, documents, exit codes, streams."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sockwatch import watch
from sockwatch.cli import failure_document, main
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.watch import refusal
from tests.support.child import become, in_child
from tests.support.failing import bind, forked
from tests.support.netns import netns_inode
from tests.support.privilege import needs_root
from tests.support.schemas import read_document

COMMAND = [sys.executable, "-m", "sockwatch", "failures"]
LOADED = failure_document, watch, refusal  # while this user may read the files
pytestmark = needs_root


@pytest.fixture
def taken(netns: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 8080)) as sock:
        yield sock


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, once it says that it is attached."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("sockwatch: watching every bind() and listen() on this host;")
        assert "each system call costs about 0.1 us more" in line
        try:
            yield process
        finally:
            process.kill()


def fail() -> int:
    return forked(lambda: bind(socket.AF_INET, ("127.0.0.1", 8080)))


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The next line that holds the text; others of the host may come before."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError("the command ended")


def test_a_line_comes_at_once(taken: socket.socket) -> None:
    with watching() as process:
        for _ in range(2):  # the second is made when the first has been read
            pid = fail()
            line = line_with(process, f"({pid})")
            head, _, why = line.partition(" EADDRINUSE: ")
            assert head.split()[2:] == ["bind", "tcp", "127.0.0.1:8080"]
            assert f"({os.getpid()})" in why
            # The child that fails may be gone by then, or be seen to be one of ours.
            causes = (
                " listens on 127.0.0.1:8080, ",
                " has 127.0.0.1:8080: the same program ",
                " has 127.0.0.1:8080, and ",
            )
            assert any(cause in why for cause in causes), why
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == ExitCode.INTERRUPTED


def test_json(taken: socket.socket) -> None:
    with watching("--json") as process:
        pid = fail()
        document: dict[str, Any] = read_document(line_with(process, f'"pid": {pid},'), "failures")
    assert set(document) == {
        "schema", "time", "pid", "tid", "comm", "process", "uid", "unit", "origin", "call",
        "fd", "protocol", "family", "address", "port", "device", "errno", "reuseaddr", "reuseport",
        "v6only", "flags_source", "netns", "blockers", "reason", "cause", "fixes", "explained",
        "looked_after_s", "repeats", "gaps",
    }  # fmt: skip
    expected = {
        "schema": 2,
        "pid": pid,
        "tid": pid,
        "uid": os.getuid(),
        "call": "bind",
        "protocol": "tcp",
        "family": "ipv4",
        "address": "127.0.0.1",
        "port": 8080,
        "device": None,
        "errno": "EADDRINUSE",
        "reuseaddr": False,
        "reuseport": False,
        "v6only": None,
        "flags_source": "bpf",
        "explained": True,
    }
    assert {key: document[key] for key in expected} == expected
    assert document["netns"]["inode"] == netns_inode()
    assert set(document["process"]) == {
        "name", "command", "user", "start_time", "parent_pid", "parent_name",
    }  # fmt: skip
    assert document["process"]["parent_pid"] == os.getpid()
    (blocker,) = document["blockers"]
    # The failing process is our fork, and holds what we hold for as long as it lives.
    assert {holder["pid"] for holder in blocker["holders"]} - {pid} == {os.getpid()}
    assert set(document["cause"]) == {"id", "text", "evidence"}


def test_json_of_a_unix_socket(taken: socket.socket) -> None:
    with watching("--json") as process, socket.socket(socket.AF_UNIX) as owner:
        owner.bind(b"\0in/the/way")
        pid = forked(lambda: bind(socket.AF_UNIX, b"\0in/the/way"))
        document = read_document(line_with(process, f'"pid": {pid},'), "failures")
        inet = fail()
        other = read_document(line_with(process, f'"pid": {inet},'), "failures")
    assert (document["family"], document["address"], document["port"]) == (
        "unix",
        "@in/the/way",
        None,
    )
    assert document["explained"] is True
    (blocker,) = document["blockers"]
    assert set(blocker) == set(other["blockers"][0])
    # The failing process is our fork, and holds what we hold for as long as it lives.
    assert {holder["pid"] for holder in blocker["holders"]} - {pid} == {os.getpid()}


@pytest.mark.whole_host
def test_after_so_many(taken: socket.socket) -> None:
    with watching("--count", "2", "--json") as process:
        for _ in range(3):
            fail()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (ExitCode.YES, "")
    assert [read_document(line, "failures")["errno"] for line in out.splitlines()] == [
        "EADDRINUSE"
    ] * 2


def test_after_so_long(netns: None) -> None:
    with watching("--for", "0.2") as process:
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (ExitCode.YES, "")


def test_a_reader_that_takes_one_line(taken: socket.socket) -> None:
    with watching() as process:
        pid = fail()
        line_with(process, f"({pid})")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == -signal.SIGPIPE
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("capabilities", ["none", "user namespace"])
def test_without_the_privilege(netns: None, capabilities: str) -> None:
    def run() -> tuple[int, str]:
        if capabilities == "none":
            become(65534)
        else:
            assert ctypes.CDLL(None).unshare(0x10000000) == 0
        sys.stderr = io.StringIO()
        return main(["failures"]), sys.stderr.getvalue()

    code, err = in_child(run)
    assert code == ExitCode.UNKNOWN
    assert err.count("\n") == 1
    for name in ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"):
        assert name in err


def test_foreign_text_acts_on_no_terminal(netns: None) -> None:
    """Name, path and command line of the program that fails are its own."""
    hostile = b"\x1b]0;PWNED\x07\xff"
    libc = ctypes.CDLL(None)

    def fail_badly() -> None:
        libc.prctl(15, hostile, 0, 0, 0)
        bind(socket.AF_UNIX, b"\0" + hostile)

    with watching() as plain, watching("--json") as machine, socket.socket(socket.AF_UNIX) as sock:
        sock.bind(b"\0" + hostile)
        pid = forked(fail_badly)
        line = line_with(plain, f"({pid})").rstrip("\n")
        document = read_document(line_with(machine, f'"pid": {pid},'), "failures")
    assert line.isprintable()
    assert "PWNED" in line
    assert document["comm"].isprintable()
    assert document["address"].isprintable()
    assert document["process"]["name"].isprintable()
