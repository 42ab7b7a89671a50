"""`sockwatch hold`: nobody takes the port, and the program that is to have it gets it."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from sockwatch.cli.exit_codes import ExitCode
from tests.support.run import PYTHON, SERVER, SOCKWATCH
from tests.support.schemas import read_document
from tests.support.tools import need
from tests.support.waiting import wait_until

# Serves one connection, on the socket it binds, or on the one that it is passed.
SERVE = """
import os, socket, sys
if os.environ.get("LISTEN_PID") == str(os.getpid()):
    assert os.environ["LISTEN_FDS"] == "1"
    sock = socket.socket(fileno=3)
else:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.bind((sys.argv[1], int(sys.argv[2])))
sock.listen()
print("serves", sock.getsockname()[:2], os.get_inheritable(sock.fileno()), flush=True)
options = (socket.SO_REUSEADDR, socket.SO_KEEPALIVE)
print([sock.getsockopt(socket.SOL_SOCKET, option) for option in options], flush=True)
sock.accept()[0].sendall(b"hello")
"""


def hold(*arguments: str, program: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    words = [*SOCKWATCH, "hold", *arguments, *(["--", *program] if program else [])]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@contextlib.contextmanager
def holding(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*SOCKWATCH, "hold", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith("sockwatch: holding ")
        try:
            yield process
        finally:
            process.kill()


def outcome(address: str, port: int, *, reuse: bool, kind: int = socket.SOCK_STREAM) -> int:
    """The errno of bind(), 0 for success."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            sock.bind((address, port))
        except OSError as error:
            return error.errno or 0
    return 0


@pytest.mark.parametrize(
    ("asked", "address", "kind"),
    [
        ("8080", "127.0.0.1", socket.SOCK_STREAM),
        ("8080", "::1", socket.SOCK_STREAM),
        ("127.0.0.1:8080", "0.0.0.0", socket.SOCK_STREAM),
        ("[::1]:8080", "::1", socket.SOCK_STREAM),
        ("localhost:8080", "127.0.0.1", socket.SOCK_STREAM),
        ("8080/udp", "127.0.0.1", socket.SOCK_DGRAM),
    ],
)
def test_nobody_takes_it(asked: str, address: str, kind: int, netns: None) -> None:
    with holding(asked) as process:
        for reuse in (False, True):
            assert outcome(address, 8080, reuse=reuse, kind=kind) == errno.EADDRINUSE
        if kind == socket.SOCK_STREAM:
            with pytest.raises(ConnectionRefusedError):  # it does not listen
                socket.create_connection((address.replace("0.0.0.0", "127.0.0.1"), 8080))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == ExitCode.INTERRUPTED
    assert outcome(address, 8080, reuse=False, kind=kind) == 0


def leave_time_wait() -> None:
    """Of a connection that the server has closed first."""
    with socket.create_server(("127.0.0.1", 8080)) as server:
        client = socket.create_connection(("127.0.0.1", 8080))
        server.accept()[0].close()
        assert client.recv(1) == b""
        client.close()


def test_past_a_time_wait(netns: None) -> None:
    leave_time_wait()
    assert outcome("127.0.0.1", 8080, reuse=False) == errno.EADDRINUSE
    with holding("127.0.0.1:8080"):
        assert outcome("127.0.0.1", 8080, reuse=True) == errno.EADDRINUSE


def test_a_port_that_is_taken(netns: None) -> None:
    """Also by who may want to listen yet."""
    for listens in (True, False):
        with socket.socket() as owner:
            owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            owner.bind(("127.0.0.1", 8080))
            if listens:
                owner.listen()
            done = hold("127.0.0.1:8080")
            assert done.returncode == ExitCode.NO
            assert done.stderr == (
                "sockwatch: 127.0.0.1:8080 cannot be held: Address already in use\n"
            )
            assert done.stdout.startswith("8080/tcp is ")
            owner.listen()


def test_json(netns: None) -> None:
    with subprocess.Popen(
        [*SOCKWATCH, "hold", "--json", "127.0.0.1:8080"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        document = read_document(process.stdout.readline(), "hold")
        assert document == {
            "schema": 2, "protocol": "tcp", "address": "127.0.0.1", "port": 8080,
            "pid": process.pid,
        }  # fmt: skip
        process.terminate()


@pytest.mark.parametrize("way", [[], ["--listen-fds"]])
def test_a_program_takes_it_over(way: list[str], netns: None) -> None:
    words = [*SOCKWATCH, "hold", *way, "127.0.0.1:8080", "--"]
    with subprocess.Popen(
        [*words, *PYTHON, SERVE, "127.0.0.1", "8080"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == f"serves ('127.0.0.1', 8080) {bool(way)}\n"
        if not way:
            assert json.loads(process.stdout.readline()) == [1, 1]
        with socket.create_connection(("127.0.0.1", 8080)) as client:
            assert client.recv(10) == b"hello"
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    if not way:
        assert err == "sockwatch: 127.0.0.1:8080 is handed over to the program\n"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("8080", "[::]:8080 is released, and not handed over: the program's socket is of IPv4"),
        (
            "0.0.0.0:8080",
            "0.0.0.0:8080 is released, and not handed over: the program binds",
        ),
    ],
)
def test_what_does_not_fit_is_released(asked: str, why: str, netns: None) -> None:
    done = hold(asked, program=[*PYTHON, SERVER, "8080"])
    assert (done.returncode, done.stdout) == (0, "8080 serves\n")
    assert f"sockwatch: {why}" in done.stderr


def test_another_port_is_not_its_business(netns: None) -> None:
    done = hold("127.0.0.1:8080", program=[*PYTHON, SERVER, "8081", "8080"])
    assert done.stdout.splitlines() == ["8081 serves", "8080 serves"]


def test_static_busybox_takes_it_over(netns: None) -> None:
    need("busybox")
    with subprocess.Popen(
        [*SOCKWATCH, "hold", "127.0.0.1:8080", "--", "busybox", "httpd", "-f", "-p",
         "127.0.0.1:8080"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip

        def is_served() -> bool:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", 8080)).close()
                return True
            return False

        wait_until(is_served)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert "is handed over" in err
    assert process.returncode == 128 + signal.SIGTERM


def test_a_call_that_is_left_to_the_kernel_gets_the_port(netns: None) -> None:
    """What we hold is not in the way of a program whose rights may differ from ours."""
    need("unshare")
    done = hold("127.0.0.1:8080", program=["unshare", "-r", *PYTHON, SERVER, "8080"])
    assert done.stdout == "8080 serves\n"
    assert "127.0.0.1:8080 is released, and not handed over: a call is not seen: " in done.stderr
