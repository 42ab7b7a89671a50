"""What tells that a port may have become free, so that nobody has to look at it all the time.

All of it is for ordinary users too. It is never evidence: what follows is a look.
"""

from __future__ import annotations

import math
import os
import select
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.kernel.sock_diag.destroyed import DestroyEvents
from sockwatch.kernel.sock_diag.netlink import open_groups, waiting_messages
from sockwatch.readable import HasFd

if TYPE_CHECKING:
    from typing_extensions import Self

NETLINK_ROUTE: Final = 0
# RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR of include/uapi/linux/rtnetlink.h
ADDRESS_GROUPS: Final = (1, 5, 9)
MOST_PROCESSES: Final = 100  # that are watched: an fd each
LONGEST_S: Final = 3600.0  # poll(2) takes milliseconds as an int


class Wakeup(NamedTuple):
    """What has happened: a watched process ended, sockets of the ports were destroyed, by cookie.

    `ended` is true also when the wait was cancelled.
    `addresses`: an address or an interface came, went or changed. `lost`: it may be more.
    """

    ended: bool = False
    destroyed: frozenset[int] = frozenset()
    addresses: bool = False
    lost: bool = False


NOTHING: Final = Wakeup()


class Wakeups:
    """Waits for what may free one of the ports; a context manager, for one thread.

    Make it before the first look, so that nothing is missed between that and wait(). It hears of
    the network namespace of the calling thread; with `everywhere` as open_groups(). Where
    something is refused it is silent about it: nobody may rely on wakeups alone.
    """

    def __init__(
        self, ports: Collection[int], *, everywhere: bool = False, cancel: HasFd | None = None
    ) -> None:
        """`cancel` ends the wait as a process does, once it is readable."""
        self._cancel = cancel
        self._everywhere = everywhere
        self._poll = select.poll()
        self._pidfds: dict[int, int] = {}  # pid -> pidfd
        self._unwatched: frozenset[int] = frozenset()
        self._addresses: socket.socket | None = None
        self._destroyed: DestroyEvents | None = None
        if cancel is not None:
            self._poll.register(cancel, select.POLLIN)
        with suppress(OSError):
            self._destroyed = DestroyEvents(ports, everywhere=everywhere)
            self._poll.register(self._destroyed, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def watch(self, pids: Iterable[int]) -> bool:
        """Wake when one of these processes ends, and no longer when another one does.

        Returns whether one has ended already, and was not among those of the call before.
        """
        wanted = frozenset(list(dict.fromkeys(pids))[:MOST_PROCESSES])
        for pid in self._pidfds.keys() - wanted:
            self._forget(pid)
        missing = set()
        for pid in wanted - self._pidfds.keys():
            try:
                self._pidfds[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                missing.add(pid)
            except OSError:  # EMFILE, or before Linux 5.3
                continue
            else:
                self._poll.register(self._pidfds[pid], select.POLLIN)
        # Where /proc is that of another pid namespace, none of its pids is one here.
        ended = bool(missing - self._unwatched)
        self._unwatched = frozenset(missing)
        return ended

    def watch_addresses(self) -> bool:
        """Wake when an address or an interface comes, goes or changes, from now on.

        Returns whether it begins with this call: a look before it may have missed something.
        """
        if self._addresses is not None:
            return False
        try:
            self._addresses = open_groups(
                NETLINK_ROUTE, ADDRESS_GROUPS, everywhere=self._everywhere
            )
        except OSError:
            return False
        self._poll.register(self._addresses, select.POLLIN)
        return True

    def wait(self, seconds: float) -> Wakeup:
        """Wait for something to happen, at most so long; NOTHING if that time is over."""
        limit_ms = math.ceil(min(max(seconds, 0.0), LONGEST_S) * 1000)
        ready = {fd for fd, _ in self._poll.poll(limit_ms)}
        if not ready:
            return NOTHING
        is_cancelled = self._cancel is not None and self._cancel.fileno() in ready
        ended = [pid for pid, pidfd in self._pidfds.items() if pidfd in ready]
        for pid in ended:
            self._forget(pid)  # it stays readable
        cookies, addresses, lost = frozenset[int](), False, False
        if self._destroyed is not None and self._destroyed.fileno() in ready:
            cookies, lost = self._destroyed.read()
        if self._addresses is not None and self._addresses.fileno() in ready:
            waiting_messages(self._addresses)
            addresses = True
        return Wakeup(bool(ended) or is_cancelled, cookies, addresses, lost)

    def close(self) -> None:
        """Wait for nothing any more."""
        for pid in list(self._pidfds):
            self._forget(pid)
        if self._destroyed is not None:
            self._destroyed.close()
        if self._addresses is not None:
            self._addresses.close()

    def _forget(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid)
        self._poll.unregister(pidfd)
        os.close(pidfd)
