"""Seccomp filters for a child process: a sandbox that refuses one kind of system call."""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct

from tests.support.libc import check, libc

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBERS = {
    "x86_64": {
        "socket": 41,
        "bpf": 321,
        "pidfd_open": 434,
        "pidfd_getfd": 438,
        "unshare": 272,
        "bind": 49,
        "seccomp": 317,
    },
    "aarch64": {
        "socket": 198,
        "bpf": 280,
        "pidfd_open": 434,
        "pidfd_getfd": 438,
        "unshare": 97,
        "bind": 200,
        "seccomp": 277,
    },
}


def refuse(call: str, number: int = errno.EPERM) -> None:
    """From now on this process gets the errno for the system call."""
    _install([(LOAD, 0, 0, 0), (EQUAL, 0, 1, _number(call)), (RETURN, 0, 0, RET_ERRNO | number)])


def kill_at(call: str) -> None:
    """From now on the system call ends this process, by SIGSYS."""
    _install([(LOAD, 0, 0, 0), (EQUAL, 0, 1, _number(call)), (RETURN, 0, 0, RET_KILL_PROCESS)])


def refuse_netlink(number: int = errno.EPERM) -> None:
    """From now on this process gets the errno for socket(AF_NETLINK, ...)."""
    first_argument = 16
    _install(
        [
            (LOAD, 0, 0, 0),
            (EQUAL, 0, 3, _number("socket")),
            (LOAD, 0, 0, first_argument),
            (EQUAL, 0, 1, int(socket.AF_NETLINK)),
            (RETURN, 0, 0, RET_ERRNO | number),
        ]
    )


def _number(call: str) -> int:
    return NUMBERS[platform.machine()][call]


def _install(program: list[tuple[int, int, int, int]]) -> None:
    program = [*program, (RETURN, 0, 0, RET_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *op) for op in program))
    head = ctypes.create_string_buffer(
        struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code))
    )
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0))
