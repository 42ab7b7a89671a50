"""Three places: a host, and two containers A and B on it that look alike.

Each has a network, a mount and a pid namespace of its own; those of A and B are within the host's.
What is asked of a place is done by its first process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.support.child import in_child
from tests.support.libc import check, libc
from tests.support.netns import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, link_up, unshare

Result = TypeVar("Result")
MS_REC, MS_PRIVATE = 0x4000, 0x40000
FOLDER = Path("/run")  # each place has a file system of its own there
PATIENCE_S = 30.0


class Ran(NamedTuple):
    """A command that has been run."""

    code: int
    output: str


class Place:
    """The host, where the test itself is the first process."""

    name = "host"

    def do(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What the function returns in this place."""
        return function(*arguments)


class Container(Place):
    """A child that is the first process of its pid namespace and does what it is sent.

    `pid` is its number on the host.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._pipe, theirs = Pipe()
        self._parent = os.fork()
        if self._parent == 0:
            try:
                _serve_in_new_namespaces(theirs)
            finally:
                os._exit(0)
        theirs.close()
        self.pid: int = self._pipe.recv()

    def do(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What the function returns in this place; its exception is an AssertionError here."""
        self._pipe.send((function, arguments))
        assert self._pipe.poll(PATIENCE_S), f"{function.__name__}() in {self.name} hangs"
        returned, value = self._pipe.recv()
        assert returned, value
        return value  # type: ignore[no-any-return]

    def end(self) -> None:
        """Kill every process of the place."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self._parent, 0)


class Stage(NamedTuple):
    """The failing server is in A; the same has been set up in B, and on the host."""

    host: Place
    a: Container
    b: Container

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them."""
        return (self.host, self.a, self.b)


def on_stage(act: Callable[[Stage], None]) -> None:
    """Run `act` on a stage, as the first process of its host."""

    def first_process() -> None:
        _furnish()
        with _container("A") as a, _container("B") as b:
            act(Stage(Place(), a, b))

    def enter() -> None:
        unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
        in_child(first_process)

    in_child(enter)


@contextmanager
def _container(name: str) -> Iterator[Container]:
    container = Container(name)
    try:
        yield container
    finally:
        container.end()


def _serve_in_new_namespaces(pipe: Connection) -> None:
    unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
    first = os.fork()
    if first:
        pipe.send(first)
        os.waitpid(first, 0)
        return
    _furnish()
    while True:
        function, arguments = pipe.recv()
        try:
            pipe.send((True, function(*arguments)))
        except BaseException:  # noqa: BLE001 - it is raised again on the host
            pipe.send((False, traceback.format_exc()))


def _furnish() -> None:
    """Give the place its own /proc, /run and loopback, and a sudo(8) that asks nothing."""
    check(libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))
    for kind, folder in ((b"proc", b"/proc"), (b"tmpfs", bytes(FOLDER))):
        check(libc.mount(kind, folder, kind, ctypes.c_ulong(0), None))
    link_up("lo")
    programs = FOLDER / "bin"
    programs.mkdir()
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "sudo").chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"


def run(*command: str) -> Ran:
    """Run it in this place."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd=FOLDER, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout)
