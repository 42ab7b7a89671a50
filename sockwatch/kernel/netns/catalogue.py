"""Which network namespaces there are on the host, and how to open each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.host import current_netns
from sockwatch.kernel.netns import opening
from sockwatch.kernel.netns.finder import NetnsFinder
from sockwatch.kernel.netns.found import FoundNetns
from sockwatch.kernel.netns.gaps import gaps
from sockwatch.kernel.netns.names import names
from sockwatch.kernel.netns.origins import NetnsOrigins, OriginOf
from sockwatch.kernel.origin import of_process
from sockwatch.model import HOST_NAME, Gap, KernelError, Netns

if TYPE_CHECKING:
    from typing_extensions import Self

    from sockwatch.kernel.bpf.layout import Layout

REFRESH_S: Final = 5.0
ATTEMPTS: Final = 3
JUST_NOW_S: Final = 0.1  # so recent an answer is good enough to say that a namespace is gone


class NetnsGone(KernelError):  # noqa: N818 - namespaces end
    """The namespace has ended, or nothing that may be seen is left in it."""


class NetnsCatalogue:
    """Finds them; close() it, or use it as a context manager. Threads may share it.

    `origin_of` tells what a process belongs to. Nothing is opened before the first question.
    """

    def __init__(
        self,
        origin_of: OriginOf = of_process,
        *,
        layout: Layout | None = None,
        by_id: bool = True,
    ) -> None:
        self.gaps: tuple[Gap, ...] = ()  # of the last answer
        self._origins = NetnsOrigins(origin_of)
        self._finder = NetnsFinder(layout, by_id=by_id)
        self._lock = threading.RLock()
        self._looked_at = float("-inf")  # time.monotonic()
        self._by_inode: dict[int, Netns] = {}
        self._closed_to_us: set[FoundNetns] = set()  # no use in looking for other ways to these

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what asking the kernel needs; the next question opens it again."""
        with self._lock:
            self._finder.close()

    def namespaces(self, *, max_age_s: float = REFRESH_S) -> Sequence[Netns]:
        """Every one that was found and can be opened, this thread's first, then the named.

        The answer may be that of so many seconds ago. Raises KernelError if /proc is not mounted.
        """
        own = current_netns()
        assert own.inode is not None
        with self._lock:
            self._refresh(max_age_s)
            others = dict(self._by_inode)
        known = others.pop(own.inode, own)
        return (known._replace(name=own.name), *sorted(others.values(), key=_order))

    @contextmanager
    def opened(self, netns: Netns) -> Iterator[int]:
        """An fd of it, open for this visit alone, since it keeps the namespace alive.

        Raises NetnsGone, and KernelError where it may not be opened.
        """
        with opening.closing(self._open(netns)) as fd:
            yield fd

    def _open(self, netns: Netns) -> int:
        if netns.inode is None:
            raise KernelError(f"{netns.label} cannot be opened: its number is unknown", 0)
        with self._lock:
            for _ in range(ATTEMPTS):  # what was in it may end meanwhile, and something else not
                fd = self._finder.open(netns.inode, netns.id)
                if fd is not None:
                    return fd
                if self._finder.found.get(netns.inode) in self._closed_to_us:
                    break
                self._refresh(0.0 if self._is_listed(netns) else JUST_NOW_S)
                if not self._is_listed(netns):
                    raise NetnsGone(
                        f"no visible process is left in the network namespace {netns.inode}", 0
                    )
            self._closed_to_us.add(self._finder.found[netns.inode])
        raise KernelError(f"the network namespace {netns.inode} cannot be opened", 0)

    def _is_listed(self, netns: Netns) -> bool:
        found = self._finder.found.get(netns.inode or 0)
        return found is not None and (None in {found.id, netns.id} or found.id == netns.id)

    def _refresh(self, max_age_s: float) -> None:
        now = time.monotonic()
        if now - self._looked_at <= max_age_s:
            return
        self._finder.look()
        self._looked_at = now
        self._closed_to_us &= set(self._finder.found.values())
        named = names(self._finder.mounts)
        opened = [
            found
            for found in self._finder.found.values()
            if found.inode not in self._finder.unopened
        ]
        origins = self._origins.of(opened)
        before, self._by_inode = self._by_inode, {}
        for found in opened:
            name = HOST_NAME if found.is_host else named.get(found.inode)
            netns = Netns(found.inode, name, found.id, origins[found], found.pid)
            known = before.get(found.inode)
            self._by_inode[found.inode] = known if known == netns and known is not None else netns
        self.gaps = tuple(gaps(self._finder))


def _order(netns: Netns) -> tuple[bool, str, int]:
    return netns.name is None, netns.name or "", netns.inode or 0
