"""What is known of one port, in lines: its listeners with all their holders, states and gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sockwatch.units import plural, spoken_clock, spoken_duration
from sockwatch.view import holders, names
from sockwatch.view.fit import wrap
from sockwatch.view.request import request_text
from sockwatch.view.summary import state_parts, title
from sockwatch.view.verdict import (
    Answer,
    by_rule,
    matrix_line,
    restart_request,
)
from sockwatch.view.warnings import warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.bind import BindRequest
    from sockwatch.model import Holder, Port, Snapshot, Socket, SocketGroup

SHOWN_BLOCKERS = 6

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
    port: Port,
    snapshot: Snapshot,
    width: int,
    signs: TreeSigns = UNICODE_TREE,
    request: BindRequest | None = None,
) -> list[DetailLine]:
    """Everything but the sockets in `port.connections`, which may be many.

    The verdict is for `request`, or for a restart of the port's server.
    """
    return list(_lines(port, snapshot, width, signs, request or restart_request(port)))


def verdict_lines(request: BindRequest, snapshot: Snapshot, width: int) -> list[DetailLine]:
    """What the request would get with each choice of flags, what is in the way, and why."""
    return list(_verdict(request, snapshot, width))


def _verdict(request: BindRequest, snapshot: Snapshot, width: int) -> Iterator[DetailLine]:
    answer = Answer.to(request, snapshot)
    verdict = answer.verdict
    yield DetailLine("section", f"bind {request_text(request)} would get {verdict.outcome}")
    yield DetailLine("text", f"  {matrix_line(answer)}")
    if verdict.reason is not None:
        yield from _wrapped("text", verdict.reason.text, width)
    for rule, lines in by_rule(verdict.blockers, SHOWN_BLOCKERS):
        yield from _wrapped("text", rule, width)
        for line in lines:
            yield from _wrapped("gap", f"  {line}", width)
    for condition in verdict.conditions:
        text = f"{condition.question} yes: {condition.yes}, no: {condition.no}"
        yield from _wrapped("gap", text, width)
    if verdict.cause is not None:
        yield from _wrapped("text", verdict.cause.text, width)
    for fix in verdict.fixes:
        yield from _wrapped("text", f"- {fix.text}", width)
        if fix.command:
            yield DetailLine("text", f"      {fix.command}")


def _wrapped(kind: Kind, text: str, width: int) -> Iterator[DetailLine]:
    indent = " " * (len(text) - len(text.lstrip()))
    lines = wrap(text.lstrip(), width, f"  {indent}", f"    {indent}")
    yield from (DetailLine(kind, line) for line in lines)


def _lines(
    port: Port, snapshot: Snapshot, width: int, signs: TreeSigns, request: BindRequest
) -> Iterator[DetailLine]:
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
    yield from _verdict(request, snapshot, width)
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
