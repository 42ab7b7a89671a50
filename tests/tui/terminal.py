"""A program in a pseudo terminal, and every byte it sends."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0


class Terminal:
    """Start the child of pty_child.py; use as a context manager."""

    def __init__(
        self,
        what: str,
        size: tuple[int, int] = (80, 24),
        term: str = "linux",
        keep: tuple[str, ...] = (),
    ) -> None:
        self.master, slave = pty.openpty()
        columns, rows = size
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._looks, tell = os.pipe()
        hang, self._release = os.pipe()
        dropped = {"COLORTERM", "NO_COLOR"}.difference(keep)
        environment = {k: v for k, v in os.environ.items() if k not in dropped}
        environment |= {"TERM": term, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tui.pty_child", what, str(tell), str(hang)],
            stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment,
            pass_fds=(tell, hang), start_new_session=True, preexec_fn=_own_terminal,  # noqa: PLW1509
        )  # fmt: skip
        for fd in (slave, tell, hang):
            os.close(fd)
        self.output = b""
        self.looks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in (self.master, self._looks, self._release):
            if fd >= 0:
                os.close(fd)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Read what the child sends until `condition` holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; the terminal got {self.output[-2000:]!r}")
            self._read(0.05)

    def wait_for(self, text: str) -> None:
        self.wait_until(lambda: text.encode() in self.output, f"no {text!r}")

    def wait_exit(self) -> int:
        self.wait_until(lambda: self.process.poll() is not None, "the child goes on")
        while self._read(0):
            pass
        return self.process.returncode

    def look(self) -> None:
        """Have the child look at its host once more, and wait until it does."""
        before = self.looks
        self.press("r")
        self.wait_until(lambda: self.looks > before, "no look")

    def settle(self) -> None:
        """Read until nothing has come for a while."""
        while self._read(0.6):
            pass

    def _read(self, timeout_s: float) -> bool:
        fds = [fd for fd in (self.master, self._looks) if fd >= 0]
        ready, _, _ = select.select(fds, [], [], timeout_s)
        got = False
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:  # the child has closed its end
                data = b""
            if fd == self._looks:
                self.looks += len(data)
            else:
                self.output += data
            got = got or bool(data)
        return got


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
