"""Wait until something listens. No event tells of a new listener, so it is looked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from sockwatch.act.pace import Pace
from sockwatch.bind.reach import accepts
from sockwatch.model import Protocol, Socket

# So often, and for 1 % of the time at most.
LOOK_EVERY_S: Final = 0.05
LOOK_SHARE: Final = 100

ReadListeners: TypeAlias = Callable[[Protocol, int], Sequence[Socket]]


class Sought(NamedTuple):
    """A port, with the addresses of which one is enough; any, if there are none."""

    protocol: Protocol
    addresses: tuple[str, ...]
    port: int
    device: str | None = None


class Found(NamedTuple):
    """What listens on a port. `listeners` are all of it, `accepting` those that are sought.

    `is_unknown`: one of the others may be sought, and what decides that could not be seen.
    """

    sought: Sought
    listeners: tuple[Socket, ...]
    accepting: tuple[Socket, ...]
    is_unknown: bool


def wait_until_listening(
    sought: Sequence[Sought],
    read: ReadListeners,
    timeout_s: float | None,
    tell: Callable[[tuple[Found, ...]], None] = lambda _: None,
) -> tuple[Found, ...]:
    """Return what listens when something does on every port, or when the time is over.

    That is `timeout_s` seconds after the first look; None waits for ever. `read` takes the
    listeners of a port, `tell` is called after each look that does not end it. Raises what these
    raise.
    """
    end: float | None = None
    pace = Pace()
    while True:
        started = time.monotonic()
        found = tuple(find(one, read(one.protocol, one.port)) for one in sought)
        ended = time.monotonic()
        if timeout_s is not None and end is None:
            end = ended + timeout_s
        if all(one.accepting for one in found) or (end is not None and ended >= end):
            return found
        tell(found)
        pace.note(ended - started)
        pause_s = pace.pause_s(LOOK_EVERY_S, LOOK_SHARE)
        if end is not None:
            pause_s = min(pause_s, end - ended)
        time.sleep(pause_s)


def find(sought: Sought, listeners: Sequence[Socket]) -> Found:
    """Which of the port's listeners are sought."""
    addresses = sought.addresses or (None,)
    answers = {
        sock: {accepts(sock, address, sought.device) for address in addresses} for sock in listeners
    }
    accepting = tuple(sock for sock, answer in answers.items() if True in answer)
    is_unknown = any(None in answer for answer in answers.values())
    return Found(sought, tuple(listeners), accepting, is_unknown)
