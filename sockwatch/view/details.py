"""What is known of one port, in lines: its listeners with all their holders, states and gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sockwatch.view import holders, names
from sockwatch.view.fit import wrap
from sockwatch.view.summary import state_parts, title
from sockwatch.view.units import plural, spoken_clock, spoken_duration
from sockwatch.view.warnings import warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.model import Holder, Port, Snapshot, Socket, SocketGroup

Kind = Literal["title", "section", "text", "process", "gap"]


class TreeSigns(NamedTuple):
    """How branches are drawn."""

    fork: str
    last: str
    beside: str


UNICODE_TREE = TreeSigns("├─ ", "└─ ", "│  ")
ASCII_TREE = TreeSigns("|- ", "`- ", "|  ")


class DetailLine(NamedTuple):
    """A line and what it is, so that it can be styled."""

    kind: Kind
    text: str


def details(
    port: Port, snapshot: Snapshot, width: int, signs: TreeSigns = UNICODE_TREE
) -> list[DetailLine]:
    """Everything but the sockets in `port.connections`, which may be many."""
    return list(_lines(port, snapshot, width, signs))


def _lines(port: Port, snapshot: Snapshot, width: int, signs: TreeSigns) -> Iterator[DetailLine]:
    yield DetailLine("title", title(port))
    for warning in warnings(port, snapshot.time):
        yield from (DetailLine("gap", line) for line in wrap(warning, width, " ", "   "))
    for heading, sockets in (("listener", port.listeners), ("bound socket", port.bound)):
        if sockets:
            yield DetailLine("section", plural(len(sockets), heading))
            for socket in sockets:
                yield from _socket(socket, snapshot, signs)
    if port.holders and not (port.listeners or port.bound):
        yield DetailLine("section", "held by")
        yield from _tree(port.holders, snapshot.time, signs)
    states = state_parts(port)
    if states:
        yield DetailLine("section", "states")
        yield from (DetailLine("text", f"  {part}") for part in states)
    if port.connections is None and port.groups:
        yield DetailLine("section", "groups of sockets")
        yield from (DetailLine("text", f"  {_group(group)}") for group in port.groups)
    if snapshot.gaps:
        yield DetailLine("section", "not seen")
        for gap in snapshot.gaps:
            yield from (DetailLine("gap", line) for line in wrap(gap.text, width, "  ", "    "))
            yield from (DetailLine("text", line) for line in wrap(gap.remedy, width, *["    "] * 2))


def _socket(socket: Socket, snapshot: Snapshot, signs: TreeSigns) -> Iterator[DetailLine]:
    parts = [socket.state, names.local_endpoint(socket)]
    if socket.state == "LISTEN":
        parts.append(f"queue {names.queue_text(socket.queue, socket.backlog)}")
    if socket.uid is not None:
        parts.append(names.uid_name(socket.uid))
    yield DetailLine("text", f"  {'  '.join(parts)}")
    yield DetailLine("text", f"    {names.flag_words(socket.flags)}")
    if socket.holders:
        yield from _tree(socket.holders, snapshot.time, signs)
    elif socket.inode == 0:
        yield DetailLine("gap", "    no process holds it")
    else:
        yield DetailLine("gap", "    holder not visible")


def _tree(found: tuple[Holder, ...], now: float, signs: TreeSigns) -> Iterator[DetailLine]:
    for branch in holders.tree(found):
        indent = "".join("   " if ended else signs.beside for ended in branch.last[:-1])
        if branch.last:
            indent += signs.last if branch.last[-1] else signs.fork
        yield DetailLine("process", f"    {indent}{_process(branch, now)}")


def _process(branch: holders.Branch, now: float) -> str:
    fds = ",".join(map(str, branch.fds))
    process = branch.holder.process
    parts = [names.holder_name(branch.holder), f"fd {fds}"]
    if process is None:
        return "  ".join([*parts, "may not be identified"])
    parts += [process.user, f"since {spoken_duration(now - process.start_time)}"]
    if process.unit:
        parts.append(process.unit)
    return "  ".join([*parts, process.command])


def _group(group: SocketGroup) -> str:
    text = f"{group.count} {group.state}  {names.local_address(group)}"
    if group.last_frees_in_s is not None:
        text += f"  last frees in {spoken_clock(group.last_frees_in_s)}"
    return f"{text}  {names.flag_letters(group.flags)}"
