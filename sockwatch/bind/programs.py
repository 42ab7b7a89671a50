"""What is known of a program by its name alone: whether it listens, and on whose behalf."""

from __future__ import annotations

import os.path
from typing import Final

from sockwatch.model import INIT_PID, HostFacts, Process, is_service_manager
from sockwatch.model.publications import publisher

# Programs that never listen by themselves: with a listening socket, they inherited it.
NEVER_LISTEN: Final = frozenset(
    {"sh", "bash", "dash", "zsh", "ash", "sleep", "cat", "tail", "tee", "gzip", "xargs"}
    | {"timeout", "nohup", "script", "less", "mpv"}
)
# Programs by which people log in: ending one may lock everybody out.
LOGINS: Final = frozenset(
    {"sshd", "sshd-session", "sshd-auth", "dropbear", "mosh-server", "telnetd", "in.telnetd"}
    | {"tailscaled", "teleport", "xrdp"}
)
KTHREADD_PID: Final = 2
MULTI_CALL: Final = frozenset({"busybox", "toybox", "coreutils"})  # the name says which it is


def program(process: Process) -> str:
    """The name of its executable; that of the process where that cannot be read or tells less."""
    name = os.path.basename(process.executable) if process.executable else ""
    return process.name if not name or name in MULTI_CALL else name


def serves_others(process: Process) -> bool:
    """Whether ending it would take along what it runs: services, containers, the host."""
    return process.pid == INIT_PID or is_service_manager(process) or publisher(process) is not None


def why_untouchable(process: Process, facts: HostFacts) -> str | None:
    """Why sockwatch itself never ends it, whoever asks; None if it may."""
    if process.pid == facts.pid:
        return "it is this very process"
    # In a pid namespace of its own, 2 is a process like any other.
    if process.executable is None and KTHREADD_PID in (process.pid, process.parent_pid):
        return "it may be the kernel's"
    if process.pid == INIT_PID or is_service_manager(process):
        return "it is the first process, or runs services"
    if publisher(process) is not None:
        return "it runs containers"
    return why_it_stays(process, facts.ancestors)


def why_it_stays(process: Process, ancestors: frozenset[int]) -> str | None:
    """Why nobody who asks should end it; None if it may end. `ancestors` are those of the asker."""
    if process.pid in ancestors:
        return "this sockwatch was started from it"
    return "people log in through it" if program(process) in LOGINS else None
