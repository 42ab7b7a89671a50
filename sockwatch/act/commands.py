"""Run a program of the system that stops a unit or a container, with a time limit.

Unlike kernel.tools.run() it may take minutes, tells what the program says, and can be cancelled.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sockwatch.act.cancel import Cancellation
from sockwatch.kernel.tools import FOLDERS, ToolError, start
from sockwatch.text import clean

# TimeoutStopSec= of systemd is 90 s, as a unit of a service may stop twice.
LIMIT_S: Final = 200.0
MOST_BYTES: Final = 4096  # of what it says
EXIT_S: Final = 1.0
MORE_FOLDERS: Final = f"{FOLDERS}:/usr/local/bin"


class Ran(NamedTuple):
    """`is_done`: it ended with status 0. `text` is its last line, or why it has not run."""

    is_done: bool
    text: str


def run_command(
    argv: Sequence[str],
    cancel: Cancellation,
    environment: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> Ran:
    """Run it to its end, and read what it prints. What it has been asked for may go on."""
    try:
        process = start(
            argv, folders=MORE_FOLDERS, stderr=subprocess.STDOUT, environment=environment
        )
    except ToolError as error:
        return Ran(False, str(error))
    with process:
        try:
            said, status = _read(process, cancel, time.monotonic() + limit_s)
        finally:
            if process.poll() is None:
                process.kill()
    if status is None:
        why = "was stopped" if cancel.is_set else f"did not end within {limit_s:.0f} s"
        return Ran(False, f"{argv[0]} {why}; what it asked for may go on")
    lines = clean_lines(said)
    if status:
        return Ran(False, lines[-1] if lines else f"{argv[0]} failed with status {status}")
    return Ran(True, lines[-1] if lines else "")


def clean_lines(said: bytes) -> list[str]:
    """The lines that are not empty, printable."""
    return [text for line in said.split(b"\n") if (text := clean(line, 200).strip())]


def _read(
    process: subprocess.Popen[bytes], cancel: Cancellation, until: float
) -> tuple[bytes, int | None]:
    """What it says, and its status; None if it has not ended in time."""
    assert process.stdout is not None
    fd, said = process.stdout.fileno(), b""
    while cancel.wait(max(0.0, until - time.monotonic()), fd):
        part = os.read(fd, 1 << 16)
        if not part:
            try:
                return said, process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                return said, None
        said = (said + part)[-MOST_BYTES:]
    return said, None
