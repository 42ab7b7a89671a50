"""The calls that wait for an answer, in memory that outlives the process which serves them.

Supervisors that are forked from one another share it. If the one that serves is killed, between any
two instructions, another one finds each call here and answers it.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterator
from typing import Final

from sockwatch.kernel.seccomp.notifications import NOTIFICATION, Notification, parse

# How far the call has come
RECEIVED: Final = 0
BINDING: Final = 1  # we are about to bind its socket, which had no address
ANSWERED: Final = 2  # the kernel has answered us: `errno` is the result
_STATE = struct.Struct("@Ii")
_SIZE = NOTIFICATION.size + _STATE.size


class Slot:
    """One call. It is free while its id is 0; the kernel never gives that one."""

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        start = index * _SIZE
        self.index = index
        self.raw = (ctypes.c_char * NOTIFICATION.size).from_buffer(memory, start)
        self._memory = memory
        self._state_at = start + NOTIFICATION.size

    @property
    def notification(self) -> Notification | None:
        """The call; None if the slot is free."""
        notification = parse(self.raw.raw)
        return notification if notification.id else None

    @property
    def state(self) -> tuple[int, int]:
        """How far it has come, and the errno."""
        state, errno = _STATE.unpack_from(self._memory, self._state_at)
        return state, errno

    def set_state(self, state: int, errno: int = 0) -> None:
        """Note how far it has come; the errno is there before the state says so."""
        _STATE.pack_into(self._memory, self._state_at, self.state[0], errno)
        _STATE.pack_into(self._memory, self._state_at, state, errno)

    def free(self) -> None:
        """The call has its answer."""
        ctypes.memset(self.raw, 0, NOTIFICATION.size)
        _STATE.pack_into(self._memory, self._state_at, RECEIVED, 0)


class Journal:
    """`count` slots."""

    def __init__(self, count: int = 64) -> None:
        memory = mmap.mmap(-1, count * _SIZE)
        self.slots = tuple(Slot(memory, index) for index in range(count))

    def free_slot(self) -> Slot | None:
        """A free slot; None if there is none."""
        return next((slot for slot in self.slots if slot.notification is None), None)

    def taken(self) -> Iterator[tuple[Slot, Notification]]:
        """The calls that wait."""
        for slot in self.slots:
            if (notification := slot.notification) is not None:
                yield slot, notification
