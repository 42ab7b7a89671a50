"""From the start of the process to the answer, and to the first table on the screen at 80x24.

Run: .venv/bin/python -m tests.bench.start_up [TIMES]
"""

from __future__ import annotations

import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

COMMAND = [sys.executable, "-m", "sockwatch"]


def screen_s() -> float:
    started = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        os.execv(sys.executable, COMMAND)  # noqa: S606
    output = b""
    while b"sorted by" not in output:  # the line under the table comes with the first look
        output += os.read(fd, 65536)
    seconds = time.perf_counter() - started
    os.write(fd, b"q")
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(fd)
    return seconds


def command_s(*arguments: str) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        subprocess.run([*COMMAND, *arguments], capture_output=True, check=False)
        return time.perf_counter() - started

    return run


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    for name, measure in (
        ("sockwatch --help", command_s("--help")),
        ("sockwatch ports", command_s("ports")),
        ("sockwatch why 8080", command_s("why", "8080")),
        ("screen, first table", screen_s),
    ):
        taken = [measure() for _ in range(times)]
        print(f"{name:22} median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s")


if __name__ == "__main__":
    main()
