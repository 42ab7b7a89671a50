"""Wait until requests would succeed: a look, then sleep until something may have changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias

from sockwatch.act.pace import Pace
from sockwatch.bind import BindRequest, Verdict
from sockwatch.bind.pair import RequestPair
from sockwatch.bind.prospect import Prospect, common_prospect
from sockwatch.kernel.second_look import take_settled
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.wakeups import Wakeups
from sockwatch.model import Snapshot, Socket

# Where no event comes, as when a TIME_WAIT ends early: so often, and for 1 % of the time at most.
LOOK_EVERY_S: Final = 0.2
LOOK_SHARE: Final = 100
# What is due, and may bring a change any moment: a fifth of the time at most.
DUE_EVERY_S: Final = 0.01
DUE_SHARE: Final = 4

Verdicts: TypeAlias = tuple[Verdict, ...]
Judge: TypeAlias = Callable[[Snapshot], bool]


class Look(Protocol):
    """Takes a snapshot of a port; one by which `is_free` is true has to be confirmed.

    It raises KernelError.
    """

    def __call__(self, port: int, is_free: Judge) -> Snapshot:
        """Look at the port now."""


class Standing(NamedTuple):
    """How the requests stand: the verdicts on each pair, and what waiting promises."""

    verdicts: tuple[Verdicts, ...]
    prospect: Prospect

    @property
    def is_free(self) -> bool:
        """Whether every request would succeed."""
        return self.prospect == "free"

    def all(self) -> Iterator[Verdict]:
        """The verdicts on all requests."""
        return (verdict for verdicts in self.verdicts for verdict in verdicts)


def wait_until_free(
    pairs: Sequence[RequestPair],
    look: Look,
    wakeups: Wakeups,
    timeout_s: float | None,
    tell: Callable[[Standing], None] = lambda _: None,
) -> Standing:
    """Return how the requests stand when all of them would succeed at once, or when it is over.

    It is over `timeout_s` seconds after the first look, or, if that is None, as soon as something
    is in the way that stays until somebody acts. `wakeups` has to be for the ports of the requests,
    in the network namespace that `look` looks at, and older than the first look. `tell` is called
    after each look that does not end it. Raises what `look` and `tell` raise.
    """
    end: float | None = None
    verdicts: list[Verdicts] = [()] * len(pairs)
    pace = Pace()
    while True:
        started = time.monotonic()
        _judge(pairs, verdicts, look)
        standing = Standing(tuple(verdicts), common_prospect(v for some in verdicts for v in some))
        ended = time.monotonic()
        if timeout_s is not None and end is None:
            end = ended + timeout_s
        if standing.is_free or (end is not None and ended >= end):
            return standing
        tell(standing)
        if timeout_s is None and standing.prospect == "stays":
            return standing
        pace.note(ended - started)
        _sleep(standing, wakeups, pace, started, end)


def _judge(pairs: Sequence[RequestPair], verdicts: list[Verdicts], look: Look) -> None:
    """Look at what was not free; once it is, at the others again, which may be taken since."""

    def again(indexes: Sequence[int]) -> bool:
        for index in indexes:
            verdicts[index] = _verdicts(pairs[index], look)
        return all(_is_free(verdicts[index]) for index in indexes)

    pending = [index for index, some in enumerate(verdicts) if not _is_free(some)]
    if again(pending):
        again([index for index in range(len(pairs)) if index not in pending])


def _verdicts(pair: RequestPair, look: Look) -> Verdicts:
    return pair.explain(look(pair.request.port, lambda seen: _is_free(pair.explain(seen))))


def _is_free(verdicts: Verdicts) -> bool:
    return bool(verdicts) and common_prospect(verdicts) == "free"


def _sleep(
    standing: Standing, wakeups: Wakeups, pace: Pace, started: float, end: float | None
) -> None:
    """Sleep until the requests may stand otherwise than by the look that has `started` then."""
    failing = [v for v in standing.all() if common_prospect((v,)) != "free"]
    blockers = [blocker for verdict in failing for blocker in verdict.blockers]
    cookies = {b.owner.cookie for b in blockers if isinstance(b.owner, Socket)}
    now = time.monotonic()
    look_at = now + pace.pause_s(LOOK_EVERY_S, LOOK_SHARE)
    soon = now + pace.pause_s(DUE_EVERY_S, DUE_SHARE)
    clocks = [verdict.frees_in_s for verdict in failing if verdict.frees_in_s is not None]
    if clocks:
        # The kernel's timers fire later than the clock says, by up to an eighth of their time.
        look_at = min(look_at, max(soon, started + max(clocks)))
    if end is not None:
        look_at = min(look_at, end)
    if any(verdict.reason is not None for verdict in failing) and wakeups.watch_addresses():
        return
    if wakeups.watch(holder.pid for blocker in blockers for holder in blocker.holders):
        return
    while (left_s := look_at - time.monotonic()) > 0:
        woken = wakeups.wait(left_s)
        if woken.ended or not cookies.isdisjoint(woken.destroyed):
            return
        if woken.destroyed or woken.addresses or woken.lost:
            # Something else of the port has gone, as happens all the time on a busy one.
            look_at = min(look_at, soon)


def wait_for_request(request: BindRequest, timeout_s: float | None) -> Verdict:
    """The verdict on a request in this thread's network namespace; see wait_until_free().

    Raises ValueError for port 0 and for a time that is none, KernelError.
    """
    if request.port == 0:
        raise ValueError("port 0 lets the kernel choose a free port: there is none to wait for")
    if timeout_s is not None and not timeout_s >= 0:
        raise ValueError(f"{timeout_s} is no number of seconds from 0")
    with SnapshotReader() as reader, Wakeups([request.port]) as wakeups:
        standing = wait_until_free(
            [RequestPair(request)], partial(take_now, reader), wakeups, timeout_s
        )
    return next(standing.all())


def take_now(reader: SnapshotReader, port: int, is_free: Judge) -> Snapshot:
    """The Look of a reader, with addresses and sysctls as they are now. Raises KernelError."""
    reader.forget_facts()
    return take_settled(reader, port, lambda snapshot: not is_free(snapshot))
