"""conmon(8), the parent of each container of podman and CRI-O: its arguments name the container."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from sockwatch.kernel.proc.command_lines import read_command_line
from sockwatch.kernel.proc.proc_stat import ancestry, read_stat

CONMON: Final = "conmon"
STATUS_BYTES: Final = 4096
ID_OPTIONS: Final = (b"-c", b"--cid")
NAME_OPTIONS: Final = (b"-n", b"--name")


class Monitored(NamedTuple):
    """The container that a conmon runs, as its command line has it, and the user of that conmon."""

    id: bytes
    name: bytes
    uid: int


def container_of(pid: int) -> Monitored | None:
    """The container that the process was started in, by the nearest conmon above it.

    Reads the command line of that, and so may wait.
    """
    stat = read_stat(pid)
    if stat is None:
        return None
    for above, parent in ancestry(stat):
        if parent.comm == CONMON.encode():
            return _monitored(above)
    return None


def _monitored(pid: int) -> Monitored | None:
    uid = _uid(pid)
    arguments = read_command_line(pid).split(b"\0")
    identity, name = (option(arguments, names) for names in (ID_OPTIONS, NAME_OPTIONS))
    return Monitored(identity, name, uid) if identity and name and uid is not None else None


def _uid(pid: int) -> int | None:
    """Its user; None if another one has started it, as a program that is set-user-ID: su(1)."""
    with suppress(OSError, IndexError, ValueError):
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            real, effective = file.read(STATUS_BYTES).split(b"\nUid:\t")[1].split()[:2]
        return int(real) if real == effective else None
    return None


def option(arguments: Sequence[bytes], names: Sequence[bytes]) -> bytes | None:
    """The value of the first option that has one of these names."""
    for word, value in zip(arguments, [*arguments[1:], b""], strict=False):
        if word in names:
            return value
        key, is_given, rest = word.partition(b"=")
        if is_given and key in names:
            return rest
    return None
