"""What an ordinary user sees of other network namespaces.

Those of own rootless containers are entered by a child; of all others the tables are read that
/proc/PID/net shows. Both cost milliseconds, so a look is renewed when the numbers of sockstat
differ, or after a while.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.netns.found import FoundNetns
from sockwatch.kernel.netns.origins import origin_of_netns
from sockwatch.kernel.netns.proc_views import (
    NOTHING,
    Counts,
    Processes,
    ProcViews,
    Seen,
    View,
    find_processes,
    read_counts,
    read_view,
)
from sockwatch.kernel.netns.rootless import RootlessReader, may_enter_netns_of
from sockwatch.kernel.origin import of_process
from sockwatch.model import AS_ROOT, Gap, GapCode, KernelError, Netns, Snapshot
from sockwatch.units import plural

if TYPE_CHECKING:
    from typing_extensions import Self

FIND_AGAIN_S: Final = 5.0  # 10 ms for 1,000 processes
LOOK_AGAIN_S: Final = 10.0  # at the same numbers one socket may have taken the place of another
PAUSE_PER_COST: Final = 20  # so that no namespace takes more than 5 % of a processor
NEW_S: Final = 2.0  # for namespaces that nobody has looked at, in one call
KNOWN_S: Final = 0.1  # for the others
ENTER_AGAIN_S: Final = 60.0  # where the child was refused, or did not answer
MOST_NAMESPACES: Final = 1024


@dataclass(slots=True)
class _Look:
    """The last one at a network namespace; times are of time.monotonic()."""

    seen: Seen
    netns: Netns
    counts: Counts | None = None
    snapshot: Snapshot | None = None
    began: float = 0.0
    cost_s: float = 0.0
    enter_at: float = 0.0
    refusal: KernelError | None = None

    def is_due(self, counts: Counts, now: float) -> bool:
        age = now - self.began
        if self.snapshot is None:
            return True
        if age < self.cost_s * PAUSE_PER_COST:
            return False
        return counts != self.counts or (age > LOOK_AGAIN_S and counts != NOTHING)


class UnprivilegedReader:
    """Takes snapshots of network namespaces that setns(2) is refused for; close() it.

    It remembers its looks. Use it from one thread, which must not end before.
    """

    def __init__(self) -> None:
        self._views = ProcViews()
        self._rootless = RootlessReader()
        self._processes = Processes({}, hidden=False)
        self._found_at = float("-inf")  # time.monotonic()
        self._looks: dict[int, _Look] = {}  # by mark, as Processes has them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        self._rootless.close()

    def take(self, known: Collection[int | None]) -> tuple[list[Snapshot], list[Gap]]:
        """A snapshot of each network namespace with a process, but for our own and the `known`.

        Those are the numbers of the ones that somebody has looked into. A snapshot may be older
        than this call, as its `time` says. Raises KernelError if /proc is not mounted.
        """
        now = time.monotonic()
        numbers = set(known) - {None}
        for _ in range(2):  # others may have taken the place of all processes that were in one
            if now - self._found_at >= FIND_AGAIN_S:
                self._find(now)
            looks = {m: look for m, look in self._looks.items() if look.seen.number not in numbers}
            late = self._renew(looks, now)
            if math.isfinite(self._found_at):
                break
        snapshots = [look.snapshot for look in looks.values() if look.snapshot is not None]
        return snapshots, list(self._gaps(looks, late))

    def _find(self, now: float) -> None:
        self._processes, self._found_at = find_processes(), now
        before = self._looks
        self._looks = {}
        for mark, seen in list(self._processes.by_mark.items())[:MOST_NAMESPACES]:
            look = before.get(mark)
            if look is None or set(look.seen.pids).isdisjoint(seen.pids):  # a number is given again
                look = _Look(seen, _netns(seen))
            self._looks[mark], look.seen = look, seen
            if (look.netns.inode, look.netns.pid) != (seen.number, seen.pids[0]):
                look.netns = _netns(seen)
                look.snapshot = look.snapshot and replace(look.snapshot, netns=look.netns)
        self._views.forget_others(self._looks)
        self._rootless.forget_exited()

    def _renew(self, looks: dict[int, _Look], now: float) -> int:
        """Look again where it is due, longest ago first; returns how many there was no time for."""
        views: list[View] = []
        late = 0
        for mark, look in sorted(looks.items(), key=lambda item: item[1].began):
            counts = read_counts(look.seen, mark)
            if counts is None:
                self._forget(mark, looks)
                continue
            if not look.is_due(counts, time.monotonic()):
                if counts == NOTHING and look.snapshot is not None:
                    look.snapshot = replace(look.snapshot, time=time.time())
                continue
            if time.monotonic() - now > (KNOWN_S if look.snapshot else NEW_S):
                late += look.snapshot is None
                continue
            look.began, look.counts = time.monotonic(), counts
            try:
                view = self._look(look, mark)
            except KernelError as error:
                look.refusal = error
                continue
            except ProcessLookupError:
                self._forget(mark, looks)
                continue
            if view is not None:
                views.append(view)
            look.cost_s = time.monotonic() - look.began
        if views:
            for mark, snapshot in self._views.snapshots(views).items():
                looks[mark].snapshot = snapshot
        return late

    def _look(self, look: _Look, mark: int) -> View | None:
        """Look from inside, or else return what is seen from outside. Raises KernelError."""
        seen, counts = look.seen, look.counts
        assert counts is not None
        if counts == NOTHING:
            look.refusal = None  # of what there was before
        elif look.began >= look.enter_at:
            look.refusal = None
            if (snapshot := self._entered(look)) is not None:
                look.snapshot = replace(snapshot, netns=look.netns)
                return None
        if (view := read_view(seen, mark, look.netns, counts)) is None:
            raise ProcessLookupError
        return view

    def _entered(self, look: _Look) -> Snapshot | None:
        number, pid = look.seen.number, look.seen.entry
        if number is None or pid is None or not may_enter_netns_of(pid):
            return None
        try:
            return self._rootless.take(number, pid, fold=True).snapshot
        except KernelError as error:
            look.enter_at, look.refusal = time.monotonic() + ENTER_AGAIN_S, error
            return None

    def _forget(self, mark: int, looks: dict[int, _Look]) -> None:
        """Drop a namespace whose processes have gone, and make _find() look for its others."""
        del looks[mark], self._looks[mark]
        self._found_at = float("-inf")

    def _gaps(self, looks: dict[int, _Look], late: int) -> Iterator[Gap]:
        if self._processes.hidden:
            yield Gap(
                GapCode.NETNS_HIDDEN,
                "/proc hides the processes of other users, see hidepid in proc(5), and so their "
                "network namespaces",
                AS_ROOT,
            )
        for look in looks.values():
            if look.refusal is not None:
                yield Gap(GapCode.NETNS_UNREAD, str(look.refusal), AS_ROOT)
        late += max(0, len(self._processes.by_mark) - MOST_NAMESPACES)
        if late:
            yield Gap(
                GapCode.NETNS_UNREAD,
                f"there was no time to look at {plural(late, 'network namespace')}",
                "poll again",
            )


def _netns(seen: Seen) -> Netns:
    pid = seen.pids[0]
    origin = origin_of_netns(FoundNetns(seen.number or 0, pid=pid), of_process)
    return Netns(seen.number, None, origin=origin, pid=pid)
