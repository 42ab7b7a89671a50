"""A look at the host as families of metrics, each of bounded size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Final, TypeAlias

from sockwatch.bind import explain_restart
from sockwatch.bind.kernels import release_gaps
from sockwatch.export import metrics
from sockwatch.export.drops import DropCounts
from sockwatch.export.listeners import Listener, Told, listeners_of
from sockwatch.export.model import Family, Health, Metric, Sample
from sockwatch.export.namespaces import fullest, netns_labels
from sockwatch.export.per_port import OTHER, Room, bound_only, ephemeral, is_ephemeral, time_waits
from sockwatch.kept import Kept
from sockwatch.model import (
    Gap,
    GapCode,
    HostFacts,
    HostSnapshot,
    Id,
    NetnsKey,
    Port,
    Protocol,
    Snapshot,
)
from sockwatch.text import NAME_LIMIT, clean

MOST_LISTENERS: Final = 500  # the longest queues first
MOST_UNITS: Final = 100
MOST_PORTS: Final = 500  # with TIME_WAITs, and as many with bound sockets
MEMORY_S: Final = 3600.0  # for which a port without a listener keeps its TIME_WAITs
Published: TypeAlias = frozenset[tuple[Protocol, int]]


class ExportGap(Id):
    """What metrics do not tell, besides what the looks did not see."""

    FAILED_BINDS_UNWATCHED = "failed-binds-unwatched", "failed calls are not counted"
    CLIENTS_NOT_TOLD_APART = "clients-not-told-apart", "which ports are clients' is unknown"
    NO_LOOK = "no-look", "there was no look at this host yet"
    NETNS_FACTS_UNREAD = (
        "netns-facts-unread",
        "sysctls, addresses and NAT rules of other network namespaces are not read",
    )
    NETNS_LEFT_OUT = "netns-left-out", "of some network namespaces only the listeners are told"


class Exporter:
    """Makes families of look after look; of a port that has not changed it remembers them.

    Use it from one thread. `is_once`: there will be no other look, by which a counter goes on.
    """

    def __init__(self, version: str, *, is_once: bool = False) -> None:
        self._version = version
        self._kept: Kept[[Port, HostFacts, bool, str], tuple[Listener, ...]] = Kept(self._listeners)
        self._drops = None if is_once else DropCounts()
        self._asked: Snapshot | None = None
        self._seen: dict[tuple[NetnsKey, int], float] = {}  # TCP ports: when somebody listened
        self._last: HostSnapshot | None = None
        self._published: Published | None = frozenset()
        self._families: tuple[Family, ...] = ()

    def families(
        self, host: HostSnapshot, published: Published | None = frozenset()
    ) -> tuple[Family, ...]:
        """The families that this look tells, in the order of METRICS.

        `published` are ports of our own namespace whose traffic NAT rules take; None if unknown.
        """
        same_ports = published == self._published
        self._published = published
        if self._last is not None and same_ports and _is_alike(host, self._last):
            self._last = host
            return self._families
        if self._last is not None:
            self._remember(self._last)
        self._last = host
        self._families = self._made(host)
        return self._families

    def _made(self, host: HostSnapshot) -> tuple[Family, ...]:
        self._remember(host)
        self._kept.renew()
        found: dict[Metric, list[Sample]] = defaultdict(list)
        names = netns_labels(one.netns for one in host.snapshots)
        kernel = clean(host.own.kernel, NAME_LIMIT)
        found[metrics.BUILD_INFO].append(Sample((self._version, kernel), 1))
        listeners = [each for one in host.snapshots for each in self._of(one, names[one.netns.key])]
        told, dropped = fullest(host), self._dropped(listeners)
        for metric, sample in chain(_told(listeners, dropped), self._per_port(told, names)):
            found[metric].append(sample)
        for protocol, number in sorted(self._published or ()):
            port = host.own.port(protocol, number)
            labels = (names[host.own.netns.key], protocol, str(number))
            is_alone = port is None or not port.listeners
            found[metrics.PUBLISHED].append(Sample(labels, float(is_alone)))
        left_out = max(0, len(listeners) - MOST_LISTENERS)
        found[metrics.LEFT_OUT].append(Sample((), left_out))
        codes = _codes(host)
        if self._published is None:
            codes.add(GapCode.NAT_RULES_UNSEEN)
        if len(told) < len(host.snapshots):
            codes.add(ExportGap.NETNS_LEFT_OUT)
        found[metrics.GAP] += (Sample((code,), 1) for code in sorted(codes))
        return tuple(
            Family(metric, tuple(found[metric])) for metric in metrics.METRICS if metric in found
        )

    def _of(self, snapshot: Snapshot, name: str) -> Iterator[Listener]:
        self._asked = snapshot
        for port in snapshot.ports:
            if not port.listeners or (port.protocol == "udp" and is_ephemeral(port, snapshot)):
                continue
            folded = snapshot.is_folded(*port.key)
            key = (snapshot.netns.key, port.key)
            yield from self._kept.of(key, port, snapshot.facts, folded, name)

    def _listeners(
        self, port: Port, facts: HostFacts, _is_folded: bool, netns: str
    ) -> tuple[Listener, ...]:
        assert self._asked is not None
        return listeners_of(netns, port, facts, explain_restart(port, self._asked))

    def _dropped(self, listeners: Iterable[Listener]) -> dict[tuple[str, ...], int]:
        """What a counter can say of each; of one look, the sum of several sockets is none."""
        if self._drops is None:
            single = (each for each in listeners if each.drops is not None and len(each.drops) == 1)
            return {each.labels: sum((each.drops or {}).values()) for each in single}
        self._drops.renew()
        return {
            each.labels: self._drops.total(each.labels, each.drops)
            for each in listeners
            if each.drops is not None
        }

    def _per_port(self, told: Iterable[Snapshot], names: Mapping[NetnsKey, str]) -> Iterator[Told]:
        waiting, bound = Room(MOST_PORTS), Room(MOST_PORTS)
        for snapshot in told:
            key = snapshot.netns.key
            name = names[key]
            yield from time_waits(snapshot, name, partial(self._was_server, key), waiting)
            yield from bound_only(snapshot, name, bound)
            yield from ephemeral(snapshot, name)

    def _was_server(self, netns: NetnsKey, number: int) -> bool:
        return (netns, number) in self._seen

    def _remember(self, host: HostSnapshot) -> None:
        for one in host.snapshots:
            for port in one.ports:
                if port.protocol == "tcp" and port.listeners:
                    self._seen[one.netns.key, port.number] = one.time
        oldest = host.own.time - MEMORY_S
        self._seen = {each: seen for each, seen in self._seen.items() if seen > oldest}


def health_families(health: Health, gaps: Iterable[ExportGap]) -> tuple[Family, ...]:
    """How the looks go, and what `export` does not tell. Merge them with those of a look."""
    numbers = (
        (metrics.LOOK_SECONDS, health.took_s),
        (metrics.LOOK_AGE, health.age_s),
        (metrics.LOOKS, health.looks),
        (metrics.LOOK_ERRORS, health.errors),
    )
    return (
        Family(metrics.GAP, tuple(Sample((gap.value,), 1) for gap in gaps)),
        *(Family(metric, (Sample((), n),)) for metric, n in numbers if n is not None),
    )


def merged(families: Iterable[Family]) -> tuple[Family, ...]:
    """One family of each metric, in the order of METRICS."""
    found: dict[Metric, dict[Sample, None]] = defaultdict(dict)
    for family in families:
        found[family.metric].update(dict.fromkeys(family.samples))
    return tuple(Family(each, tuple(found[each])) for each in metrics.METRICS if each in found)


def _is_alike(one: HostSnapshot, other: HostSnapshot) -> bool:
    """Whether the same is told of both: all but when they were taken."""
    if len(one.snapshots) != len(other.snapshots) or one.gaps != other.gaps:
        return False
    return all(
        (a.netns, a.ports, a.clients, a.facts, a.gaps, a.kernel)
        == (b.netns, b.ports, b.clients, b.facts, b.gaps, b.kernel)
        for a, b in zip(one.snapshots, other.snapshots, strict=True)
    )


def _told(listeners: list[Listener], dropped: Mapping[tuple[str, ...], int]) -> Iterator[Told]:
    if len(listeners) > MOST_LISTENERS:
        listeners = sorted(listeners, key=lambda each: -each.queue)[:MOST_LISTENERS]
    units: dict[str, None] = {}
    for listener in listeners:
        unit = listener.unit
        if unit and len(units) < MOST_UNITS:
            units[unit] = None
        if (count := dropped.get(listener.labels)) is not None:
            yield metrics.DROPS, Sample(listener.labels, count)
        for metric, sample in listener.told:
            if metric is metrics.LISTENER_INFO and unit and unit not in units:
                at = metric.labels.index("unit")
                labels = (*sample.labels[:at], OTHER, *sample.labels[at + 1 :])
                yield metric, Sample(labels, sample.value)
            else:
                yield metric, sample


def _codes(host: HostSnapshot) -> set[str]:
    gaps: Iterable[Gap] = chain(host.gaps, *(one.gaps for one in host.snapshots))
    codes = {str(gap.code) for gap in chain(gaps, release_gaps(host.own.kernel))}
    if not all(one.clients.told_apart for one in host.snapshots):
        codes.add(ExportGap.CLIENTS_NOT_TOLD_APART)
    if len(host.snapshots) > 1:
        codes.add(ExportGap.NETNS_FACTS_UNREAD)
    return codes
