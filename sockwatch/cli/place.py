"""Where a command looks: our own network namespace, or the one that ``--netns`` names."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from sockwatch.cli.command import UsageError
from sockwatch.model import KernelError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from typing_extensions import Self

    from sockwatch.kernel.netns.catalogue import NetnsCatalogue
    from sockwatch.kernel.netns.reader import NetnsReader
    from sockwatch.model import Netns, Snapshot

REFUSALS: Final = frozenset({errno.EPERM, errno.EACCES})
RIGHTS: Final = "that takes CAP_SYS_ADMIN and CAP_SYS_PTRACE on the host"
FDS_OF_A_VISIT: Final = 4
Answer = TypeVar("Answer")


def add_netns(options: argparse._ActionsContainer) -> None:
    """Add ``--netns`` to a parser, or to a group of it."""
    options.add_argument(
        "--netns",
        metavar="WHICH",
        help="in another network namespace: a name of ip netns, a container, a PID, "
        "an inode number, a path, or host",
    )


class Place:
    """Use it as a context manager, from one thread.

    `netns` is the network namespace that was chosen; None means our own.
    """

    def __init__(self, which: str | None) -> None:
        """Raises UsageError for a word that means none, KernelError for what may not be read."""
        self.netns: Netns | None = None
        self._catalogue: NetnsCatalogue | None = None
        self._reader: NetnsReader | None = None
        if which is not None:
            self._choose(which)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._catalogue is not None:
            self._catalogue.close()

    def run(self, function: Callable[[], Answer]) -> Answer:
        """What the function returns, called in that namespace; by a thread that stays the same.

        Raises KernelError where the namespace is gone, or may not be entered.
        """
        if self._reader is None or self.netns is None or self.netns.inode is None:
            return function()
        try:
            return self._reader.run(self.netns.inode, self._pids(), function, self.netns.id)
        except KernelError as error:
            raise _with_help(error) from error

    def take(self, look: Callable[[], Snapshot], port: int | None) -> Snapshot:
        """What `look` takes there, or else what a process of its own takes that may enter.

        So an ordinary user looks into own rootless containers. `port` is that of the look, None for
        all. Raises KernelError as run() does.
        """
        try:
            return self.run(look)
        except KernelError as refusal:
            if refusal.errno != errno.EPERM or self._reader is None or self.netns is None:
                raise
            assert self.netns.inode is not None
            inode, identity = self.netns.inode, self.netns.id
            try:
                snapshot = self._reader.take(inode, self._pids(), port, identity=identity).snapshot
            except KernelError as error:
                raise _with_help(error) from refusal
        return snapshot if port is None else _without_rules(snapshot)

    def still_led_to(self) -> Netns | None:
        """`netns`, without its process if that has left or ended: commands go by way of it."""
        netns = self.netns
        if netns is None or netns.pid is None:
            return netns
        with suppress(OSError):
            if os.stat(f"/proc/{netns.pid}/ns/net").st_ino == netns.inode:
                return netns
        return netns._replace(pid=None)

    def _pids(self) -> tuple[int, ...]:
        return () if self.netns is None or self.netns.pid is None else (self.netns.pid,)

    def _choose(self, which: str) -> None:
        from sockwatch.kernel.descriptors import check_descriptors
        from sockwatch.kernel.netns.catalogue import NetnsCatalogue
        from sockwatch.kernel.netns.choice import ChoiceError, choose
        from sockwatch.kernel.netns.nsfs import inode_of
        from sockwatch.kernel.netns.reader import NetnsReader

        check_descriptors(FDS_OF_A_VISIT)
        self._catalogue = NetnsCatalogue()
        own, *others = self._catalogue.namespaces()
        try:
            netns = choose(which, (own, *others), inode_of)
        except ChoiceError as error:
            if os.geteuid():  # it may be one of those that we do not see
                raise KernelError(f"{error}; root sees more", errno.EACCES) from error
            raise UsageError(str(error)) from error
        except KernelError as error:
            raise _with_help(error) from error
        if netns.inode != own.inode:
            self.netns, self._reader = netns, NetnsReader(self._catalogue)


def _without_rules(snapshot: Snapshot) -> Snapshot:
    """The snapshot of one port, with the gap that nobody has looked at the NAT rules there."""
    from dataclasses import replace

    from sockwatch.kernel.gaps import nat_gap
    from sockwatch.kernel.netfilter.chains import has_nat

    if not has_nat():
        return snapshot
    gap = nat_gap("no look at the NAT rules there", "run as root to see them")
    return replace(snapshot, gaps=(*snapshot.gaps, gap))


def _with_help(error: KernelError) -> KernelError:
    if error.errno not in REFUSALS:
        return error
    help_ = "run this again as root" if os.geteuid() else RIGHTS
    return KernelError(f"{error}; {help_}", error.errno)
