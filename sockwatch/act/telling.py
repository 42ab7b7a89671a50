"""The process that explains: all that is heavy, slow, or waits for a terminal happens there."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from sockwatch.act.processes import fork

FAILED: Final = 1  # explain the record
WAITS: Final = 2  # explain it, and say that the call waits
WENT_ON: Final = 3  # the call that waited has succeeded
GAVE_UP: Final = 4  # the call that waited is given its errno
MOST_STARTS: Final = 3
_HEAD = struct.Struct("@IIQd")  # what, which slot, id of the call, seconds that it waited
_REPLY = struct.Struct("@IQ?")
_MOST_BYTES = 4_096


class Teller(Protocol):
    """What explains failures, in its own process."""

    def failed(self, record: bytes, *, waits: bool) -> bool:
        """Explain the failure. True if the program itself has what it asks for."""

    def ended(self, record: bytes, waited_s: float, *, went_on: bool) -> None:
        """The call waited for so many seconds, and has succeeded or not."""


class Reply(NamedTuple):
    """The failure is explained. `is_its_own`: the program itself has what it asks for."""

    slot: int
    call_id: int
    is_its_own: bool


class Telling:
    """Our end. The process starts when there is something to tell."""

    def __init__(self, make_teller: Callable[[], Teller], keep: tuple[int, ...] = ()) -> None:
        """`make_teller` is called in the process, which keeps stderr and these fds."""
        self._make_teller = make_teller
        self._keep = (2, *keep)
        self._channel: socket.socket | None = None
        self._starts = 0

    @property
    def fd(self) -> int | None:
        """Readable when there are replies; None while there is no process."""
        return None if self._channel is None else self._channel.fileno()

    def tell(
        self, what: int, slot: int, call_id: int, record: bytes, waited_s: float = 0.0
    ) -> bool:
        """False if nobody can be told."""
        try:
            channel = self._channel or self._start()
            message = _HEAD.pack(what, slot, call_id, waited_s) + record
            channel.send(message, socket.MSG_DONTWAIT)
        except OSError:
            self._drop()
            return False
        return True

    def take(self) -> list[Reply]:
        """The replies so far."""
        replies = []
        while self._channel is not None:
            try:
                data = self._channel.recv(_REPLY.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._drop()
                break
            replies.append(Reply(*_REPLY.unpack(data)))
        return replies

    def finish(self, patience_s: float) -> None:
        """Wait until all is told, for so many seconds at most."""
        if self._channel is None:
            return
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
            poll = select.poll()
            poll.register(self._channel, select.POLLIN)
            while poll.poll(patience_s * 1000) and self._channel.recv(_REPLY.size):
                pass
        self._drop()

    def _start(self) -> socket.socket:
        if self._starts == MOST_STARTS:
            raise OSError("it has ended too often")
        self._starts += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fork(lambda: self._run(theirs), (theirs.fileno(), *self._keep))
        theirs.close()
        self._channel = ours
        return ours

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _run(self, channel: socket.socket) -> None:
        teller = self._make_teller()
        while data := channel.recv(_MOST_BYTES):
            what, slot, call_id, waited_s = _HEAD.unpack_from(data)
            record = data[_HEAD.size :]
            if what in (FAILED, WAITS):
                is_its_own = teller.failed(record, waits=what == WAITS)
                channel.send(_REPLY.pack(slot, call_id, is_its_own))
            else:
                teller.ended(record, waited_s, went_on=what == WENT_ON)
