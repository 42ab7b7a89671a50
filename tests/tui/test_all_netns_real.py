"""The screen across network namespaces that the test has made."""

from __future__ import annotations

import os
import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.beds import bed, podman
from tests.support.child import idle_child
from tests.support.netns import enter_new_netns, netns_inode, set_ipv4_sysctl
from tests.support.waiting import wait_until
from tests.tui.tmux import PAUSE_S, Tmux, tmux_is_there

PORT, FIRST = 7777, 20_000
GENERATIONS, EACH = 5, 10
pytestmark = [
    pytest.mark.usefixtures("netns"),
    pytest.mark.skipif(not tmux_is_there(), reason="tmux is not installed"),
]
_kept: list[socket.socket] = []  # of a child, while it lives


def listen(port: int) -> socket.socket:
    sock = socket.create_server(("127.0.0.1", port))
    _kept.append(sock)
    return sock


def listen_elsewhere(port: int) -> None:
    enter_new_netns()
    set_ipv4_sysctl("ip_unprivileged_port_start", "80")
    listen(port)


def inode_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def fds(pid: int) -> list[str]:
    """What each fd of the process leads to."""
    targets = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            targets.append(os.readlink(fd))
    return targets


def test_one_number_in_two_namespaces_is_two_rows_each_with_its_own_details(
    tmp_path: Path,
) -> None:
    with listen(PORT), idle_child(lambda: listen_elsewhere(PORT)) as pid:
        here, there = netns_inode(), inode_of(pid)
        with Tmux(tmp_path, size=(100, 24)) as tmux:
            tmux.wait_for("PROTO", f"{PORT} tcp")
            assert "NETNS" not in tmux.screen
            tmux.press("N")
            tmux.wait_for("all namespaces (")
            tmux.press("/", *f"port:{PORT}", "Enter")
            rows = [f"{PORT} tcp   {inode} " for inode in (here, there)]
            tmux.wait_for(*rows, "1 of 2")
            assert re.search(rf" {PORT}/tcp is held by \S+\({os.getpid()}\)", tmux.screen)
            tmux.press("Down")
            tmux.wait_for(f"netns {there}: {PORT}/tcp is held by ", f"({pid})")
            tmux.press("Enter")
            tmux.wait_for(f"{PORT}/tcp is held by ", f"({pid})", f"netns {there}", "1 listener")
            tmux.press("Escape")
            tmux.wait_for("2 of 2")
            tmux.press("N")
            tmux.wait_for("1 of 1")
            assert "NETNS" not in tmux.screen


def test_a_restart_is_judged_with_the_sysctls_of_its_namespace(tmp_path: Path) -> None:
    """Whoever looks may have no right to port 81 here, and may have it there."""
    with idle_child(lambda: listen_elsewhere(81)) as pid, Tmux(tmp_path) as tmux:
        tmux.wait_for("PROTO")
        tmux.press("/", *f"netns:{inode_of(pid)}", "Enter")
        tmux.wait_for(f"netns {inode_of(pid)}: 81/tcp", "will bind at once")


def test_a_container_is_found_by_its_name(tmp_path: Path) -> None:
    with bed() as inside:
        others = [podman(inside, f"web{number}", port=PORT) for number in (1, 3)]
        wanted = podman(inside, "web2", port=PORT)
        with Tmux(tmp_path, size=(100, 24)) as tmux:
            tmux.press("N")
            tmux.wait_for(f"{PORT} tcp   ", "all namespaces (")
            tmux.press("/", *"container:web2", "Enter")
            tmux.wait_for("1 of 1 (", f" {wanted.pid}")
            assert not any(f" {other.pid}" in tmux.screen for other in others)
            tmux.press("Enter")
            tmux.wait_for(f"{PORT}/tcp is held by busybox({wanted.pid})", "container web2")


def test_namespaces_that_come_and_go_leave_no_row_and_no_fd(tmp_path: Path) -> None:
    size = (80, 24 + GENERATIONS * EACH)  # what has gone stays for a moment
    with Tmux(tmp_path, "--interval", "0.25", size=size) as tmux:
        tmux.wait_for("PROTO")
        tmux.press("N")
        tmux.wait_for("all namespaces (")
        tmux.press("/", *f"port:{FIRST}", "Enter")
        tmux.wait_for(f"{FIRST} tcp", "nobody has it")
        with idle_child(lambda: listen_elsewhere(FIRST)) as pid:
            # Only a closer look reads where a process runs.
            tmux.wait_for(f"netns {inode_of(pid)}: {FIRST}/tcp", os.getcwd())
        before = len(fds(tmux.pid))
        for generation in range(GENERATIONS):
            with ExitStack() as living:
                inodes = [
                    inode_of(living.enter_context(idle_child(lambda: listen_elsewhere(FIRST))))
                    for _ in range(EACH)
                ]
                tmux.wait_for(*(f"tcp   {inode} " for inode in inodes))
                tmux.press("Down" if generation % 2 else "End")  # a closer look at one of them
                assert_none_is_kept(tmux.pid, inodes)
        tmux.wait_for("nobody has it")
        # What is opened once, at need, is not one for each namespace.
        wait_until(
            lambda: len(fds(tmux.pid)) < before + EACH, lambda: "\n".join(fds(tmux.pid)), PAUSE_S
        )


def assert_none_is_kept(pid: int, inodes: list[int]) -> None:
    """Between its looks the process has no fd of these namespaces."""
    wait_until(
        lambda: not {f"net:[{inode}]" for inode in inodes}.intersection(fds(pid)),
        lambda: "\n".join(fds(pid)),
    )
