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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
SOCKWATCH = (sys.executable, "-m", "sockwatch")
DEADLINE_S = 20.0
RESTORED = {
    "alternate screen": b"\x1b[?1049l",
    "cursor": b"\x1b[?25h",
    "mouse": b"\x1b[?1000l",
    "mouse motion": b"\x1b[?1003l",
    "mouse encoding": b"\x1b[?1006l",
    "bracketed paste": b"\x1b[?2004l",
}


def not_restored(output: bytes) -> list[str]:
    """The modes that were set after they were last reset, or never reset."""
    return [
        name
        for name, off in RESTORED.items()
        if output.rfind(off) <= output.rfind(off[:-1] + (b"l" if off.endswith(b"h") else b"h"))
    ]


class Program:
    """Start the command in a terminal of its own; use as a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        size: tuple[int, int] = (80, 24),
        term: str = "linux",
        keep: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(size)
        dropped = {"COLORTERM", "NO_COLOR", "LINES", "COLUMNS"}.difference(keep)
        dropped.add("PYTHONDEVMODE")  # asyncio then writes about slow callbacks, on the screen
        environment = {k: v for k, v in os.environ.items() if k not in dropped}
        environment |= {"TERM": term, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command,
            stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment,
            pass_fds=pass_fds, start_new_session=True, preexec_fn=_own_terminal,  # noqa: PLW1509
        )  # fmt: skip
        os.close(slave)
        self.output = b""

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
        if self.master >= 0:
            os.close(self.master)

    def press(self, keys: str) -> None:
        """Send the keys, as bytes of a terminal."""
        os.write(self.master, keys.encode())

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal that many columns and rows; the kernel tells the program."""
        columns, rows = size
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self.master)
        self.master = -1

    def wait_until(
        self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S
    ) -> None:
        """Read what the program sends until `condition` holds."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; the terminal got {self.output[-2000:]!r}")
            self.read(0.05)

    def wait_for(self, text: str, after: int = 0) -> None:
        """Wait for the text among the bytes `after` so many."""
        self.wait_until(lambda: self.output.find(text.encode(), after) >= 0, f"no {text!r}")

    def wait_exit(self) -> int:
        """Wait for the exit of the program, and read the rest; its exit code."""
        self.wait_until(lambda: self.process.poll() is not None, "the program goes on")
        while self.read(0):
            pass
        return self.process.returncode

    def settle(self) -> None:
        """Read until nothing has come for a while."""
        while self.read(0.6):
            pass

    def read(self, timeout_s: float) -> bool:
        """Take what has come, or comes in time; whether anything did."""
        ready, _, _ = select.select(self._fds(), [], [], timeout_s)
        got = False
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:  # the program has closed its end
                data = b""
            self._take(fd, data)
            got = got or bool(data)
        return got

    def _fds(self) -> list[int]:
        return [self.master] if self.master >= 0 else []

    def _take(self, _fd: int, data: bytes) -> None:
        self.output += data


class Terminal(Program):
    """The child of pty_child.py, which reports each poll as it begins."""

    def __init__(
        self,
        what: str,
        size: tuple[int, int] = (80, 24),
        term: str = "linux",
        keep: tuple[str, ...] = (),
    ) -> None:
        self._looks, tell = os.pipe()
        hang, self._release = os.pipe()
        command = [sys.executable, "-m", "tests.tui.pty_child", what, str(tell), str(hang)]
        super().__init__(command, size, term, keep, (tell, hang))
        for fd in (tell, hang):
            os.close(fd)
        self.looks = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        os.close(self._looks)
        os.close(self._release)

    def look(self) -> None:
        """Have the child poll its host once more, and wait until it does."""
        before = self.looks
        self.press("r")
        self.wait_until(lambda: self.looks > before, "no poll")

    def leave_unread(self) -> None:
        """Read nothing of what the child draws, until it has stopped polling."""
        deadline = time.monotonic() + DEADLINE_S
        while select.select([self._looks], [], [], 0.6)[0]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the child goes on polling: {self.looks} polls")
            self._take(self._looks, os.read(self._looks, 65536))

    def _fds(self) -> list[int]:
        return [*super()._fds(), self._looks]

    def _take(self, _fd: int, data: bytes) -> None:
        if _fd == self._looks:
            self.looks += len(data)
        else:
            super()._take(_fd, data)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
