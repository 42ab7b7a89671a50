"""What is polled: the host or the sandbox of the lab, all of it or one port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from sockwatch.model import HostSnapshot, Netns, Snapshot

Take: TypeAlias = Callable[[int | None], Snapshot]


class Namespaces(Protocol):
    """Looks into the network namespaces of the host, from any thread. Raises SockwatchError."""

    def take(self) -> HostSnapshot:
        """All ports of each."""

    def take_in(self, netns: Netns, port: int) -> Snapshot:
        """That port in one of them."""


class FarHost(Protocol):
    """A host of which there are documents alone: nothing that is done here changes it."""

    @property
    def name(self) -> str:
        """How it is called."""

    @property
    def is_outside(self) -> bool:
        """Whether commands are typed in another network namespace than that of the snapshots."""

    @property
    def namespaces(self) -> Namespaces | None:
        """All of its network namespaces; None where one was looked at."""

    def take(self, port: int | None) -> Snapshot:
        """The latest snapshot, of all ports whatever was asked for. Raises SockwatchError."""

    def pace(self) -> tuple[str, str]:
        """How recent the snapshot is, for the header, and the style of that."""


@dataclass(frozen=True, slots=True)
class Watched:
    """`take` returns a snapshot of one port, or of all ports for None.

    `take_each_port` does so without folding client ports; None if `take` folds none. `is_outside`:
    in another network namespace than the one that the user's commands run in. `is_wide`: in all of
    `namespaces`, which is None where nobody may look at others.
    """

    take: Take
    port: int | None = None
    take_each_port: Take | None = None
    is_outside: bool = False
    namespaces: Namespaces | None = None
    is_wide: bool = False

    def look(self) -> Snapshot | HostSnapshot:
        """Poll once. Raises SockwatchError."""
        if self.is_wide and self.namespaces is not None:
            return self.namespaces.take()
        return self.take(self.port)

    def only(self, port: int) -> Watched:
        """The same, of this port alone, in our own network namespace."""
        return replace(self, port=port, is_wide=False)

    def only_in(self, netns: Netns, port: int) -> Watched:
        """That port in another network namespace."""
        assert self.namespaces is not None
        take_in = self.namespaces.take_in
        return Watched(lambda asked: take_in(netns, asked or port), port, is_outside=True)

    def each_port(self) -> Watched:
        """The same, with each client port."""
        return replace(self, take=self.take_each_port or self.take)

    def wide(self) -> Watched:
        """All ports of all network namespaces."""
        return replace(self, is_wide=True)
