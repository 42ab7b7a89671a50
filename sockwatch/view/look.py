"""What one look has seen, as rows: the ports of one network namespace, or of all on the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from sockwatch.kept import Kept
from sockwatch.model import Gap, HostSnapshot, Netns, NetnsKey, Port, RowKey, Snapshot

OLD_S: Final = 2.0  # a row that was looked at earlier shows its age
NAMED: Final = 3  # namespaces in one sentence


class Part(NamedTuple):
    """A network namespace of a look, and its ports as rows."""

    snapshot: Snapshot
    rows: tuple[Port, ...]


@dataclass(frozen=True)
class Look:
    """Our own network namespace first; alone, unless it `is_wide`."""

    parts: tuple[Part, ...]
    gaps: tuple[Gap, ...]
    is_wide: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot) -> Look:
        """A look at one namespace: its ports are the rows."""
        return cls((Part(snapshot, snapshot.ports),), snapshot.gaps)

    @property
    def own(self) -> Snapshot:
        """The snapshot of our own namespace."""
        return self.parts[0].snapshot

    @property
    def time(self) -> float:
        """When our own namespace was looked at, in seconds since the epoch."""
        return self.own.time

    @property
    def rows(self) -> Iterator[Port]:
        """Every port."""
        return (row for part in self.parts for row in part.rows)

    @cached_property
    def _snapshots(self) -> Mapping[NetnsKey | None, Snapshot]:
        if not self.is_wide:
            return {None: self.own}
        return {part.snapshot.netns.key: part.snapshot for part in self.parts}

    def snapshot_of(self, row: Port) -> Snapshot | None:
        """The snapshot that the row is from; None if its namespace is not in this look."""
        return self._snapshots.get(row.row_key[0])

    def is_own(self, row: Port) -> bool:
        """Whether the row is of our own namespace."""
        return row.netns is None or row.netns.key == self.own.netns.key

    def is_folded(self, key: RowKey) -> bool:
        """Whether sockets of the row's port have been folded into the clients of its namespace."""
        netns, protocol, number = key
        snapshot = self._snapshots.get(netns)
        return snapshot is not None and snapshot.is_folded(protocol, number)

    def age_s(self, row: Port) -> float:
        """How long before our own namespace that of the row was looked at, in seconds."""
        snapshot = self.snapshot_of(row)
        return 0.0 if snapshot is None else max(0.0, self.time - snapshot.time)


class Looks:
    """Makes looks at the host; the rows of a namespace that has not changed are made once."""

    def __init__(self) -> None:
        self._rows: Kept[[tuple[Port, ...], Netns], tuple[Port, ...]] = Kept(_within)

    def at(self, host: HostSnapshot) -> Look:
        """A look at all namespaces: our own, then the others by name."""
        self._rows.renew()
        own, *others = host.snapshots
        parts = tuple(
            Part(snapshot, self._rows.of(snapshot.netns.key, snapshot.ports, snapshot.netns))
            for snapshot in (own, *sorted(others, key=_place))
        )
        return Look(parts, host_gaps(host), is_wide=True)


def _within(ports: tuple[Port, ...], netns: Netns) -> tuple[Port, ...]:
    return tuple(port._replace(netns=netns) for port in ports)


def _place(snapshot: Snapshot) -> tuple[str, str]:
    return (snapshot.netns.short_name, str(snapshot.netns.key))


def host_gaps(host: HostSnapshot) -> tuple[Gap, ...]:
    """What could not be seen, and in which namespaces, where that is not all of them."""
    where: dict[Gap, list[str]] = {}
    for snapshot in host.snapshots:
        for gap in snapshot.gaps:
            where.setdefault(gap, []).append(snapshot.netns.label)
    return (*host.gaps, *(_placed(gap, names, host) for gap, names in where.items()))


def _placed(gap: Gap, names: list[str], host: HostSnapshot) -> Gap:
    if len(names) == len(host.snapshots):
        return gap
    more = len(names) - NAMED
    shown = ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return gap._replace(text=f"{shown}: {gap.text}")
