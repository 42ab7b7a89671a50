"""Network namespaces as label values: no two alike, and not too many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sockwatch.model import HostSnapshot, Netns, NetnsKey, Snapshot
from sockwatch.text import NAME_LIMIT, clean

MOST_NETNS: Final = 200  # of which more than listeners is told


def netns_labels(namespaces: Iterable[Netns]) -> dict[NetnsKey, str]:
    """As people call each; of those with one name, all but the eldest with their numbers."""
    labels: dict[NetnsKey, str] = {}
    for netns in sorted(namespaces, key=_age):
        label = clean(netns.short_name, NAME_LIMIT)
        if label in labels.values():
            numbers = (str(number) for number in netns.key if number is not None)
            label = f"{label} {'/'.join(numbers)}"
        labels[netns.key] = label
    return labels


def fullest(host: HostSnapshot) -> list[Snapshot]:
    """Our own namespace, and of the others those with the most ports, as they stand."""
    own, *others = host.snapshots
    if len(others) >= MOST_NETNS:
        by_ports = sorted(others, key=lambda one: -len(one.ports))
        kept = {one.netns.key for one in by_ports[: MOST_NETNS - 1]}
        others = [one for one in others if one.netns.key in kept]
    return [own, *others]


def _age(netns: Netns) -> tuple[bool, int, int]:
    """Sort key: ids are given in order, and inode numbers nearly so."""
    return netns.id is None, netns.id or 0, netns.inode or 0
