"""Processes of the stage. Each is forked by the first process of its place."""

from __future__ import annotations

import array
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stage.places import FOLDER
from tests.support.libc import check, libc
from tests.support.waiting import wait_until

PTRACE_ATTACH = 16
_kept: list[Any] = []


def start(name: str, act: Callable[..., object], *arguments: Any) -> int:
    """The pid, in this place, of a process of that name that has done `act` and then idles."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            Path("/proc/self/comm").write_text(name)
            os.close(ready)
            _kept.append(act(*arguments))
            os.write(told, b"1")
            os.close(told)
            while True:
                signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    with open(ready, "rb") as file:
        assert file.read(1) == b"1", f"{name} failed"
    return pid


def keep(value: object) -> None:
    """Keep what would be closed, or collected, as long as this process lives."""
    _kept.append(value)


def listen(address: str = "127.0.0.1", port: int = 8080, *options: int) -> socket.socket:
    """A listener with these options of SOL_SOCKET."""
    sock = bound(address, port, *options)
    sock.listen()
    return sock


def bound(address: str, port: int, *options: int, udp: bool = False) -> socket.socket:
    """A socket that does not listen."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind((address, port))
    return sock


def as_uid(uid: int, act: Callable[..., Any], *arguments: Any) -> Any:
    """What `act` makes as that user, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    return act(*arguments)


def in_flight() -> list[socket.socket]:
    """A listener that is held by a message on its way only."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with listen() as listener:
        rights = array.array("i", [listener.fileno()])
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    return [left, right]


def inherited(*command: str) -> int:
    """The pid of a program that has inherited the listener of a server that has ended."""
    listener = listen()
    listener.set_inheritable(True)
    pid = os.posix_spawn(shutil.which(command[0]) or "", command, os.environ)
    listener.close()
    return pid


def inherited_by_a_copy_of_sleep(name: str) -> int:
    """The same, by a program with a file of that name."""
    program = FOLDER / "bin" / name
    shutil.copy(shutil.which("sleep") or "", program)
    return inherited(str(program), "1000")


def server_that_will_vfork() -> socket.socket:
    """A listener; on SIGUSR1 it waits in vfork() for a child that does not come to its exec()."""
    listener = listen()
    fifo = FOLDER / "fifo"
    os.mkfifo(fifo)
    actions = [
        (os.POSIX_SPAWN_CLOSE, listener.fileno()),
        (os.POSIX_SPAWN_OPEN, 0, str(fifo), os.O_RDONLY, 0),
    ]

    def vfork(*_: object) -> None:
        os.posix_spawn("/bin/true", ["true"], os.environ, file_actions=actions)

    signal.signal(signal.SIGUSR1, vfork)
    return listener


def workers_without_a_master(name: str, count: int) -> None:
    """Processes that share a listener; the one that has started them all has been killed."""
    reader, told = os.pipe()
    master = os.fork()
    if master == 0:
        os.setsid()
        listener = listen()
        for _ in range(count):
            start(name, lambda: listener)
        os.write(told, b"1")
        os.kill(os.getpid(), signal.SIGKILL)
    os.read(reader, 1)
    os.waitpid(master, 0)


def full_listener() -> list[socket.socket]:
    """A listener whose accept queue is full, with the client in it."""
    listener = listen()
    listener.listen(0)
    return [listener, socket.create_connection(listener.getsockname())]


def state_of(pid: int) -> str:
    """The process state of proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def stop(pid: int) -> None:
    """Stop it, and wait until it is."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T")


def unix_listener(path: str) -> socket.socket:
    """A listening unix socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock


def trace(pid: int) -> None:
    """Stop it as a debugger does."""
    check(libc.ptrace(PTRACE_ATTACH, pid, None, None))
    os.waitpid(pid, os.WUNTRACED)
