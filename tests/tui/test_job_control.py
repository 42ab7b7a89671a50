"""Stopped and continued, by a key, by signals and by a shell's fg and bg."""

from __future__ import annotations

import os
import shlex
import signal
import termios
from pathlib import Path

import psutil
import pytest

from tests.tui.terminal import SOCKWATCH, Program, Terminal, not_restored


def state(pid: int) -> str:
    """The process state of proc(5): S while it sleeps, T while it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_stopped(program: Program, pid: int) -> None:
    program.wait_until(lambda: state(pid) == "T", "it does not stop")
    program.settle()


def local_modes(program: Program) -> int:
    modes: int = termios.tcgetattr(program.master)[3]
    return modes


def check_draws_and_reads(terminal: Terminal, after: int) -> None:
    """All of the screen is drawn after so many bytes of output, and keys arrive."""
    for text in ("\x1b[?1049h", "PROTO", "gunicorn", "server14", "quit"):
        terminal.wait_for(text, after)
    terminal.look()
    terminal.press("q")
    assert terminal.wait_exit() == 0
    assert not_restored(terminal.output) == []


def test_ctrl_z_gives_the_terminal_back_until_the_process_continues() -> None:
    with Terminal("same") as terminal:
        before = local_modes(terminal)
        terminal.wait_for("server14")
        assert local_modes(terminal) != before
        terminal.press("\x1a")
        wait_stopped(terminal, terminal.process.pid)
        assert not_restored(terminal.output) == []
        assert local_modes(terminal) == before
        stopped = len(terminal.output)
        terminal.process.send_signal(signal.SIGCONT)
        check_draws_and_reads(terminal, stopped)
        assert local_modes(terminal) == before


def test_ctrl_z_stops_while_a_filter_is_typed() -> None:
    with Terminal("same") as terminal:
        terminal.wait_for("server14")
        terminal.press("/port:80\x1a")
        wait_stopped(terminal, terminal.process.pid)
        stopped = len(terminal.output)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for("port:80", stopped)


def test_sigtstp_stops_and_sigcont_draws_again() -> None:
    with Terminal("same") as terminal:
        terminal.wait_for("server14")
        terminal.process.send_signal(signal.SIGTSTP)
        wait_stopped(terminal, terminal.process.pid)
        assert not_restored(terminal.output) == []
        stopped = len(terminal.output)
        terminal.process.send_signal(signal.SIGCONT)
        check_draws_and_reads(terminal, stopped)


def test_after_a_sigstop_the_screen_is_drawn_again() -> None:
    with Terminal("same") as terminal:
        terminal.wait_for("server14")
        terminal.settle()
        terminal.process.send_signal(signal.SIGSTOP)
        wait_stopped(terminal, terminal.process.pid)
        stopped = len(terminal.output)
        terminal.process.send_signal(signal.SIGCONT)
        check_draws_and_reads(terminal, stopped)


def test_a_terminal_that_changed_its_size_meanwhile() -> None:
    with Terminal("same") as terminal:
        terminal.wait_for("server14")
        assert "server30" not in terminal.output.decode()
        terminal.press("\x1a")
        wait_stopped(terminal, terminal.process.pid)
        terminal.resize((100, 50))
        stopped = len(terminal.output)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for("server30", stopped)


def test_a_shell_stops_and_continues_it() -> None:
    """In a script, which stops with it. In the background it may not use the terminal."""
    script = f"{shlex.join(SOCKWATCH)}; echo left $?"

    def type_line(line: str, answer: str) -> None:
        before = len(shell.output)
        shell.press(f"{line}\r")
        shell.wait_for(answer, before)

    with Program(["bash", "--norc", "-i"]) as shell:
        type_line(f"sh -c {shlex.quote(script)}", "PROTO")
        shell.settle()
        drawn = len(shell.output)
        shell.press("\x1a")
        shell.wait_for("Stopped", drawn)
        assert not_restored(shell.output[: shell.output.rindex(b"Stopped")]) == []
        type_line("echo $((41 * 271))", "11111")
        type_line("bg", "&")
        # The shell may go on: the kernel stops the group before bg has continued all of it.
        *_, screen = psutil.Process(shell.process.pid).children(recursive=True)
        wait_stopped(shell, screen.pid)
        type_line("fg", "PROTO")
        shell.press("q")
        shell.wait_for("left 0")
        type_line("exit", "exit")
        assert shell.wait_exit() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a pid namespace")
def test_the_first_process_of_a_container_goes_on() -> None:
    """The kernel does not stop it: pid_namespaces(7)."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with Program([*unshare, *SOCKWATCH]) as program:
        program.wait_for("PROTO")
        program.settle()
        before = len(program.output)
        program.press("\x1a")
        program.press("?")
        program.wait_for("One line up", before)
        program.press("\x1b")
        program.settle()
        program.press("q")
        assert program.wait_exit() == 0
