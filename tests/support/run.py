"""`sockwatch run`, and programs to run with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.waiting import wait_until

SOCKWATCH = [sys.executable, "-m", "sockwatch"]
PYTHON = [sys.executable, "-S", "-c"]
# bind() and listen() on loopback: the ports are the arguments.
SERVER = """
import socket, sys
socks = [socket.socket() for _ in sys.argv[1:]]
for sock, port in zip(socks, map(int, sys.argv[1:])):
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen()
        print(port, "serves", flush=True)
    except OSError as error:
        print(port, error.errno, flush=True)
"""


def command(options: Sequence[str], program: Sequence[str]) -> list[str]:
    """The command line."""
    return [*SOCKWATCH, "run", *options, "--", *program]


def run(
    options: Sequence[str], program: Sequence[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return run_words(command(options, program), **environment)


def run_words(words: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; at the time limit, end its whole session."""
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=60)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def server(*ports: int) -> list[str]:
    """A program that binds these ports, and says which it serves or what it got."""
    return [*PYTHON, SERVER, *map(str, ports)]


def standbys() -> list[int]:
    """The pids of our children's processes that stand by, wherever they are by now."""
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(int(process.name) for process in processes if _has_listener(process))


def _has_listener(process: Path) -> bool:
    try:
        if b"sockwatch" not in (process / "cmdline").read_bytes():
            return False
        links = [os.readlink(fd) for fd in (process / "fd").iterdir()]
    except OSError:
        return False
    return any("seccomp notify" in link for link in links)


def end(pid: int) -> None:
    """SIGKILL, and wait until it has gone; it may be nobody's child."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
