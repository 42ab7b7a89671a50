"""The filter that hands bind() and listen() of a process and its descendants to a supervisor."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple

from sockwatch.kernel import libc
from sockwatch.kernel.seccomp.tasks import Doubt, read_task

CAP_SYS_ADMIN: Final = 21
LANDLOCK_RESTRICT_SELF: Final = 446  # the same on every architecture
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
# SECCOMP_FILTER_FLAG_*: the listener's fd; once a call is received, only a fatal signal ends it
_NEW_LISTENER, _WAIT_KILLABLE_RECV = 1 << 3, 1 << 5
_RET_ALLOW, _RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_INSTRUCTION = struct.Struct("<HBBI")
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data


class CallNumbers(NamedTuple):
    """AUDIT_ARCH_* of include/uapi/linux/audit.h, and the numbers of system calls."""

    architecture: int
    bind: int
    listen: int
    seccomp: int


NUMBERS: Final = {
    "x86_64": CallNumbers(0xC000003E, 49, 50, 317),
    "aarch64": CallNumbers(0xC00000B7, 200, 201, 277),
}


def call_numbers(machine: str | None = None) -> CallNumbers:
    """Those of the machine, of this one by default. Raises OSError (ENOSYS) for others."""
    machine = machine or os.uname().machine
    if machine not in NUMBERS:
        raise OSError(errno.ENOSYS, f"not on {machine} (only {', '.join(NUMBERS)})")
    return NUMBERS[machine]


def filter_program(numbers: CallNumbers) -> bytes:
    """Hands out the calls that are watched, of 64-bit programs; allows all else.

    A call of a 32-bit program has another architecture, one of x32 another number. A process that
    restricts itself by landlock(7) is known only by its call.
    """
    watched = (numbers.bind, numbers.listen, LANDLOCK_RESTRICT_SELF)
    allow, notify = len(watched) + 3, len(watched) + 4  # the last two instructions
    code = [(_LOAD, 0, 0, _ARCHITECTURE)]
    code.append((_JUMP_IF_EQUAL, 0, allow - 2, numbers.architecture))
    code.append((_LOAD, 0, 0, _NUMBER))
    for number in watched:
        code.append((_JUMP_IF_EQUAL, notify - len(code) - 1, 0, number))
    code += [(_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, _RET_USER_NOTIF)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


def needs_no_new_privs() -> bool:
    """Whether the kernel takes a filter from us only with PR_SET_NO_NEW_PRIVS; seccomp(2).

    Raises OSError (ENOENT) without /proc.
    """
    try:
        return not read_task("self").has(CAP_SYS_ADMIN)
    except Doubt:
        raise FileNotFoundError(errno.ENOENT, "/proc is not mounted") from None


def install() -> int:
    """Put the filter on this process for good; the listener's fd, close-on-exec.

    PR_SET_NO_NEW_PRIVS is set where the kernel insists. Raises OSError (EBUSY: a filter with a
    listener is on this process already; ENOSYS, EINVAL: the kernel has no such filters).
    """
    numbers = call_numbers()
    code = ctypes.create_string_buffer(filter_program(numbers))
    length = (len(code) - 1) // _INSTRUCTION.size
    program = ctypes.create_string_buffer(
        struct.pack("@HP", length, ctypes.addressof(code))  # struct sock_fprog
    )
    if needs_no_new_privs():
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    flags = _NEW_LISTENER | _WAIT_KILLABLE_RECV
    try:
        return libc.syscall(numbers.seccomp, _SET_MODE_FILTER, flags, program)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: before Linux 5.19
            raise
    return libc.syscall(numbers.seccomp, _SET_MODE_FILTER, _NEW_LISTENER, program)
