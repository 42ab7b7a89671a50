"""`sockwatch run` in a terminal: the program has it, and is the shell's job."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwatch.cli import run_told
from tests.support.privilege import needs_root
from tests.support.run import PYTHON, command
from tests.support.waiting import wait_until
from tests.tui.terminal import Program

LOADED = run_told  # while this user may read the file
WAYS = ["seccomp", pytest.param("bpf", marks=needs_root)]
TYPED = """
import os, signal, sys
print("terminal", [os.isatty(fd) for fd in range(3)], os.tcgetpgrp(0) == os.getpgrp(), flush=True)
print("typed", input(), flush=True)
"""
BINDER = """
import socket, sys
print("ready to bind", flush=True)
for line in sys.stdin:
    try:
        socket.socket().bind(("127.0.0.1", int(line)))
        print("bound", line.strip(), flush=True)
    except OSError as error:
        print("errno", error.errno, flush=True)
"""


@pytest.fixture
def taken(netns: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 8080)) as sock:
        yield sock


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def child_of(pid: int, name: str) -> int:
    """The child with that name in its command line."""

    def find() -> int:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if name.encode() in words and (name == "run" or b"sockwatch" not in words):
                return int(child)
        return 0

    return wait_until(find)


@pytest.mark.parametrize("way", WAYS)
def test_the_program_reads_the_terminal(way: str, netns: None) -> None:
    with Program(command(["--by", way], [*PYTHON, TYPED])) as program:
        program.wait_for("terminal [True, True, True] True")
        program.press("hello\r")
        program.wait_for("typed hello")
        assert program.wait_exit() == 0


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_ends_the_program_and_us_with_it(way: str, netns: None) -> None:
    # Of a process that leads the session, the terminal may lose the last words.
    script = f"trap : INT; {shlex.join(command(['--by', way], ['sleep', '1000']))}; echo left $?"
    with Program(["bash", "--norc", "-c", script]) as program:
        wait_until(lambda: child_of(child_of(program.process.pid, "run"), "1000"))
        program.press("\x03")
        program.wait_for(f"left {128 + signal.SIGINT}")
        assert b"sleep ended with 130; no bind() or listen() failed" in program.output


def test_ctrl_c_is_the_programs_to_take(netns: None) -> None:
    script = "trap 'echo once' INT; echo ready; read a; read a; echo still here"
    with Program(command(["--by", "seccomp"], ["bash", "-c", script])) as program:
        program.wait_for("ready")
        program.press("\x03")
        program.wait_for("once")
        program.press("\r\r")
        program.wait_for("still here")
        assert program.wait_exit() == 0
        assert program.output.count(b"once") == 1


def test_a_shell_stops_and_continues_it(taken: socket.socket, tmp_path: Path) -> None:
    """What is none of the shell's job, such as a daemon, is served while the job is stopped."""
    binder, script = tmp_path / "binder.py", tmp_path / "script"
    asks, answers = tmp_path / "asks", tmp_path / "answers"
    os.mkfifo(asks)
    os.mkfifo(answers)
    binder.write_text(BINDER)
    daemon = shlex.join(["setsid", sys.executable, str(binder)])
    script.write_text(f"{daemon} <{asks} >{answers} 2>&1 & wait\n")
    words = shlex.join(command(["--by", "seccomp"], ["bash", str(script)]))
    with Program(["bash", "--norc", "-i"]) as shell:
        shell.press(f"{words}\r")
        with asks.open("w") as ask, answers.open() as answer:

            def bind(port: int) -> str:
                ask.write(f"{port}\n")
                ask.flush()
                return answer.readline().strip()

            assert answer.readline() == "ready to bind\n"
            assert bind(8081) == "bound 8081"
            shell.press("\x1a")
            shell.wait_for("Stopped")
            assert bind(8082) == "bound 8082"
            assert bind(8080) == "errno 98"
            before = len(shell.output)
            shell.press("fg\r")

            def is_told() -> bool:  # as soon as we have noticed that we go on
                assert bind(8080) == "errno 98"
                shell.read(0.1)
                return shell.output.find(b"127.0.0.1:8080 EADDRINUSE", before) >= 0

            wait_until(is_told)
        shell.wait_for("ended with 0", before)


def test_the_terminal_is_closed(netns: None) -> None:
    """The program gets SIGHUP, and we end after it."""
    with Program(command(["--by", "seccomp"], ["sleep", "1000"])) as program:
        pid = child_of(program.process.pid, "1000")
        program.hang_up()
        assert program.process.wait(30) == 128 + signal.SIGHUP
        wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_program_that_stops_itself(netns: None) -> None:
    script = "kill -STOP $$; echo goes on"
    with Program(command(["--by", "seccomp"], ["sh", "-c", script])) as program:
        # Without a shell that could continue us, the kernel does not stop us.
        program.wait_for("goes on")
        assert program.wait_exit() == 0
