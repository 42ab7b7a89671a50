"""What the kernel and a supervisor tell each other of a call: seccomp_unotify(2)."""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from typing import Final, NamedTuple

from sockwatch.kernel import libc

# struct seccomp_notif: id, pid, flags, then struct seccomp_data: nr, arch, ip, args
NOTIFICATION: Final = struct.Struct("@QIIiIQ6Q")
_RESPONSE = struct.Struct("@QqiI")  # id, val, error, flags
_ADD_FD = struct.Struct("@QIIII")  # id, flags, srcfd, newfd, newfd_flags
_RECEIVE, _SEND, _ADD = 0xC0502100, 0xC0182101, 0x40182103  # SECCOMP_IOCTL_NOTIF_*
_ID_VALID = 0x80082102  # the number before Linux 5.17, which later ones know as well
_SET_FLAGS, _SYNC_WAKE_UP = 0x40082104, 1  # since 6.6: the caller goes on where we were
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_REPLACE = 1  # SECCOMP_ADDFD_FLAG_SETFD


class Notification(NamedTuple):
    """A call that waits for its answer. `tid` is 0 for a thread of no pid namespace of ours."""

    id: int
    tid: int
    number: int
    arguments: tuple[int, ...]


class Listener:
    """The supervisor's end of a filter. It has the fd, and close() closes it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        with suppress(OSError):
            libc.ioctl(fd, _SET_FLAGS, _SYNC_WAKE_UP)

    def receive(self, slot: ctypes.Array[ctypes.c_char]) -> None:
        """Take the next call; the kernel writes it right into the slot, which must be zero.

        Call it when the fd is readable. Raises OSError (ENOENT: the call has gone meanwhile).
        """
        libc.ioctl(self.fd, _RECEIVE, slot)

    def proceed(self, call_id: int) -> None:
        """Let the kernel make the call. Raises OSError as answer()."""
        self._send(call_id, 0, _CONTINUE)

    def answer(self, call_id: int, errno: int) -> None:
        """Give the call this result without making it; 0 is success.

        Raises OSError (ENOENT: a signal has ended the call).
        """
        self._send(call_id, -errno, 0)

    def is_valid(self, call_id: int) -> bool:
        """Whether the thread still waits, so that its number is its own."""
        try:
            libc.ioctl(self.fd, _ID_VALID, ctypes.byref(ctypes.c_uint64(call_id)))
        except OSError:
            return False
        return True

    def replace_fd(self, call_id: int, fd: int, theirs: int, flags: int) -> None:
        """Put our fd in the place of the caller's; `flags` is 0 or os.O_CLOEXEC.

        Raises OSError (EINVAL: before Linux 5.9).
        """
        request = _ADD_FD.pack(call_id, _REPLACE, fd, theirs, flags)
        libc.ioctl(self.fd, _ADD, ctypes.create_string_buffer(request, len(request)))

    def close(self) -> None:
        """Close the fd: if it was the last, calls that wait, and later ones, fail with ENOSYS."""
        os.close(self.fd)

    def _send(self, call_id: int, error: int, flags: int) -> None:
        response = _RESPONSE.pack(call_id, 0, error, flags)
        libc.ioctl(self.fd, _SEND, ctypes.create_string_buffer(response, len(response)))


def parse(raw: bytes) -> Notification:
    """The call of a ``struct seccomp_notif``."""
    call_id, tid, _, number, _, _, *arguments = NOTIFICATION.unpack(raw)
    return Notification(call_id, tid, number, tuple(arguments))


def c_int(word: int) -> int:
    """The int that a system call takes from a register."""
    return ctypes.c_int32(word & 0xFFFFFFFF).value
