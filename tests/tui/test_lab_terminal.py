"""The lab as it is used: a real sandbox, real servers, a real terminal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import CAN_MAKE_NETNS
from tests.support.waiting import wait_until
from tests.tui.tmux import Tmux, tmux_is_there

pytestmark = [
    pytest.mark.skipif(not tmux_is_there(), reason="tmux is not installed"),
    pytest.mark.skipif(not CAN_MAKE_NETNS, reason="this user may not make network namespaces"),
]
IN_SANDBOX = {"sockwatch-lab", "sockwatch-look"}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Tmux]:
    with Tmux(tmp_path) as started:
        started.wait_for("? help", "l lab")
        started.press("l")
        started.wait_for("sandbox: free play, waiting", "no port is in use in the sandbox")
        yield started


def servers(terminal: Tmux) -> list[psutil.Process]:
    """Every process of the sandbox; psutil compares start times, so a reused pid differs."""
    found = terminal.descendants()
    assert {process.name() for process in found} >= IN_SANDBOX
    return found


def test_two_scenarios_and_free_play(terminal: Tmux) -> None:
    terminal.press("R", "R")
    terminal.wait_for("1 restart-plain        ok", "passed: 8 steps")
    terminal.press("j", "j", "j", "Enter")
    terminal.wait_for("1 ok  2 EADDRINUSE  3 EACCES")
    terminal.press("1")
    terminal.wait_for("namespace  1 of 1 right")
    terminal.press("R")
    terminal.wait_for("4 two-listeners        ok", "passed: ")

    terminal.press("g")
    terminal.wait_for("STEPS  free play")
    terminal.press("a")
    terminal.wait_for("Start a server", "[server-1 ")
    terminal.press("Enter")
    terminal.wait_for("1 start server-1", "predicted ok, kernel ok: agreed", "10013 tcp")
    terminal.press("a")
    terminal.wait_for("[server-2 ")
    terminal.press("Enter")
    terminal.wait_for("= -1 EADDRINUSE", "predicted EADDRINUSE, kernel EADDRINUSE: agreed")

    terminal.press("C")
    terminal.wait_for("Connect clients", "[10013 ")
    terminal.press("Enter")
    terminal.wait_for("client-1: close(3) = 0", "kernel ok", "client-1 ")
    left = servers(terminal)
    terminal.press("q")
    assert_gone(left)


def test_leaving_the_lab_ends_its_processes(terminal: Tmux) -> None:
    left = servers(terminal)
    terminal.press("n")
    terminal.wait_for("1/8", "predicted ok, kernel ok: agreed")
    left += [one for one in servers(terminal) if one not in left]
    assert "old" in {process.name() for process in left}
    terminal.press("Escape")
    terminal.wait_for("l lab")
    assert_gone(left)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=["SIGKILL", "SIGHUP"])
def test_the_end_of_sockwatch_ends_its_processes(terminal: Tmux, number: signal.Signals) -> None:
    terminal.press("n")
    terminal.wait_for("1/8", "predicted ok, kernel ok: agreed")
    left = servers(terminal)
    os.kill(terminal.pid, number)
    assert_gone(left)


def assert_gone(processes: list[psutil.Process]) -> None:
    wait_until(
        lambda: not any(process.is_running() for process in processes),
        lambda: f"still there: {[process for process in processes if process.is_running()]}",
    )
