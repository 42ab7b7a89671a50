"""The status of a path as a certain process sees it, read by a process that can be left behind.

Below a FUSE mount whose server does not answer, lstat() waits for ever, and neither a signal nor
exit() ends the wait (request_wait_answer() of fs/fuse/dev.c): a thread of ours would keep us from
exiting. A process of its own is killed and not waited for. It also takes the root and the working
directory of the process in question, so that symbolic links and ``..`` lead where they lead there.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

LIMIT_S: Final = 1.0  # the interpreter starts in 20 ms, on a busy host in some hundred
MOST_LEFT_BEHIND: Final = 3  # a minute; then no more are started
MINUTE_S: Final = 60.0

# /proc/self means the process in question, not the one that reads it: proc(5).
OWN_LINK: Final = re.compile(rb"/proc/(?:self|thread-self)/(cwd|root|fd/\d+)(?:/+(.*))?", re.DOTALL)

# connect() of a datagram socket disturbs no server: one of another type does not notice it
# (EPROTOTYPE), a datagram server neither. ECONNREFUSED is a file that no socket is bound to.
PROGRAM: Final = """
import errno, os, socket, stat, sys
texts = sys.stdin.buffer.read().split(b"\\0")
for root, base, path in zip(texts[0::3], texts[1::3], texts[2::3]):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    connected = -1
    try:
        directory = os.open(base, os.O_PATH)
        os.chroot(root)
        os.fchdir(directory)
        status = os.lstat(path)
    except OSError as error:
        print(error.errno or errno.EIO, 0, 0, 0, -1, flush=True)
        os._exit(0)
    if stat.S_ISSOCK(status.st_mode):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            connected = sock.connect_ex(path)
        except OSError:
            pass  # a name that is too long for connect() as well
    print(0, status.st_mode, status.st_ino, status.st_dev, connected, flush=True)
    os._exit(0)
"""
_ALIVE: Final = (0, 91, 1)  # connected; EPROTOTYPE; EPERM: it talks to another peer alone
_DEAD: Final = 111  # ECONNREFUSED


class SeenPath(NamedTuple):
    """A path, and the directories from which its process starts: links in /proc."""

    root: bytes
    base: bytes
    path: bytes

    @classmethod
    def of(cls, pid: int, path: bytes) -> SeenPath:
        """As the process with that pid would follow it."""
        own = f"/proc/{pid}/".encode()
        if link := OWN_LINK.fullmatch(path):
            return cls(own + b"root", own + link[1], link[2] or b".")
        return cls(own + b"root", own + b"cwd", path)


class PathStatus(NamedTuple):
    """`errno` of lstat(), or 0 and the file's mode, inode and device.

    `is_alive`: whether a socket is bound to the file; None if it is no socket's, or may not be
    written to.
    """

    errno: int
    mode: int
    inode: int
    device: int
    is_alive: bool | None


class PathProbe:
    """Reads the status of paths, all of one call in one process. Needs CAP_SYS_CHROOT."""

    def __init__(self) -> None:
        self._left_behind_at: list[float] = []  # time.monotonic()

    def statuses(self, paths: Iterable[SeenPath]) -> dict[SeenPath, PathStatus | None]:
        """The status of each path; None if it was not read in time, or no process started."""
        statuses: dict[SeenPath, PathStatus | None] = {}
        waiting = deque(dict.fromkeys(paths))
        while waiting and self._may_leave_one_behind():
            try:
                process = _start(waiting)
            except OSError:  # no more processes, or no more fds
                break
            for answer in _answers(process, len(waiting)):
                statuses[waiting.popleft()] = answer
            if waiting:
                statuses[waiting.popleft()] = None
                self._left_behind_at.append(time.monotonic())
            process.kill()  # not the child of it that is stuck
            process.wait()
        return statuses | dict.fromkeys(waiting)

    def _may_leave_one_behind(self) -> bool:
        since = time.monotonic() - MINUTE_S
        self._left_behind_at = [at for at in self._left_behind_at if at > since]
        return len(self._left_behind_at) < MOST_LEFT_BEHIND


def _start(paths: Iterable[SeenPath]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,  # the terminal's signals are not for it
    )
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(b"\0".join(text for path in paths for text in path))
    return process


def _answers(process: subprocess.Popen[bytes], count: int) -> Iterator[PathStatus]:
    """Those that come, each within the limit, at most so many."""
    assert process.stdout is not None
    with process.stdout:
        fd = process.stdout.fileno()
        data = b""
        while count and select.select([fd], [], [], LIMIT_S)[0]:
            part = os.read(fd, 65536)
            if not part:
                return
            *lines, data = (data + part).split(b"\n")
            count -= len(lines)
            yield from map(_status, lines)


def _status(line: bytes) -> PathStatus:
    numbers: Sequence[int] = [int(word) for word in line.split()]
    error, mode, inode, device, connect = numbers
    is_alive = True if connect in _ALIVE else False if connect == _DEAD else None
    return PathStatus(error, mode, inode, device, is_alive)
