"""Names and command lines belong to others: none of their bytes acts on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from sockwatch.text import clean
from tests.support.schemas import read_document
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from typing_extensions import Self

HOSTILE = [
    b"[/x]",
    b"[@click=app.quit]x[/]",
    b"\x1b]0;PWNED\x07",
    b"\x1b[31mred\x1b[0m",
    b"\x9b31mC1",
    b"a\xc2\x9b2Jb",
    "\u202egnp.exe".encode(),
    b"\xff\xfe invalid",
    b"new\nline\ttab\rreturn",
    b"x" * 4096,
]
FOREIGN = (b"\x1b]0;PWNED", b"\x1b[31mred", b"\xc2\x9b", b"\x9b31m", "\u202e".encode(), b"\xff")
FIRST_PORT = 8080
SERVER = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
sock = socket.socket()
sock.bind(("127.0.0.1", int(sys.argv[2])))
sock.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def servers(netns: None) -> Iterator[dict[int, bytes]]:
    """By port, the hostile bytes in the name and the command line of its listener."""
    texts = dict(enumerate(HOSTILE, FIRST_PORT))
    with ExitStack() as stack:
        for port, text in texts.items():
            command: list[str | bytes] = [
                sys.executable, "-S", "-c", SERVER, text[:15].hex(), str(port), text,
            ]  # fmt: skip
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield texts


def run(*arguments: str) -> bytes:
    command = [sys.executable, "-m", "sockwatch", "ports", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_the_table_and_the_document(servers: dict[int, bytes]) -> None:
    table = run().decode()
    assert len(table.splitlines()) == 1 + len(servers)
    assert all(line.isprintable() for line in table.splitlines())
    document = read_document(run("--json"), "ports")
    assert [port["port"] for port in document["ports"]] == list(servers)
    for port, text in zip(document["ports"], servers.values(), strict=True):
        (holder,) = port["holders"]
        assert holder["name"] == clean(text[:15].split(b"\0")[0])
        assert holder["command"].isprintable()
        assert len(holder["command"]) <= 1024


@pytest.mark.parametrize("text", HOSTILE)
def test_clean(text: bytes) -> None:
    cleaned = clean(text, 40)
    assert cleaned.isprintable()
    assert len(cleaned) <= 40
    assert clean(cleaned, 40) == cleaned
    assert clean(os.fsdecode(text), 40) == cleaned


def test_the_screens_on_a_real_terminal(servers: dict[int, bytes]) -> None:
    """What the program writes to its terminal holds none of the bytes."""
    with Sockwatch() as screen:
        screen.wait_for(str(FIRST_PORT).encode())
        for _port in servers:  # from the first row down
            screen.press(b"\r", b"LISTEN")
            screen.press(b"\x1b", f"of {len(servers)}".encode())
            screen.press(b"j")
        screen.press(b"q")
        output = screen.end()
    for foreign in FOREIGN:
        assert foreign not in output


class Sockwatch:
    """`sockwatch` under a pseudo-terminal of 80x24."""

    def __enter__(self) -> Self:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.environ.update(TERM="xterm-256color", LINES="24", COLUMNS="80")
            os.execv(sys.executable, [sys.executable, "-m", "sockwatch", "--interval", "0.2"])  # noqa: S606
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self._output = b""
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def _read(self) -> bool:
        try:
            part = os.read(self._fd, 65536)
        except OSError:  # EIO: the program has ended
            return False
        self._output += part
        return bool(part)

    def wait_for(self, text: bytes, start: int = 0) -> None:
        while text not in self._output[start:]:
            ready = select.select([self._fd], [], [], PATIENCE_S)[0]
            assert ready, f"{text!r} did not come"
            assert self._read(), f"the program ended: {self._output!r}"

    def press(self, key: bytes, then: bytes = b"") -> None:
        """Type the key, and wait until the program writes `then`."""
        start = len(self._output)
        os.write(self._fd, key)
        self.wait_for(then, start)

    def end(self) -> bytes:
        while self._read():
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1]) == 0
        return self._output
