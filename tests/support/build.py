"""Fabricated ports and snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.model import (
    UNKNOWN_FLAGS,
    Gap,
    Holder,
    Netns,
    Origin,
    Port,
    Process,
    ReuseFlags,
    Service,
    Snapshot,
    Socket,
    SocketGroup,
    TimeWait,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sockwatch.model import Family, Protocol

NOW = 1_790_000_000.0
DAY = 86_400.0
A = ReuseFlags(reuseaddr=True, reuseport=False, source="bpf")
P = ReuseFlags(reuseaddr=False, reuseport=True, source="bpf")
AP = ReuseFlags(reuseaddr=True, reuseport=True, source="bpf")
NONE = ReuseFlags(reuseaddr=False, reuseport=False, source="bpf")


def family_of(address: str) -> Family:
    """ "ipv4" or "ipv6"."""
    return "ipv6" if ":" in address else "ipv4"


def process(
    pid: int,
    name: str,
    *,
    parent: int | None = 1,
    user: str = "root",
    uid: int = 0,
    age_s: float = 3 * DAY,
    command: str | None = None,
    unit: str | None = None,
    service: Service | None = None,
) -> Process:
    """A process that has run for `age_s` seconds; its command line is its name."""
    command = command or name
    is_title = ": " in command
    origin = None if unit is None else Origin("unit", "", unit, "cgroup")
    return Process(
        pid, name, command, user, uid, NOW - age_s, parent, "S", service=service, origin=origin,
        arguments=(command,) if is_title else tuple(command.split()),
    )  # fmt: skip


def holder(of: Process, fd: int = 3) -> Holder:
    """The process, by that fd."""
    return Holder(of.pid, fd, of)


def socket(
    state: str,
    address: str,
    port: int,
    *,
    protocol: Protocol = "tcp",
    peer: tuple[str, int] | None = None,
    flags: ReuseFlags = UNKNOWN_FLAGS,
    queue: int | None = None,
    backlog: int | None = None,
    v6only: bool | None = None,
    device: str | None = None,
    uid: int | None = 0,
    inode: int | None = 1,
    mini: bool = False,
    frees_in_s: float | None = None,
    holders: tuple[Holder, ...] = (),
    cookie: int = 1,
) -> Socket:
    """A socket of root with one inode, whose flags are unknown."""
    return Socket(
        protocol, family_of(address), state, address, port,
        peer[0] if peer else None, peer[1] if peer else None,
        device, v6only, uid, inode, cookie, mini, queue, backlog, frees_in_s, flags, holders,
    )  # fmt: skip


def group(
    state: str,
    address: str,
    count: int,
    *,
    mini: bool | None = None,
    clock: tuple[float, float] | None = None,
    with_fd: int | None = 0,
    holders: tuple[Holder, ...] = (),
    flags: ReuseFlags = UNKNOWN_FLAGS,
    uid: int | None = None,
) -> SocketGroup:
    """So many sockets alike; `clock` has the s until the first and the last is free."""
    first, last = clock or (None, None)
    is_mini = state == "TIME_WAIT" if mini is None else mini
    return SocketGroup(
        family_of(address), state, is_mini, address, None, None, uid, count, with_fd,
        first, last, flags, holders,
    )  # fmt: skip


def port(
    number: int,
    *,
    protocol: Protocol = "tcp",
    listeners: tuple[Socket, ...] = (),
    bound: tuple[Socket, ...] = (),
    groups: tuple[SocketGroup, ...] = (),
    orphans: int = 0,
    unaccepted: int = 0,
    half_open: int = 0,
    holders: tuple[Holder, ...] = (),
    connections: Sequence[Socket] | None = None,
) -> Port:
    """A port whose states and holders are counted from its sockets."""
    states: dict[str, int] = {}
    for one in (*listeners, *bound):
        states[one.state] = states.get(one.state, 0) + 1
    for several in groups:
        states[several.state] = states.get(several.state, 0) + several.count
    found = holders or tuple(h for one in (*listeners, *bound) for h in one.holders)
    return Port(
        protocol, number, states, listeners, bound, groups, TimeWait.of(groups),
        orphans, unaccepted, half_open, found, connections,
    )  # fmt: skip


def snapshot(
    ports: Sequence[Port],
    *,
    time: float = NOW,
    gaps: tuple[Gap, ...] = (),
    only_port: int | None = None,
) -> Snapshot:
    """A snapshot of the host web-1, taken at `time`."""
    return Snapshot(
        "web-1", "6.18.44", time, 0.003, Netns(4_026_531_840, "host"), tuple(ports), gaps,
        only_port,
    )  # fmt: skip


def sshd() -> Port:
    """22/tcp, a plain server."""
    service = Service("ssh.service", None, 812)
    sshd = process(
        812, "sshd", command="sshd: /usr/sbin/sshd -D", unit=service.name, service=service
    )
    by = (holder(sshd),)
    return port(
        22,
        listeners=(socket("LISTEN", "0.0.0.0", 22, flags=A, queue=0, backlog=128, holders=by),),
        groups=(group("ESTABLISHED", "10.0.0.5", 2, with_fd=2),),
    )


def gunicorn() -> Port:
    """8080/tcp, a parent and three workers with a socket each."""
    workers = tuple(
        process(pid, "gunicorn", parent=None if pid == 4242 else 4242, user="www", uid=33,
                unit="web.service", service=Service("web.service", None, 4242),
               command="/usr/bin/gunicorn app:web -w 3")
        for pid in (4242, 4243, 4244, 4245)
    )  # fmt: skip
    listeners = tuple(
        socket(
            "LISTEN", "0.0.0.0", 8080, flags=AP, queue=0, backlog=4096, uid=33, inode=10 + index,
            holders=(holder(workers[0], 5 + index), holder(worker, 5 + index))
            if worker is not workers[0] else (holder(worker, 5 + index),),
        )
        for index, worker in enumerate(workers)
    )  # fmt: skip
    return port(
        8080,
        listeners=listeners,
        groups=(
            group("ESTABLISHED", "10.0.0.5", 312, with_fd=2, uid=33),
            group("TIME_WAIT", "10.0.0.5", 801, clock=(1.2, 57.3)),
            group("CLOSE_WAIT", "10.0.0.5", 2, with_fd=2, uid=33),
        ),
    )


def lingering() -> Port:
    """9000/tcp, TIME_WAITs only."""
    return port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 17, clock=(3.0, 40.5)),))


def java() -> Port:
    """9100/tcp, bound and not listening."""
    by = (holder(process(991, "java", user="tomcat", uid=104, age_s=12)),)
    return port(
        9100,
        bound=(socket("BOUND", "::", 9100, flags=NONE, v6only=False, uid=104, holders=by),),
    )


def dns() -> Port:
    """53/udp, bound to a device."""
    by = (holder(process(640, "systemd-resolve", user="systemd-resolve", uid=101)),)
    return port(
        53,
        protocol="udp",
        listeners=(
            socket("UNCONN", "127.0.0.53", 53, protocol="udp", device="lo", flags=A, holders=by),
        ),
    )


def hidden() -> Port:
    """3306/tcp, whose holder may not be seen."""
    return port(
        3306, listeners=(socket("LISTEN", "::", 3306, v6only=True, queue=129, backlog=128),)
    )


def web_host() -> tuple[Port, ...]:
    """The ports of the host that the screens are drawn of."""
    return (sshd(), gunicorn(), lingering(), java(), dns(), hidden())
