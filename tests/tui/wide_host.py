"""A host with several network namespaces that show what the test decides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sockwatch.model import HostFacts, HostSnapshot, KernelError, Netns, Origin
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.options import Options
from tests.support import build
from tests.support.build import A, holder, port, process, socket
from tests.tui.host import Host, unexpected

if TYPE_CHECKING:
    from sockwatch.model import Gap, Port, Snapshot

BLUE = Netns(4_026_532_290, "blue", id=9)
WEB2 = Netns(
    4_026_532_411, None, id=12, pid=5005, origin=Origin("podman", "f" * 64, "web2", "cgroup")
)


def redis(pid: int, number: int = 6379) -> Port:
    """A server on loopback."""
    by = (holder(process(pid, "redis-server", user="redis", uid=999)),)
    return port(
        number,
        listeners=(
            socket("LISTEN", "127.0.0.1", number, flags=A, queue=0, backlog=511, holders=by),
        ),
    )


def nginx(pid: int, number: int = 8080) -> Port:
    """A server that every namespace may have."""
    by = (holder(process(pid, "nginx", user="www", uid=33)),)
    return port(
        number,
        listeners=(socket("LISTEN", "0.0.0.0", number, flags=A, queue=0, backlog=511, holders=by),),
    )


class WideHost(Host):
    """`others` are the ports of the other namespaces, `ages` how many s ago each was looked at.

    A namespace in `shut` cannot be entered.
    """

    def __init__(self, gaps: tuple[Gap, ...] = ()) -> None:
        super().__init__()
        self.others = {BLUE: [nginx(2001), redis(2002)], WEB2: [nginx(5005)]}
        self.ages = {WEB2: 12.0}
        self.facts: dict[Netns, HostFacts] = {}
        self.host_gaps = gaps
        self.shut: set[Netns] = set()
        self.visits: list[tuple[str, int]] = []

    def take_all(self) -> HostSnapshot:
        own = self.take(None)
        others = (self._snapshot(netns, own.time) for netns in self.others)
        return HostSnapshot((own, *others), self.host_gaps)

    def take_in(self, netns: Netns, number: int) -> Snapshot:
        self.visits.append((netns.short_name, number))
        if netns in self.shut or netns not in self.others:
            raise KernelError(f"{netns.label} cannot be entered", 1)
        now = build.NOW + self.looks
        seen = replace(self._snapshot(netns, now), time=now, only_port=number)
        return replace(seen, ports=tuple(each for each in seen.ports if each.number == number))

    def _snapshot(self, netns: Netns, now: float) -> Snapshot:
        seen = build.snapshot(self.others[netns], time=now - self.ages.get(netns, 0.0))
        return replace(seen, netns=netns, facts=self.facts.get(netns, seen.facts))

    def app(self, options: Options | None = None) -> SockwatchApp:  # type: ignore[override]
        options = options or Options(interval_s=3600.0)
        return SockwatchApp(
            options, self.take, lambda: self.now, namespaces=_Namespaces(self), perform=unexpected
        )


class _Namespaces:
    def __init__(self, host: WideHost) -> None:
        self.take = host.take_all
        self.take_in = host.take_in
