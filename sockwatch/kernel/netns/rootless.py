"""Looks into the network namespaces of an ordinary user's own rootless containers."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any, Final

from sockwatch.kernel.capabilities import NS_GET_USERNS, may_enter
from sockwatch.kernel.netns.child import SIZE
from sockwatch.kernel.netns.packed import unpacked
from sockwatch.kernel.netns.reader import NetnsSnapshot
from sockwatch.kernel.proc.context import with_context
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.model import (
    AS_ROOT,
    ClientGroup,
    GapCode,
    Holder,
    KernelError,
    Process,
    Snapshot,
    Socket,
    SocketGroup,
)
from sockwatch.readable import readable

LIMIT_S: Final = 3.0  # a look takes some 30 ms, the start of the child 200 ms
MOST_BYTES: Final = 1 << 26
MAP_BYTES: Final = 1 << 14  # user_namespaces(7): a uid_map has at most 340 lines
OVERFLOW_UID: Final = 65534  # what every uid without a number there looks like
PROGRAM: Final = """
import sys
sys.argv[:], sys.path[:] = sys.argv[1:2], sys.argv[2:]
from sockwatch.kernel.netns.child import main
main()
"""


def may_enter_netns_of(pid: int) -> bool:
    """Whether the network namespace of the process is one of our own rootless containers."""
    try:
        with open(f"/proc/{pid}/ns/net") as netns:
            return may_enter(netns.fileno())
    except OSError:
        return False


def entry_of(inode: int, pids: Iterable[int]) -> int | None:
    """A process by which the network namespace can be entered so; None if there is none.

    `pids` are processes that are probably in it.
    """
    for pid in chain(pids, all_pids()):
        with suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino == inode and may_enter_netns_of(pid):
                return pid
    return None


class RootlessReader:
    """Looks by a child process, started with the first look; close() it.

    Use it from one thread, which must not end before: the child ends with it.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._names = ProcessNames()

    def close(self) -> None:
        """End the child, and what it may be stuck in."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()  # the process of a visit under way dies with it
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def forget_exited(self) -> None:
        """Drop what is remembered of processes that have exited."""
        self._names.forget_others(set(all_pids()))

    def take(
        self, inode: int, pid: int, port: int | None = None, *, fold: bool = False
    ) -> NetnsSnapshot:
        """A snapshot of the network namespace of the process, with facts, as NetnsReader's.

        Its uids are those of our user namespace, None for one that has no number there. Raises
        KernelError where it cannot be entered, or does not answer in time.
        """
        request = {"pid": pid, "inode": inode, "port": port, "fold": fold}
        try:
            outside = _uids_outside(pid)
            answer = self._ask(json.dumps(request).encode() + b"\n")
            return self._read(answer, outside, context=port is not None)
        except (OSError, KernelError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise KernelError(
                f"the network namespace {inode} could not be looked into: {reason}",
                getattr(error, "errno", None) or 0,
            ) from error

    def _ask(self, request: bytes) -> Any:
        end = time.monotonic() + LIMIT_S
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = _start()
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            os.write(child.stdin.fileno(), request)
            answer = json.loads(_receive_answer(child.stdout.fileno(), end))
        except BaseException:  # half an answer may be left in the pipe
            self.close()
            raise
        if "refused" in answer:
            raise KernelError(*answer["refused"])
        return answer

    def _read(
        self, answer: Any, outside: Callable[[int], int | None], *, context: bool
    ) -> NetnsSnapshot:
        @cache
        def process_of(pid: int) -> Process | None:
            process = self._names.identify(pid)
            if process is None or not context:
                return process
            return next(with_context([process]))

        def in_our_terms(record: Any) -> Any:
            if isinstance(record, Holder):
                return record._replace(process=process_of(record.pid))
            is_socket = isinstance(record, Socket | SocketGroup | ClientGroup)
            if is_socket and record.uid is not None:
                return record._replace(uid=outside(record.uid))
            return record

        snapshot: Snapshot = unpacked(Snapshot, answer["snapshot"], in_our_terms)
        devices: Mapping[int, str] = unpacked(Mapping[int, str], answer["devices"])
        gaps = tuple(
            gap._replace(remedy=AS_ROOT) if gap.code == GapCode.HOLDERS_NOT_PERMITTED else gap
            for gap in snapshot.gaps
        )
        facts = replace(snapshot.facts, uid=os.geteuid())
        return NetnsSnapshot(replace(snapshot, gaps=gaps, facts=facts), devices)


def _uids_outside(pid: int) -> Callable[[int], int | None]:
    """From a uid in the user namespace of the network namespace to that in our own.

    Raises OSError.
    """
    with open(f"/proc/{pid}/ns/net") as netns:
        owner = fcntl.ioctl(netns, NS_GET_USERNS)
    try:
        is_its_own = os.fstat(owner).st_ino == os.stat(f"/proc/{pid}/ns/user").st_ino
    finally:
        os.close(owner)
    with open(f"/proc/{pid}/uid_map", "rb") as file:
        lines = file.read(MAP_BYTES).splitlines() if is_its_own else []
    ranges = [tuple(map(int, line.split())) for line in lines]

    def outside(uid: int) -> int | None:
        if uid == OVERFLOW_UID:
            return None
        return next((uid - own + ours for own, ours, n in ranges if own <= uid < own + n), None)

    return outside


def _start() -> subprocess.Popen[bytes]:
    path = [os.path.abspath(folder) for folder in sys.path if folder]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, os.path.abspath(sys.argv[0]), *path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env={},
        cwd="/",
        start_new_session=True,  # the terminal's signals are not for it
    )


def _receive_answer(fd: int, end: float) -> bytes:
    (size,) = SIZE.unpack(_receive(fd, SIZE.size, end))
    if size > MOST_BYTES:
        raise KernelError("it has too many sockets for one look", 0)
    return _receive(fd, size, end)


def _receive(fd: int, size: int, end: float) -> bytes:
    """So many bytes, before time.monotonic() is `end`. Raises KernelError."""
    parts = []
    while size:
        if not readable([fd], max(end - time.monotonic(), 0)):
            raise KernelError(f"no answer within {LIMIT_S:.0f} s", 0)
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise KernelError("the process that looks has ended", 0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
