"""Who has a port: the first lines of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.units import plural, spoken_duration
from sockwatch.view import holders, names, port_facts
from sockwatch.view.commands import command_words
from sockwatch.view.lines import Line
from sockwatch.view.parents import started_by
from sockwatch.view.published import published_lines, redirect_warnings
from sockwatch.view.states import state_parts
from sockwatch.view.warnings import warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.bind import BindRequest
    from sockwatch.model import Port, Process, Protocol, ReuseFlags, Snapshot, Socket

SHOWN_ADDRESSES = 4
BETWEEN = "   "  # facts in one line


def who_lines(request: BindRequest, snapshot: Snapshot) -> Iterator[Line]:
    """A title that answers by itself, then its process, its sockets, and what is wrong."""
    port = snapshot.port(request.protocol, request.port)
    yield Line("title", who(request, snapshot))
    if port is None:
        return
    if (process := port_facts.first_process(port)) is not None:
        yield Line("text", process_facts(process, snapshot.time), 2)
    if sockets := socket_facts(port):
        yield Line("text", sockets, 2)
    of_port = (request.protocol, request.port, snapshot)
    yield from (line._replace(indent=2) for line in published_lines(*of_port))
    yield from (line._replace(indent=2) for line in redirect_warnings(*of_port))
    yield from (Line("warning", warning, 2) for warning in warnings(port, snapshot.time))


def who(request: BindRequest, snapshot: Snapshot) -> str:
    """``8080/tcp is held by gunicorn(4242) and 3 workers``, ``8080/tcp: nobody has it``."""
    name = f"{request.port}/{request.protocol}"
    port = snapshot.port(request.protocol, request.port)
    if port is None:
        return f"{name}: {nobody(request.protocol, request.port, snapshot)}"
    served = port.listeners or port.bound
    if (first := holders.first(port)) is not None:
        verb = "is held by" if served else "has no server; its connections are held by"
        return f"{name} {verb} {names.holder_name(first)}{_others(port)}"
    if port_facts.holders_unseen(port):
        owner = _owner(port)
        return f"{name} is held by a process{owner} that could not be seen"
    if served:
        return f"{name} is held by no process, but by the kernel, or by a socket in flight"
    states = ", ".join(state_parts(port))
    return f"{name}: no process has it{f': {states}' if states else ''}"


def nobody(protocol: Protocol, number: int, snapshot: Snapshot) -> str:
    """Who has a port that is not among those of the snapshot: nobody, or folded clients."""
    folded = snapshot.is_folded(protocol, number)
    return "connections of clients have it" if folded else "nobody has it"


def _others(port: Port) -> str:
    """`` and 3 workers``: all below the first; `` and 3 more`` if others are among them."""
    branches = holders.tree(port.holders)
    if (count := len(branches) - 1) < 1:
        return ""
    is_family = sum(not branch.last for branch in branches) == 1
    return f" and {plural(count, 'worker')}" if is_family else f" and {count} more"


def _owner(port: Port) -> str:
    uids = {owner.uid for owner in port_facts.owners(port)}
    uid = uids.pop() if len(uids) == 1 else None
    return "" if uid is None else f" of {names.uid_name(uid)}"


def process_facts(process: Process, now: float) -> str:
    """Its command, where and as whom it runs, since when, and who has started it."""
    parts = [
        command_words(process),
        process.cwd and f"in {process.cwd}",
        process.user,
        f"up {spoken_duration(now - process.start_time)}",
        names.origin_text(process.origin) if process.origin else started_by(process),
        other_namespaces(process),
    ]
    return BETWEEN.join(filter(None, parts))


def other_namespaces(process: Process) -> str | None:
    """``in another user namespace``; None if they are ours, unknown, or those of any container."""
    is_contained = process.origin is not None and process.origin.container is not None
    kinds = [kind for kind in process.namespaces or () if kind != "pid" or not is_contained]
    if len(kinds) > 1:
        return f"in other {' and '.join(kinds)} namespaces"
    return f"in another {kinds[0]} namespace" if kinds else None


def socket_facts(port: Port) -> str:
    """``listens on 0.0.0.0 with SO_REUSEADDR; queue 0/4096; 312 ESTABLISHED, 801 TIME_WAIT``."""
    parts = []
    for verb, sockets in (
        ("receives on" if port.protocol == "udp" else "listens on", port.listeners),
        ("has bound", port.bound),
    ):
        if sockets:
            parts.append(f"{verb} {_addresses(sockets)}{_with_flags(sockets)}")
    if port.bound and not port.listeners:
        parts[-1] += ", and does not listen"
    if (fullest := port_facts.fullest(port)) is not None:
        parts.append(f"queue {names.queue_text(fullest.queue, fullest.backlog)}")
    if served := (port.listeners or port.bound or port.holders) and state_parts(port):
        parts.append(", ".join(served))
    return "; ".join(parts)


def _addresses(sockets: tuple[Socket, ...]) -> str:
    counts: dict[str, int] = {}
    for socket in sockets:
        address = names.local_address(socket)
        counts[address] = counts.get(address, 0) + 1
    shown = [
        address if count == 1 else f"{address} x{count}"
        for address, count in list(counts.items())[:SHOWN_ADDRESSES]
    ]
    return ", ".join(shown) + names.holders_more(len(counts) - len(shown))


def _with_flags(sockets: tuple[Socket, ...]) -> str:
    """`` with SO_REUSEADDR``, `` without reuse flags``, what differs, or what is unknown."""
    said = list(dict.fromkeys(_flag_words(socket.flags) for socket in sockets))
    return f" {said[0]}" if len(said) == 1 else f" ({', some '.join(said)})"


def _flag_words(flags: ReuseFlags) -> str:
    """``with SO_REUSEADDR and SO_REUSEPORT``."""
    values = {"SO_REUSEADDR": flags.reuseaddr, "SO_REUSEPORT": flags.reuseport}
    on = [name for name, value in values.items() if value]
    unknown = [name for name, value in values.items() if value is None]
    if len(unknown) == len(values):
        return "with unknown reuse flags"
    words = f"with {' and '.join(on)}" if on else "without reuse flags"
    return f"{words} ({unknown[0]} unknown)" if unknown else words
