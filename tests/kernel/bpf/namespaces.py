"""Run a test in a child process with a network namespace of its own."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import socket
import struct
import time
import traceback
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pytest

from tests.support.privilege import REAL_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_CAP_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 8, 22, 38
_CAPSET = {"x86_64": 126, "aarch64": 91}
DEADLINE_S = 20.0

libc = ctypes.CDLL(None, use_errno=True)
needs_root = pytest.mark.skipif(not REAL_ROOT, reason="needs root (BPF, namespaces)")
needs_btf = pytest.mark.skipif(
    not os.path.exists("/sys/kernel/btf/vmlinux"),
    reason="the kernel has no BTF",
)


def unshare(flags: int) -> None:
    check(libc.unshare(flags))


def check(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def lo_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def in_child(function: Callable[[], None]) -> None:
    """Run it in a forked child; what it raises fails the test here."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        message = b""
        try:
            function()
        except BaseException:  # noqa: BLE001
            message = traceback.format_exc().encode()
        try:
            with os.fdopen(writer, "wb") as file:
                file.write(message)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        message = file.read()
    _, status = os.waitpid(child, 0)
    if message or status:
        pytest.fail(message.decode() or f"the child ended with status {status}", pytrace=False)


def in_netns(function: Callable[P, None]) -> Callable[P, None]:
    """Decorator: the test runs as root in a fresh network namespace."""

    @needs_root
    @needs_btf
    @functools.wraps(function)
    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        def body() -> None:
            unshare(CLONE_NEWNET)
            lo_up()
            function(*args, **kwargs)

        in_child(body)

    return test


def wait_until(look: Callable[[], T | None]) -> T:
    """Ask until the answer is true; the kernel's state is the only clock."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if answer := look():
            return answer
        os.sched_yield()
    raise AssertionError("the state did not come")


def netns_inode() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino


def become(uid: int, *capabilities: int) -> None:
    """An ordinary user with these capabilities (bit numbers) and no others."""
    check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    low = sum(1 << bit for bit in capabilities if bit < 32)
    high = sum(1 << bit - 32 for bit in capabilities if bit >= 32)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAP_VERSION_3, 0))
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0))
    check(libc.syscall(ctypes.c_long(_CAPSET[os.uname().machine]), header, data))


def refuse_system_call(number: int, errno_answered: int) -> None:
    """A classic seccomp filter: seccomp(2), Documentation/userspace-api/seccomp_filter.rst."""
    code = ctypes.create_string_buffer(
        b"".join(
            struct.pack("=HBBI", *instruction)
            for instruction in (
                (0x20, 0, 0, 0),  # load the system call's number
                (0x15, 0, 1, number),  # another one: skip the next
                (0x06, 0, 0, 0x00050000 | errno_answered),  # SECCOMP_RET_ERRNO
                (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
            )
        )
    )
    program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", 4, ctypes.addressof(code)))
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.prctl(_PR_SET_SECCOMP, 2, program, 0, 0))
