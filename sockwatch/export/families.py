"""A look at the host as families of metrics, each of bounded size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, TypeAlias

from sockwatch.bind import explain_restart
from sockwatch.bind.ephemeral import usable_ports
from sockwatch.export import metrics
from sockwatch.export.listeners import Listener, Told, address_label, listeners_of
from sockwatch.export.model import Family, Health, Metric, Sample
from sockwatch.kept import Kept
from sockwatch.model import (
    Gap,
    HostFacts,
    HostSnapshot,
    Id,
    Netns,
    NetnsKey,
    Port,
    Protocol,
    Snapshot,
    TimeWait,
)
from sockwatch.text import NAME_LIMIT, clean

MOST_LISTENERS: Final = 500  # the longest queues first
MOST_UNITS: Final = 100
MOST_PAIRS: Final = 5  # of addresses that client ports lead between
MOST_PORTS: Final = 500  # with TIME_WAITs, and as many with bound sockets
MEMORY_S: Final = 3600.0  # for which a port without a listener keeps its TIME_WAITs
OTHER: Final = "other"
Published: TypeAlias = frozenset[tuple[Protocol, int]]
USUAL_RANGE: Final = (32768, 60999)  # where ip_local_port_range is unknown


class ExportGap(Id):
    """What metrics do not tell, besides what the looks did not see."""

    FAILED_BINDS_UNWATCHED = "failed-binds-unwatched", "failed calls are not counted"
    CLIENTS_NOT_TOLD_APART = "clients-not-told-apart", "which ports are clients' is unknown"
    NO_LOOK = "no-look", "there was no look at this host yet"


class Exporter:
    """Makes families of look after look; of a port that has not changed it remembers them.

    Use it from one thread.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._kept: Kept[[Port, HostFacts, bool, str], tuple[Listener, ...]] = Kept(self._listeners)
        self._asked: Snapshot | None = None
        self._seen: dict[tuple[NetnsKey, int], float] = {}  # TCP ports: when somebody listened
        self._last: HostSnapshot | None = None
        self._published: Published = frozenset()
        self._families: tuple[Family, ...] = ()

    def families(
        self, host: HostSnapshot, published: Published = frozenset()
    ) -> tuple[Family, ...]:
        """The families that this look tells, in the order of METRICS.

        `published` are ports of our own namespace whose traffic NAT rules take.
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
        kernel = clean(host.own.kernel, NAME_LIMIT)
        found[metrics.BUILD_INFO].append(Sample((self._version, kernel), 1))
        listeners = [each for one in host.snapshots for each in self._of(one)]
        for metric, sample in chain(_told(listeners), *map(self._per_port, host.snapshots)):
            found[metric].append(sample)
        for protocol, number in sorted(self._published):
            port = host.own.port(protocol, number)
            labels = (netns_label(host.own.netns), protocol, str(number))
            is_alone = port is None or not port.listeners
            found[metrics.PUBLISHED].append(Sample(labels, float(is_alone)))
        left_out = max(0, len(listeners) - MOST_LISTENERS)
        found[metrics.LEFT_OUT].append(Sample((), left_out))
        found[metrics.GAP] += (Sample((code,), 1) for code in sorted(_codes(host)))
        return tuple(
            Family(metric, tuple(found[metric])) for metric in metrics.METRICS if metric in found
        )

    def _of(self, snapshot: Snapshot) -> Iterator[Listener]:
        self._asked = snapshot
        name = netns_label(snapshot.netns)
        for port in snapshot.ports:
            if not port.listeners or (port.protocol == "udp" and _is_ephemeral(port, snapshot)):
                continue
            folded = snapshot.is_folded(*port.key)
            key = (snapshot.netns.key, port.key)
            yield from self._kept.of(key, port, snapshot.facts, folded, name)

    def _listeners(
        self, port: Port, facts: HostFacts, _is_folded: bool, netns: str
    ) -> tuple[Listener, ...]:
        assert self._asked is not None
        return listeners_of(netns, port, facts, explain_restart(port, self._asked))

    def _per_port(self, snapshot: Snapshot) -> Iterator[Told]:
        name = netns_label(snapshot.netns)
        yield from self._time_waits(snapshot, name)
        yield from _bound_only(snapshot, name)
        yield from _ephemeral(snapshot, name)

    def _remember(self, host: HostSnapshot) -> None:
        for one in host.snapshots:
            for port in one.ports:
                if port.protocol == "tcp" and port.listeners:
                    self._seen[one.netns.key, port.number] = one.time
        oldest = host.own.time - MEMORY_S
        self._seen = {each: seen for each, seen in self._seen.items() if seen > oldest}

    def _time_waits(self, snapshot: Snapshot, name: str) -> Iterator[Told]:
        key = snapshot.netns.key
        rest: Counter[bool | None] = Counter()
        tcp = [port for port in snapshot.ports if port.protocol == "tcp"]
        tcp.sort(key=lambda port: (not port.listeners, -port.time_wait.count, port.number))
        left = MOST_PORTS
        for port in tcp:
            if left and (key, port.number) in self._seen:
                left -= 1
                yield from _by_flag(name, str(port.number), *port.time_wait.reuseaddr)
            else:
                rest.update(_counts(port.time_wait))
        for group in snapshot.clients.groups:
            if group.state == "TIME_WAIT":
                rest[group.flags.reuseaddr] += group.count
        yield from _by_flag(name, OTHER, rest[True], rest[False], rest[None])


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


def netns_label(netns: Netns) -> str:
    """As people call the namespace."""
    return clean(netns.short_name, NAME_LIMIT)


def _is_alike(one: HostSnapshot, other: HostSnapshot) -> bool:
    """Whether the same is told of both: all but when they were taken."""
    if len(one.snapshots) != len(other.snapshots) or one.gaps != other.gaps:
        return False
    return all(
        (a.netns, a.ports, a.clients, a.facts, a.gaps, a.kernel)
        == (b.netns, b.ports, b.clients, b.facts, b.gaps, b.kernel)
        for a, b in zip(one.snapshots, other.snapshots, strict=True)
    )


def _told(listeners: list[Listener]) -> Iterator[Told]:
    if len(listeners) > MOST_LISTENERS:
        listeners = sorted(listeners, key=lambda each: -each.queue)[:MOST_LISTENERS]
    units: dict[str, None] = {}
    for listener in listeners:
        unit = listener.unit
        if unit and len(units) < MOST_UNITS:
            units[unit] = None
        for metric, sample in listener.told:
            if metric is metrics.LISTENER_INFO and unit and unit not in units:
                at = metric.labels.index("unit")
                labels = (*sample.labels[:at], OTHER, *sample.labels[at + 1 :])
                yield metric, Sample(labels, sample.value)
            else:
                yield metric, sample


def _counts(time_wait: TimeWait) -> dict[bool | None, int]:
    yes, no, unknown = time_wait.reuseaddr
    return {True: yes, False: no, None: unknown}


def _by_flag(netns: str, port: str, yes: int, no: int, unknown: int) -> Iterator[Told]:
    for flag, count in (("yes", yes), ("no", no), ("unknown", unknown)):
        if count or flag != "unknown":
            yield metrics.TIME_WAITS, Sample((netns, "tcp", port, flag), count)


def _bound_only(snapshot: Snapshot, netns: str) -> Iterator[Told]:
    counts: Counter[tuple[str, str]] = Counter()
    for port in snapshot.ports:
        for sock in port.bound:
            is_rest = _is_ephemeral(port, snapshot) or len(counts) >= MOST_PORTS
            labels = ("", OTHER) if is_rest else (address_label(sock), str(port.number))
            counts[labels] += 1
    for (address, number), count in counts.items():
        yield metrics.BOUND_ONLY, Sample((netns, "tcp", address, number), count)


def _ephemeral(snapshot: Snapshot, netns: str) -> Iterator[Told]:
    facts = snapshot.facts
    if facts.port_range is not None:
        usable = len(usable_ports(facts.port_range, facts))
        yield metrics.EPHEMERAL, Sample((netns,), usable)
    counts: Counter[tuple[str, str, str]] = Counter()
    for group in snapshot.clients.groups:
        if group.peer_address is not None and group.peer_port is not None:
            counts[group.address, group.peer_address, str(group.peer_port)] += group.count
    for pair, count in counts.most_common(MOST_PAIRS):
        yield metrics.EPHEMERAL_USED, Sample((netns, *pair), count)


def _is_ephemeral(port: Port, snapshot: Snapshot) -> bool:
    """Whether it comes and goes with a client: without a limit, each would be a series."""
    first, last = snapshot.facts.port_range or USUAL_RANGE
    return first <= port.number <= last


def _codes(host: HostSnapshot) -> set[str]:
    gaps: Iterable[Gap] = chain(host.gaps, *(one.gaps for one in host.snapshots))
    codes = {str(gap.code) for gap in gaps}
    if not all(one.clients.told_apart for one in host.snapshots):
        codes.add(ExportGap.CLIENTS_NOT_TOLD_APART)
    return codes
