"""Who started a process, by its ancestors."""

from __future__ import annotations

from os.path import basename
from typing import TYPE_CHECKING, Final

from sockwatch.model import INIT_PID, SYSTEMD
from sockwatch.units import process_name
from sockwatch.view.commands import program_name
from sockwatch.view.interpreters import SHELLS, without_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sockwatch.model import Ancestor, Process

MULTIPLEXERS: Final = frozenset({"tmux", "screen", "zellij"})
SSH_SERVERS: Final = frozenset({"sshd", "sshd-session", "dropbear"})


def started_by(process: Process) -> str | None:
    """``by bash(812) in an SSH session``, ``in tmux(700)``, ``by systemd``, or what else is known.

    None if unknown, as in a look at all ports. A process whose parent has exited is a child of
    pid 1 or of systemd, like one that these have started: ``its parent has gone`` where something
    shows it, else ``child of init(1)``.
    """
    if not process.ancestors:
        return None
    parent, *further = process.ancestors
    if _is_systemd(parent):
        return _by_systemd(process, parent)
    if parent.pid == INIT_PID:
        return "its parent has gone" if process.reparented else f"child of {_name(parent)}"
    program = _program(parent)
    if program in MULTIPLEXERS:
        return f"in {_place(parent)}"
    place = _session(further) if program not in SSH_SERVERS else None
    if place is None:
        return f"by {_name(parent)}"
    if _program(place) in SSH_SERVERS:
        return f"by {_name(parent)} in an SSH session"
    return f"in {_place(place)}" if program in SHELLS else f"by {_name(parent)} in {_place(place)}"


def _by_systemd(process: Process, manager: Ancestor) -> str:
    if process.service is not None:
        return "by systemd" if process.service.manager_uid is None else "by systemd --user"
    # The processes of a scope were started by others: systemd.scope(5).
    if process.reparented or (process.unit or "").endswith(".scope"):
        return "its parent has gone"
    return f"child of {_name(manager)}"


def _session(ancestors: Iterable[Ancestor]) -> Ancestor | None:
    """The nearest that keeps a terminal for a user."""
    return next((a for a in ancestors if _program(a) in MULTIPLEXERS | SSH_SERVERS), None)


def _is_systemd(ancestor: Ancestor) -> bool:
    return _program(ancestor) == SYSTEMD


def _program(ancestor: Ancestor) -> str:
    """By the executable; by the name, which tells less, where that may not be read."""
    if ancestor.executable is None:
        return ancestor.name.partition(":")[0]  # ``tmux: server``
    return without_version(basename(ancestor.executable))


def _place(ancestor: Ancestor) -> str:
    return process_name(_program(ancestor), ancestor.pid)


def _name(ancestor: Ancestor) -> str:
    return process_name(program_name(ancestor.name, ancestor.executable), ancestor.pid)
