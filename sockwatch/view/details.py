"""All about one port in lines: the answer, its evidence, each server with all its holders."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from sockwatch.units import plural, spoken_clock, spoken_duration
from sockwatch.view import holders, names
from sockwatch.view.lines import Line, wrapped
from sockwatch.view.page import Page, evidence_lines, page_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.bind import BindRequest
    from sockwatch.model import Holder, Snapshot, Socket, SocketGroup


class TreeSigns(NamedTuple):
    """How branches are drawn."""

    fork: str
    last: str
    beside: str


UNICODE_TREE = TreeSigns("├─ ", "└─ ", "│  ")
ASCII_TREE = TreeSigns("|- ", "`- ", "|  ")


def details(
    request: BindRequest,
    snapshot: Snapshot,
    width: int,
    signs: TreeSigns = UNICODE_TREE,
    language: str | None = None,
    *,
    is_outside: bool = False,
) -> list[Line]:
    """Everything but the sockets in `Port.connections`, which may be many.

    Code is in `language`, None for the server's own. `is_outside`: commands are typed in another
    network namespace.
    """
    page = replace(Page.about(request, snapshot), is_outside=is_outside)
    lines = chain(
        page_lines(page, language or page.language), evidence_lines(page), _lines(page, signs)
    )
    return list(wrapped(lines, width))


def _lines(page: Page, signs: TreeSigns) -> Iterator[Line]:
    port, snapshot = page.port, page.snapshot
    if port is None:
        return
    for heading, sockets in (("listener", port.listeners), ("bound socket", port.bound)):
        if sockets:
            yield Line("section", plural(len(sockets), heading))
            for socket in sockets:
                yield from _socket(socket, snapshot, signs)
    if port.holders and not (port.listeners or port.bound):
        yield Line("section", "held by")
        yield from _tree(port.holders, snapshot.time, signs)
    if port.connections is None and port.groups:
        yield Line("section", "groups of sockets")
        yield from (Line("text", _group(group), 2) for group in port.groups)


def _socket(socket: Socket, snapshot: Snapshot, signs: TreeSigns) -> Iterator[Line]:
    parts = [socket.state, names.local_endpoint(socket)]
    if socket.state == "LISTEN":
        parts.append(f"queue {names.queue_text(socket.queue, socket.backlog)}")
    if socket.uid is not None:
        parts.append(names.uid_name(socket.uid))
    yield Line("text", "  ".join(parts), 2)
    yield Line("text", names.flag_words(socket.flags), 4)
    if socket.holders:
        yield from _tree(socket.holders, snapshot.time, signs)
    elif socket.inode == 0:
        yield Line("warning", "no process holds it", 4)
    else:
        yield Line("warning", "holder not visible", 4)


def _tree(held_by: tuple[Holder, ...], now: float, signs: TreeSigns) -> Iterator[Line]:
    for branch in holders.tree(held_by):
        indent = "".join("   " if ended else signs.beside for ended in branch.last[:-1])
        if branch.last:
            indent += signs.last if branch.last[-1] else signs.fork
        yield Line("process", f"{indent}{_process(branch, now)}", 4)


def _process(branch: holders.Branch, now: float) -> str:
    fds = ",".join(map(str, branch.fds))
    process = branch.holder.process
    parts = [names.holder_name(branch.holder), f"fd {fds}"]
    if process is None:
        return "  ".join([*parts, "could not be identified"])
    parts += [process.user, f"since {spoken_duration(now - process.start_time)}"]
    if process.origin is not None:
        parts.append(names.origin_text(process.origin))
    return "  ".join([*parts, process.command])


def _group(group: SocketGroup) -> str:
    text = f"{group.count} {group.state}  {names.local_address(group)}"
    if group.last_frees_in_s is not None:
        text += f"  last frees in {spoken_clock(group.last_frees_in_s)}"
    return f"{text}  {names.flag_letters(group.flags)}"
