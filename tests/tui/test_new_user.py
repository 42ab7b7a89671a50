"""What somebody sees who opens the screen for the first time, minutes after a restart failed."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import CAN_MAKE_NETNS
from tests.support.child import idle_child
from tests.support.waiting import wait_until
from tests.tui.tmux import Tmux, tmux_is_there

pytestmark = [
    pytest.mark.skipif(not tmux_is_there(), reason="tmux is not installed"),
    pytest.mark.skipif(not CAN_MAKE_NETNS, reason="this user may not make network namespaces"),
]
DEV, LEFT, ORPHANED, GRPC = 3000, 8000, 8100, 50051
CONNECTIONS = 3000
_kept: list[socket.socket] = []  # open until the process ends


@contextmanager
def dev_server() -> Iterator[subprocess.Popen[bytes]]:
    """A real one, which a second start of it finds in its way."""
    command = [sys.executable, "-m", "http.server", str(DEV), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(is_answered)
            again = subprocess.run(command, capture_output=True, check=False)
            assert b"Address already in use" in again.stderr
            yield server
        finally:
            server.kill()


def is_answered() -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", DEV)) == 0


def leave_a_time_wait() -> None:
    """What a server without SO_REUSEADDR leaves behind, which has closed first."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", LEFT))
        server.listen()
        client = socket.create_connection(("127.0.0.1", LEFT))
        server.accept()[0].close()
        client.close()


@contextmanager
def orphaned_workers() -> Iterator[list[int]]:
    """Two workers whose master is gone, which share its socket."""
    told, tell = os.pipe()
    master = os.fork()
    if master == 0:
        os.setsid()
        _kept.append(socket.create_server(("127.0.0.1", ORPHANED)))
        for _ in range(2):
            if (worker := os.fork()) == 0:
                os.close(tell)
                signal.pause()
                os._exit(0)
            os.write(tell, b"%d " % worker)
        os._exit(0)
    os.close(tell)
    os.waitpid(master, 0)
    with open(told) as written:
        workers = [int(pid) for pid in written.read().split()]
    try:
        yield workers
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)


def serve_grpc() -> None:
    """A server within the range of client ports, and connections from that range to it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = socket.create_server(("127.0.0.1", GRPC), backlog=64)
    _kept.append(server)
    for _ in range(CONNECTIONS):
        _kept.append(socket.create_connection(("127.0.0.1", GRPC)))
        _kept.append(server.accept()[0])


def test_each_port_is_found_by_its_number_and_answers(netns: None, tmp_path: Path) -> None:
    leave_a_time_wait()
    with (
        dev_server() as server,
        orphaned_workers() as workers,
        idle_child(serve_grpc) as grpc,
        Tmux(tmp_path) as terminal,
    ):
        terminal.wait_for("1 of 4, and 3,00", "3,000 to 127.0.0.1:50051")
        wanted = {
            DEV: (
                f"is held by python3({server.pid})",
                "restart   will bind at once",
                f"python3 -m http.server {DEV}",
            ),
            LEFT: (
                "no process has it: 1 TIME_WAIT without SO_REUSEADDR",
                "setting it now will not help",
                "next      wait ",
            ),
            ORPHANED: (
                f"({workers[0]}) and ",
                f"({workers[1]}), started",
                "without their",
            ),
            GRPC: (
                f"({grpc})",
                "restart   will bind at once: its 3000 open connections and the new socket both",
            ),
        }
        for port, answers in wanted.items():
            terminal.press(*str(port))
            terminal.wait_for(f"port {port} ")  # what has been typed
            terminal.press("Escape")
            terminal.wait_for(f"{port}/tcp", " of 4, and ", *answers)
