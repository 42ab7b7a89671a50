"""Failed calls as entries of systemd's journal, in its native protocol."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from sockwatch.model import SockwatchError
from sockwatch.text import clean

if TYPE_CHECKING:
    from sockwatch.bind.failure import ExplainedFailure

PLACE: Final = "/run/systemd/journal/socket"
MESSAGE_ID: Final = "b0e31122c6504a54a8a013fe0fe664db"  # of these entries alone, in every release
LONGEST: Final = 8192  # characters of a field
WARNING: Final = 4  # of syslog(3)


class Journal:
    """The journal of this host; its fields are those of systemd.journal-fields(7)."""

    def __init__(self, place: str = PLACE) -> None:
        self._place = place

    def check(self) -> None:
        """Raises SockwatchError where nobody takes entries."""
        self._send(b"")

    def write(self, message: str, explained: ExplainedFailure) -> None:
        """An entry of that failure. Raises SockwatchError."""
        lines = (
            f"{name}={clean(str(value), LONGEST)}\n" for name, value in _fields(message, explained)
        )
        self._send("".join(lines).encode())

    def _send(self, data: bytes) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(data, self._place)
        except OSError as error:
            raise SockwatchError(
                f"cannot write to the journal: {self._place}: {error.strerror}"
            ) from error


def _fields(message: str, explained: ExplainedFailure) -> Iterator[tuple[str, object]]:
    """Those that are known."""
    failure = explained.failure
    process = failure.process
    unit = process.unit if process is not None else None
    cause = explained.cause
    netns = explained.netns
    yield from (("MESSAGE", message), ("MESSAGE_ID", MESSAGE_ID), ("PRIORITY", WARNING))
    yield from (("SYSLOG_IDENTIFIER", "sockwatch"), ("SOCKWATCH_CALL", failure.call))
    known = {
        "ERRNO": getattr(errno, failure.errno, None),
        # By these the entry stands among those of the unit: journalctl -u.
        "OBJECT_PID": failure.pid,
        "OBJECT_SYSTEMD_UNIT": unit,
        "SOCKWATCH_ERRNO": failure.errno,
        "SOCKWATCH_PROTOCOL": failure.protocol,
        "SOCKWATCH_ADDRESS": failure.address,
        "SOCKWATCH_PORT": failure.port,
        "SOCKWATCH_CAUSE": cause and cause.id,
        "SOCKWATCH_NETNS": netns and netns.short_name,
        "SOCKWATCH_REPEATS": failure.repeats or None,
    }
    yield from ((name, value) for name, value in known.items() if value is not None)
    yield from (("SOCKWATCH_BLOCKER_PID", pid) for pid in _blockers(explained))


def _blockers(explained: ExplainedFailure) -> Iterable[int]:
    holders = (
        holder
        for owner in (*(b.owner for b in explained.blockers), *explained.unix_owners)
        for holder in owner.holders
    )
    return dict.fromkeys(holder.pid for holder in holders)
