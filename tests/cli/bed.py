"""A network namespace, and others by name beside it, that nobody else sees the names of."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pytest

from tests.support.child import idle_child
from tests.support.netns import setns
from tests.support.privilege import REAL_ROOT
from tests.support.tools import need

PREPARE = "mount -t tmpfs none /run && ip link set lo up && echo ready && exec cat"
Kind: TypeAlias = Literal["listen", "bound", "udp"]


class Bed(NamedTuple):
    """`pid` is a process that waits in it."""

    pid: int

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run the command in it."""
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), "-n", "-m", *command],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    def sockwatch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run sockwatch in it."""
        return self.run(sys.executable, "-m", "sockwatch", *arguments)

    def add(self, name: str) -> int:
        """Make a namespace with that name beside it; its inode."""
        for command in (
            ["ip", "netns", "add", name],
            ["ip", "-n", name, "link", "set", "lo", "up"],
        ):
            done = self.run(*command)
            assert done.returncode == 0, done.stderr
        return self.path(name).stat().st_ino

    def path(self, name: str | None = None) -> Path:
        """The file of the namespace, or of its own."""
        if name is None:
            return Path(f"/proc/{self.pid}/ns/net")
        return Path(f"/proc/{self.pid}/root/run/netns/{name}")

    def enter(self, name: str | None = None) -> None:
        """Move this thread there, or into its own."""
        with open(self.path(name)) as there:
            setns(there.fileno())

    @contextmanager
    def served(
        self,
        name: str | None,
        port: int,
        kind: Kind = "listen",
        prepare: Callable[[], None] = lambda: None,
    ) -> Iterator[int]:
        """The pid of a process there that has the port, on 127.0.0.1."""
        kept = []

        def serve() -> None:
            self.enter(name)
            prepare()
            sort = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
            sock = socket.socket(socket.AF_INET, sort)
            sock.bind(("127.0.0.1", port))
            if kind == "listen":
                sock.listen()
            kept.append(sock)

        with idle_child(serve) as pid:
            yield pid


@contextmanager
def bed() -> Iterator[Bed]:
    """A bed; its namespaces end with it."""
    if not REAL_ROOT:
        pytest.skip("needs root, to give namespaces names")
    for tool in ("unshare", "nsenter", "ip", "mount", "sysctl"):
        need(tool)
    with subprocess.Popen(
        ["unshare", "-m", "-n", "sh", "-c", PREPARE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Bed(process.pid)
        process.stdin.close()
