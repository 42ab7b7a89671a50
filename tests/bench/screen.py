"""What the screens cost: CPU of the real program, bytes to the terminal, time to a table."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rounds import Spread
from tests.tui.terminal import ROOT, SOCKWATCH, Program, Terminal

FIRST_LOOK = "sorted by"  # the line under the table comes with the first look
PORTS, WHY_8080, FIRST_TABLE = "sockwatch ports", "sockwatch why 8080", "sockwatch, first table"
WARM_UP_S = 3.0
LOOKS = 5
TERMS = {"16 colours": "linux", "256 colours": "xterm-256color"}


@dataclass(frozen=True, slots=True)
class Watched:
    """A program in a terminal for a while: share of one core, bytes sent."""

    cpu_share: float
    sent_bytes: int
    seconds: float
    slowed: bool  # its looks were dear, so it looked less often than once a second


@dataclass(frozen=True, slots=True)
class Bytes:
    """Sent at 80x24 for a first table, and for one look with so many changed rows."""

    first_paint: int
    per_look: dict[int, float]


def watch(command: Sequence[str], seconds: float, ready: str = "") -> Watched:
    with Program(command) as program:
        program.wait_for(ready)
        _read_for(program, WARM_UP_S)
        before, sent, started = _cpu_s(program.process.pid), len(program.output), time.monotonic()
        _read_for(program, seconds)
        took = time.monotonic() - started
        return Watched(
            (_cpu_s(program.process.pid) - before) / took,
            len(program.output) - sent,
            took,
            b"slow " in program.output or b"late " in program.output,
        )


def watch_sockwatch(seconds: float) -> Watched:
    return watch(SOCKWATCH, seconds, FIRST_LOOK)


def beside_htop(seconds: float) -> tuple[Watched, Watched] | None:
    """Both at the same time, each in a terminal of its own; None where htop is not installed."""
    if shutil.which("htop") is None:
        return None
    found: list[Watched] = []
    other = threading.Thread(target=lambda: found.append(watch(["htop"], seconds)))
    other.start()
    own = watch_sockwatch(seconds)
    other.join()
    return own, found[0]


def terminal_bytes(term: str) -> Bytes:
    """With looks that are made up, so that nothing else changes."""
    with Terminal("rows:0", term=term) as terminal:
        terminal.wait_for("server3")
        terminal.settle()
        first = len(terminal.output)
    return Bytes(first, {rows: _per_look(rows, term) for rows in (0, 1, 10)})


def first_paint_s(times: int) -> Spread:
    """From the start of the process to the first table."""

    def once() -> float:
        started = time.perf_counter()
        with Program(SOCKWATCH) as program:
            program.wait_for(FIRST_LOOK)
            took = time.perf_counter() - started
            program.press("q")
            program.wait_exit()
        return took

    return Spread.of(once() for _ in range(times))


def command_s(times: int, *arguments: str) -> Spread:
    """From the start of the process to its end."""

    def once() -> float:
        started = time.perf_counter()
        subprocess.run([*SOCKWATCH, *arguments], capture_output=True, check=False, cwd=ROOT)
        return time.perf_counter() - started

    return Spread.of(once() for _ in range(times))


def start_up(times: int) -> dict[str, Spread]:
    commands: dict[str, Callable[[], Spread]] = {
        "sockwatch --help": lambda: command_s(times, "--help"),
        PORTS: lambda: command_s(times, "ports"),
        WHY_8080: lambda: command_s(times, "why", "8080"),
        FIRST_TABLE: lambda: first_paint_s(times),
    }
    return {name: measure() for name, measure in commands.items()}


def _per_look(changed: int, term: str) -> float:
    """The mean over some looks at which `changed` rows have a new count."""
    with Terminal(f"rows:{changed}", term=term) as terminal:
        terminal.wait_for("server3")
        terminal.settle()
        before = len(terminal.output)
        for _ in range(LOOKS):
            terminal.look()
            terminal.settle()
        return (len(terminal.output) - before) / LOOKS


def _read_for(program: Program, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        program.read(left)
        if program.process.poll() is not None:
            raise RuntimeError(f"the program ended: {program.output[-500:]!r}")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
