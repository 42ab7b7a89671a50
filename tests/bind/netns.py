"""Children in a network namespace of their own: the host's ports are never touched."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.support.privilege import REAL_ROOT

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
Item = TypeVar("Item")
Result = TypeVar("Result")


def can_unshare() -> bool:
    """Whether this process may make network namespaces and sockets of another user."""
    try:
        with Worker(lambda: lambda question: question) as worker:
            return REAL_ROOT and worker.ask(question=True) is True
    except AssertionError:
        return False


def enter_new_netns() -> None:
    """Move this process to a new network namespace with lo up and our port ranges."""
    if _libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(
            s, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40)
        )  # SIOCSIFFLAGS: UP, RUNNING
    set_sysctl("ip_local_port_range", "1024 65000")
    set_sysctl("tcp_max_tw_buckets", "100000")


def set_sysctl(name: str, value: str) -> None:
    Path("/proc/sys/net/ipv4", name).write_text(value)


def run_in_netns(
    function: Callable[[Sequence[Item]], list[Result]],
    chunks: Sequence[Sequence[Item]],
    workers: int = 2,
) -> list[Result]:
    """function(chunk) for every chunk, each in a child with a namespace of its own."""
    results: list[Result] = []
    waiting = list(chunks)
    running: list[Worker] = []
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(Worker(lambda: function))
            running[-1].send(waiting.pop(0))
        with running.pop(0) as worker:
            results += worker.receive()
    return results


class Worker:
    """A forked child in a new network namespace that answers what it is sent.

    `prepare` runs in the child and gives the function that answers.
    """

    def __init__(self, prepare: Callable[[], Callable[[Any], Any]]) -> None:
        self._pipe, theirs = Pipe()
        self._pid = os.fork()
        if self._pid:
            theirs.close()
            return
        try:
            self._pipe.close()
            self._serve(theirs, prepare)
        finally:
            os._exit(0)

    @staticmethod
    def _serve(pipe: Any, prepare: Callable[[], Callable[[Any], Any]]) -> None:
        try:
            enter_new_netns()
            answer = prepare()
            # No end-of-file would come: later workers inherit the parent's end of the pipe.
            while (question := pipe.recv()) is not None:
                pipe.send((True, answer(question)))
        except BaseException:  # noqa: BLE001 - it is raised again in the parent
            pipe.send((False, traceback.format_exc()))

    def send(self, question: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # receive() tells why
            self._pipe.send(question)

    def receive(self) -> Any:
        done, value = self._pipe.recv()
        if not done:
            raise AssertionError(value)
        return value

    def ask(self, question: Any) -> Any:
        self.send(question)
        return self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.send(None)
        self._pipe.close()
        os.waitpid(self._pid, 0)


@contextlib.contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Sockets made inside belong to `uid`: the kernel takes the file-system uid."""
    if uid:
        _libc.setfsuid(uid)
    try:
        yield
    finally:
        if uid:
            _libc.setfsuid(0)
