"""What a program can do by itself of a fix: the very thing that the fix's command would do."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from sockwatch.model import Process


class EndProcesses(NamedTuple):
    """End these processes, in this order: by SIGTERM, or by SIGKILL where that does nothing."""

    processes: tuple[Process, ...]
    by_sigkill: bool = False


class Resume(NamedTuple):
    """Send SIGCONT to these processes, which see a SIGTERM only then, signal(7)."""

    processes: tuple[Process, ...]


class StopUnits(NamedTuple):
    """Stop units in the manager of that user; None means the system's. See systemctl(1)."""

    units: tuple[str, ...]
    manager_uid: int | None
    processes: tuple[Process, ...] = ()  # that hold the port and end with them


class StopContainer(NamedTuple):
    """Stop a container by the words of its runtime's client, which name it, as `label` does."""

    argv: tuple[str, ...]
    label: str


class WaitForClocks(NamedTuple):
    """Wait until sockets that no process holds have gone by themselves."""


class DestroySockets(NamedTuple):
    """Destroy the TCP sockets without an fd that are in this state on this address, as root."""

    state: str
    address: str


Act: TypeAlias = EndProcesses | Resume | StopUnits | StopContainer | WaitForClocks | DestroySockets
