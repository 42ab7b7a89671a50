"""Serves the calls of a program and its descendants: makes each, and holds those that fail.

Whatever goes wrong here, the kernel makes the call.
"""

from __future__ import annotations

import errno
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

from sockwatch.act.handover import Handover
from sockwatch.act.standby import settle
from sockwatch.act.telling import FAILED, GAVE_UP, WAITS, WENT_ON, Telling
from sockwatch.kernel.seccomp.calls import NOT_OURS, Call, opened
from sockwatch.kernel.seccomp.failed_row import failed_row
from sockwatch.kernel.seccomp.filter import LANDLOCK_RESTRICT_SELF
from sockwatch.kernel.seccomp.journal import ANSWERED, BINDING, Journal, Slot
from sockwatch.kernel.seccomp.notifications import Listener, Notification
from sockwatch.kernel.seccomp.tasks import Doubt

LOOK_S: Final = 3.0  # how long a call that failed is held at most, so that it can be explained
RETRY_S: Final = 0.05
MOST_HELD: Final = 48  # of the journal's slots: the others serve those that come meanwhile
MOST_TOLD: Final = 20  # addresses that are explained; a program may try all ports
MOST_REMEMBERED: Final = 64
CONFINED: Final = "the program has restricted itself by Landlock"
NOT_FAILURES: Final = {errno.EAGAIN, errno.EINTR, errno.EALREADY, errno.EINPROGRESS}
# What somebody else may change while the call waits.
MAY_PASS: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL}


class Tally(NamedTuple):
    """What became of the calls. `unseen` are those left to the kernel, counted by the reason."""

    failures: int = 0
    addresses: int = 0
    waited: int = 0
    unseen: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class _Held:
    """A call that has failed and waits for its explanation, or until it succeeds."""

    slot: Slot
    notification: Notification
    record: bytes
    since: float  # time.monotonic(), as the others
    look_until: float
    wait_until: float  # as `since` where it does not wait
    next_try: float


class Supervisor:
    """Use it from one thread. `wait_s` is how long a call may wait to succeed, 0 for not at all.

    `handover` has a socket for the first bind() that asks for its port; None if nothing is held.
    """

    def __init__(
        self,
        listener: Listener,
        journal: Journal,
        telling: Telling,
        wait_s: float = 0.0,
        handover: Handover | None = None,
    ) -> None:
        self.listener = listener
        self.telling = telling
        self._journal = journal
        self._wait_s = wait_s
        self._handover = handover
        self._held: dict[int, _Held] = {}  # by the index of the slot
        self._told: set[object] = set()
        self._addresses: set[object] = set()
        self._unseen: Counter[str] = Counter()
        self._failures = self._waited = 0
        self._confined = False
        # A signal has ended these calls after we had bound the socket: by its inode, to what.
        self._bound: OrderedDict[int, bytes] = OrderedDict()

    @property
    def tally(self) -> Tally:
        """The calls so far."""
        unseen = tuple(sorted(self._unseen.items()))
        return Tally(self._failures, len(self._addresses), self._waited, unseen)

    @property
    def has_room(self) -> bool:
        """Whether another call can be taken."""
        return self._journal.free_slot() is not None

    def take(self) -> None:
        """Serve the next call; the listener is readable."""
        slot = self._journal.free_slot()
        if slot is None:
            return
        try:
            self.listener.receive(slot.raw)
        except OSError:  # it has gone
            slot.free()
            return
        if (notification := slot.notification) is None:
            return
        try:
            if self._is_held(slot, notification):
                return
        except Doubt as doubt:
            if (reason := str(doubt)) != NOT_OURS:
                self._leave(reason)
        except Exception:  # noqa: BLE001 - the program must not suffer for a fault of ours
            self._leave("this is a bug of sockwatch")
        settle(self.listener, slot, notification)

    def _leave(self, reason: str) -> None:
        """Leave the call to the kernel; what we hold may be what it asks for."""
        self._unseen[reason] += 1
        if self._handover is not None:
            self._handover.give_up(f"a call is not seen: {reason}")

    def take_replies(self) -> None:
        """Release the calls that have been explained."""
        for reply in self.telling.take():
            held = self._held.get(reply.slot)
            if held is not None and held.notification.id == reply.call_id:
                held.look_until = 0.0
                if reply.is_its_own:
                    held.wait_until = held.since

    @property
    def due_s(self) -> float | None:
        """In how many seconds do_due() has something to do; None if nothing is held."""
        times = [held.look_until or held.next_try for held in self._held.values()]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def do_due(self) -> None:
        """Release calls that have been held for long enough; try those that wait again."""
        now = time.monotonic()
        for held in [held for held in self._held.values() if held.look_until <= now]:
            held.look_until = 0.0
            if held.wait_until <= held.since:
                self._release(held)
            elif held.next_try <= now:
                held.next_try = now + RETRY_S
                self._try_again(held, now)

    def _is_held(self, slot: Slot, notification: Notification) -> bool:
        """Make the call. True if it has failed and is to wait; else the journal has the answer."""
        if notification.number == LANDLOCK_RESTRICT_SELF:
            self._confined = True  # what it may bind from now on, we cannot know
            return False
        if self._confined:
            raise Doubt(CONFINED)
        with opened(self.listener, notification) as call:
            if self._handover and self._handover.offer(self.listener, notification, call):
                slot.set_state(ANSWERED)
                return False
            number = self._make(slot, call)
            if number == 0 or number in NOT_FAILURES:
                self._deliver(slot, notification, call)
                return True
            self._failures += 1
            address = (call.sock.family, call.sock.proto, call.address or call.sock.getsockname())
            self._addresses.add(address)
            waits = self._wait_s > 0 and number in MAY_PASS
            is_news = (address, call.name, number) not in self._told
            is_news &= len(self._told) < MOST_TOLD
            if not (is_news or waits) or len(self._held) >= MOST_HELD:
                return False
            self._told.add((address, call.name, number))
            record = failed_row(call, number)
        is_told = is_news and self.telling.tell(
            WAITS if waits else FAILED, slot.index, notification.id, record
        )
        now = time.monotonic()
        self._held[slot.index] = _Held(
            slot,
            notification,
            record,
            since=now,
            look_until=now + LOOK_S if is_told else 0.0,
            wait_until=now + self._wait_s if waits else now,
            next_try=now,
        )
        return True

    def _make(self, slot: Slot, call: Call) -> int:
        """The errno of the call; the journal has it then."""
        if call.name == "bind" and not call.is_bound:
            slot.set_state(BINDING)
        number = call.make()
        if number == errno.EINVAL and self._bound.pop(call.inode, None) == call.address:
            number = 0  # it is the call whose success did not arrive
        slot.set_state(ANSWERED, number)
        return number

    def _deliver(self, slot: Slot, notification: Notification, call: Call) -> None:
        if settle(self.listener, slot, notification) or call.name != "bind" or not call.is_bound:
            return
        self._bound[call.inode] = call.address
        while len(self._bound) > MOST_REMEMBERED:
            self._bound.popitem(last=False)

    def _try_again(self, held: _Held, now: float) -> None:
        if not self.listener.is_valid(held.notification.id):
            held.slot.free()
            del self._held[held.slot.index]
            return
        waited_s = now - held.since
        try:
            with opened(self.listener, held.notification) as call:
                number = self._make(held.slot, call)
                if number == 0:
                    del self._held[held.slot.index]
                    self._deliver(held.slot, held.notification, call)
        except Exception:  # noqa: BLE001 - the program must not suffer for a fault of ours
            self._release(held)
            return
        if number == 0:
            self._waited += 1
            self._tell_end(WENT_ON, held, waited_s)
        elif number not in MAY_PASS or now >= held.wait_until:
            self._release(held)
            self._tell_end(GAVE_UP, held, waited_s)

    def _tell_end(self, what: int, held: _Held, waited_s: float) -> None:
        self.telling.tell(what, held.slot.index, held.notification.id, held.record, waited_s)

    def _release(self, held: _Held) -> None:
        del self._held[held.slot.index]
        settle(self.listener, held.slot, held.notification)
