"""Acts from the screen on real processes, in a network namespace of the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import CAN_MAKE_NETNS
from tests.support.child import idle_child
from tests.support.netns import enter_new_netns
from tests.support.waiting import PATIENCE_S
from tests.tui.tmux import Tmux, tmux_is_there

pytestmark = [
    pytest.mark.usefixtures("netns"),
    pytest.mark.skipif(not tmux_is_there(), reason="tmux is not installed"),
    pytest.mark.skipif(not CAN_MAKE_NETNS, reason="this user may not make network namespaces"),
]
PORT = 8080
_kept: list[socket.socket] = []  # of a child, while it lives
SERVER = f"""
import signal, socket, sys
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: None)
server = socket.create_server(("127.0.0.1", {PORT}))
open_ones = []
print("ready", flush=True)
while True:
    open_ones.append(server.accept()[0])
"""
CLIENT = f"""
import socket, sys
client = socket.create_connection(("127.0.0.1", {PORT}))
print("ready", flush=True)
client.recv(1)  # the end of the server
sys.stdin.read()
"""


@contextmanager
def program(code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said that it is ready."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def can_restart() -> bool:
    """Whether a server that sets SO_REUSEADDR, as the one before did, gets the port."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", PORT))
            sock.listen()
        except OSError:
            return False
        return True


def open_menu(tmux: Tmux) -> None:
    tmux.wait_for(f"{PORT} tcp")
    tmux.press(*str(PORT))
    tmux.wait_for(f"port {PORT} ")
    tmux.press("Space")
    tmux.wait_for("Enter choose", "shows the plan and asks")


def free(tmux: Tmux) -> None:
    open_menu(tmux)
    tmux.wait_for(" by SIGTERM")  # the plan, which takes a look at the port alone
    tmux.press("Enter")
    tmux.wait_for(f"type {PORT} and Enter to do this", "plan ")
    tmux.press(*str(PORT), "Enter")


def test_a_server_ends_once_the_number_is_typed_and_its_client_lives(tmp_path: Path) -> None:
    with program(SERVER) as server, program(CLIENT) as client, Tmux(tmp_path) as tmux:
        tmux.wait_for("Space act")
        open_menu(tmux)
        tmux.wait_for(f"free         end python3({server.pid}) by SIGTERM")
        tmux.press("Enter")
        tmux.wait_for(f"python3({server.pid}) of ", f"type {PORT} and Enter to do this", "plan ")
        tmux.press("Enter", "8", "y", "Enter")
        tmux.wait_for("that is not the number")
        assert server.poll() is None
        assert not can_restart()
        tmux.press(*str(PORT), "Enter")
        assert server.wait(PATIENCE_S) == -signal.SIGTERM
        tmux.wait_for("SIGTERM sent to", "has ended", "with SO_REUSEADDR it")
        assert can_restart()
        assert client.poll() is None
        tmux.press("Escape")
        tmux.wait_for(f"stopped: SIGTERM was sent to python3({server.pid})", "Esc back")
        tmux.press("Escape")
        tmux.wait_for("Space act")
    assert client.returncode == -signal.SIGKILL  # by the test itself


def test_a_port_without_connections_is_proved_to_be_free(tmp_path: Path) -> None:
    with program(SERVER) as server, Tmux(tmp_path) as tmux:
        free(tmux)
        tmux.wait_for("the port is free", f"{PORT}/tcp: nobody has it", "Esc back")
        assert server.wait(PATIENCE_S) == -signal.SIGTERM
        assert can_restart()


def test_quitting_in_the_middle_kills_nobody_and_is_quick(tmp_path: Path) -> None:
    with program(SERVER, "deaf") as server, Tmux(tmp_path) as tmux:
        screen = psutil.Process(tmux.pid)
        free(tmux)
        tmux.wait_for("SIGTERM sent to", "Esc take no further step")
        tmux.press("C-c")
        screen.wait(PATIENCE_S)
        assert server.poll() is None


@pytest.mark.exhaustive  # SIGTERM has ten seconds
def test_what_does_not_end_by_sigterm_is_asked_about(tmp_path: Path) -> None:
    with program(SERVER, "deaf") as server, Tmux(tmp_path) as tmux:
        free(tmux)
        tmux.wait_for(f"type {server.pid} and Enter to kill python3({server.pid}):")
        tmux.press(*str(PORT), "Enter")
        tmux.wait_for("that is not the number")
        assert server.poll() is None
        tmux.press(*str(server.pid), "Enter")
        tmux.wait_for("the port is free")
        assert server.wait(PATIENCE_S) == -signal.SIGKILL


def test_it_is_told_once_the_port_is_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", PORT)) as server, Tmux(tmp_path) as tmux:
        tmux.wait_for(f"{PORT} tcp")
        open_menu(tmux)
        tmux.wait_for("by SIGTERM")
        tmux.press("Down")
        tmux.wait_for("\u258c wait ")
        tmux.press("Enter")
        tmux.wait_for(f"waiting for {PORT}/tcp")
        server.close()
        tmux.wait_for(f"{PORT}/tcp is free: bind() would succeed now")


def test_readonly_hides_the_acts(tmp_path: Path) -> None:
    with program(SERVER) as server, Tmux(tmp_path, "--readonly") as tmux:
        tmux.wait_for(f"{PORT} tcp", "q quit")
        assert "Space" not in tmux.screen
        tmux.press("Space")
        tmux.wait_for("--readonly disables acts")
        tmux.press("Enter", *str(PORT), "Enter")
        tmux.wait_for("1 listener", "Esc back")
        assert "Space" not in tmux.screen
        assert server.poll() is None


def listen_elsewhere() -> None:
    enter_new_netns()
    _kept.append(socket.create_server(("127.0.0.1", PORT)))


def test_in_another_namespace_its_own_server_ends(tmp_path: Path) -> None:
    with (
        program(SERVER) as here,
        idle_child(listen_elsewhere) as there,
        Tmux(tmp_path, size=(100, 24)) as tmux,
    ):
        inode = os.stat(f"/proc/{there}/ns/net").st_ino
        tmux.wait_for(f"{PORT} tcp")
        tmux.press("N")
        tmux.wait_for("all namespaces (")
        tmux.press("/", *f"port:{PORT} netns:{inode}", "Enter")
        tmux.wait_for("1 of 1", f"({there})")
        tmux.press("Space")
        tmux.wait_for(f"in netns {inode}, {PORT}/tcp is held by ", f"({there}) by SIGTERM")
        tmux.press("Enter")
        tmux.wait_for(f"type {PORT} and Enter to do this", "plan ")
        tmux.press(*str(PORT), "Enter")
        tmux.wait_for("SIGTERM sent to ", "has ended", "Esc back")
        assert psutil.Process(there).status() == psutil.STATUS_ZOMBIE
        assert here.poll() is None
        assert not can_restart()
