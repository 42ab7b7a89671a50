"""The process that looks into network namespaces of a user's own rootless containers.

Such a namespace belongs to a user namespace, which has to be entered first, and cannot be left
again; setns(2) refuses it to a process with several threads. So this program has one, and forks a
process for each visit. It reads a request a line, and answers each with the size of the answer and
the answer, in JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import sys
from contextlib import suppress
from typing import Any, Final

from sockwatch.kernel import libc
from sockwatch.kernel.capabilities import NS_GET_USERNS
from sockwatch.kernel.netns.packed import packed
from sockwatch.kernel.netns.reader import device_names
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import KernelError, Process

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
SIZE: Final = struct.Struct("=Q")  # of the answer, in bytes


def main() -> None:
    """Answer until the other end closes the pipe, or the thread that started this ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored ones would leave nothing to wait for
    with SnapshotReader() as reader, suppress(KernelError):
        reader.take(1)  # imports what each visit needs
    for line in sys.stdin.buffer:
        answer = _visit(json.loads(line)) or _refusal("the look ended without an answer", 0)
        sys.stdout.buffer.write(SIZE.pack(len(answer)) + answer)
        sys.stdout.buffer.flush()


def _visit(request: dict[str, Any]) -> bytes:
    """The answer of a process of its own; empty if that was killed."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        status = 1
        try:
            os.close(reader)
            answer = _look(**request)
            with open(writer, "wb") as file:
                file.write(answer)
            status = 0
        finally:
            os._exit(status)  # threads of the look may be stuck
    os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(pid, 0)
    return b"" if status else answer


def _look(pid: int, inode: int, port: int | None, fold: bool) -> bytes:
    try:
        _enter(pid, inode)
        with SnapshotReader() as reader:
            snapshot = reader.take(port, fold=fold)
        answer = {"snapshot": packed(snapshot, Process), "devices": packed(device_names())}
        return json.dumps(answer).encode()
    except KernelError as error:
        return _refusal(str(error), error.errno)
    except OSError as error:
        return _refusal(error.strerror or str(error), error.errno or 0)


def _enter(pid: int, inode: int) -> None:
    """Go to the network namespace of a process, and to the user namespace that it belongs to."""
    # A process of the container must not trace this one, whatever fs.suid_dumpable says.
    libc.prctl(PR_SET_DUMPABLE, 0)
    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if os.fstat(netns).st_ino != inode:
        raise KernelError(f"pid {pid} has left it", 0)
    owner = fcntl.ioctl(netns, NS_GET_USERNS)
    libc.setns(owner, libc.CLONE_NEWUSER)
    libc.setns(netns, libc.CLONE_NEWNET)
    os.close(owner)
    os.close(netns)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # commit_creds() of the kernel has cleared it


def _refusal(text: str, errno: int) -> bytes:
    return json.dumps({"refused": [text, errno]}).encode()
