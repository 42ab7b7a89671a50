"""A process that answers when the supervisor does not: it was killed, is stopped, or has ended.

While a filter has no supervisor, every bind() under it fails with ENOSYS. So there are always two
processes that could serve it, until no task uses it; the second lets the kernel make each call.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from typing import Final

from sockwatch.act.processes import fork
from sockwatch.kernel.seccomp.calls import opened
from sockwatch.kernel.seccomp.journal import ANSWERED, BINDING, Journal, Slot
from sockwatch.kernel.seccomp.notifications import Listener, Notification
from sockwatch.kernel.seccomp.tasks import Doubt

SERVE: Final = b"1"
REST: Final = b"0"
START_AGAIN_S: Final = 0.1  # after a standby was started, the next one is not before


def settle(listener: Listener, slot: Slot, notification: Notification) -> bool:
    """Answer the call by what the journal says of it, and free its slot.

    False if the call has gone: a signal has ended it.
    """
    state, errno = slot.state
    if state == BINDING and _has_been_bound(listener, notification):
        state, errno = ANSWERED, 0
    try:
        if state == ANSWERED:
            listener.answer(notification.id, errno)
        else:
            listener.proceed(notification.id)
    except OSError:
        return False
    finally:
        slot.free()
    return True


def start_standby(listener: Listener, journal: Journal, orders: socket.socket | None) -> int:
    """The pid of a process that stands by for this one. `orders` is its end of a socket pair.

    It serves from SERVE until REST, which it confirms, and for good when this process has ended.
    """
    guarded = os.pidfd_open(os.getpid())
    try:
        keep = (listener.fd, guarded, *([orders.fileno()] if orders else []))
        return fork(lambda: _stand_by(listener, journal, guarded, orders), keep)
    finally:
        os.close(guarded)


def _stand_by(
    listener: Listener, journal: Journal, guarded: int, orders: socket.socket | None
) -> None:
    poll = select.poll()
    poll.register(listener.fd, 0)  # reports POLLHUP alone: no task uses the filter any more
    poll.register(guarded, select.POLLIN)
    if orders is not None:
        poll.register(orders, select.POLLIN)
    while True:
        for fd, events in poll.poll():
            if fd == guarded:
                _succeed(listener, journal, poll, guarded)
                return
            if fd == listener.fd:
                if events & ~select.POLLIN:
                    return
                _let_pass(listener, journal)
            elif orders is not None:
                order = orders.recv(1)
                if not order:
                    poll.unregister(orders)
                    continue
                poll.modify(listener.fd, select.POLLIN if order == SERVE else 0)
                if order == REST:
                    orders.send(order)


def _succeed(listener: Listener, journal: Journal, poll: select.poll, guarded: int) -> None:
    """Take the place of the guarded process, with a standby of our own, until nobody is left."""
    poll.unregister(guarded)
    os.close(guarded)
    for slot, notification in journal.taken():
        settle(listener, slot, notification)
    poll.modify(listener.fd, select.POLLIN)
    standby = None
    start_at = 0.0
    while True:
        wait_s = max(0.0, start_at - time.monotonic())
        if standby is None and not wait_s:
            wait_s = START_AGAIN_S
            start_at = time.monotonic() + wait_s
            with suppress(OSError):  # it cannot be forked at present
                pid = start_standby(listener, journal, None)
                standby = os.pidfd_open(pid)
                poll.register(standby, select.POLLIN)
        ready = dict(poll.poll(wait_s * 1000 + 1 if standby is None else None))
        if ready.get(listener.fd, 0) & ~select.POLLIN:
            return
        if listener.fd in ready:
            _let_pass(listener, journal)
        if standby is not None and standby in ready:
            poll.unregister(standby)
            os.close(standby)
            os.waitpid(pid, 0)
            standby = None


def _let_pass(listener: Listener, journal: Journal) -> None:
    """Let the kernel make the next call."""
    slot = journal.free_slot() or Journal(1).slots[0]
    with suppress(OSError):
        listener.receive(slot.raw)
        if (notification := slot.notification) is not None:
            settle(listener, slot, notification)


def _has_been_bound(listener: Listener, notification: Notification) -> bool:
    try:
        with opened(listener, notification) as call:
            return call.is_bound
    except Doubt:
        return False
