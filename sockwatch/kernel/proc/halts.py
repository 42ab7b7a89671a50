"""What keeps a process from running: a stop signal, a tracer, a frozen cgroup.

A frozen cgroup does not show in the state of its processes: with cgroup v2 they are in S, with the
freezer of v1 in D. Neither freezer has to be that of the process's own cgroup: one above it will
do. Only files of /proc and of the cgroup filesystem are read, and none of them waits for a process.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sockwatch.kernel.proc.proc_file import read_proc_file
from sockwatch.kernel.proc.proc_stat import ProcessStat, read_stat
from sockwatch.kernel.proc.services import UNIFIED, cgroup_lines, hierarchy_mounts
from sockwatch.model import Halt, HaltKind
from sockwatch.text import NAME_LIMIT, clean
from sockwatch.units import process_name

STOPPED: Final = "T"  # as in proc_pid_stat(5)
TRACED: Final = "t"
UNINTERRUPTIBLE: Final = "D"
FREEZER: Final = "freezer"
FILE_BYTES: Final = 4096


class _Freezer(NamedTuple):
    """The files of a freezer. `is_frozen` is for the cgroup with all that is above it."""

    state: str
    frozen: tuple[bytes, ...]
    own: str  # whether the cgroup is frozen for itself
    thaw: str  # how to end that


FREEZERS: Final = {
    UNIFIED: _Freezer(
        "cgroup.events", (b"frozen 1",), "cgroup.freeze", "echo 0 > {}/cgroup.freeze"
    ),
    FREEZER: _Freezer(
        "freezer.state",
        (b"FROZEN", b"FREEZING"),
        "freezer.self_freezing",
        "echo THAWED > {}/freezer.state",
    ),
}


def find_halt(
    pid: int, stat: ProcessStat, cgroup: bytes, frozen_by: Callable[[bytes], Halt | None]
) -> Halt | None:
    """What keeps the process from running; None if nothing is seen.

    `cgroup` is its proc_pid_cgroup(5), `frozen_by` looks up what freezes one.
    """
    frozen = frozen_by(cgroup)
    if frozen is not None:
        return frozen
    if stat.state == STOPPED:
        return Halt(HaltKind.STOPPED)
    return Halt(HaltKind.TRACED, _tracer(pid)) if stat.state == TRACED else None


def find_frozen(cgroup: bytes) -> Halt | None:
    """The frozen cgroup that a process is in, of this proc_pid_cgroup(5)."""
    for hierarchy, path in _hierarchies(cgroup):
        mount, freezer = hierarchy_mounts().get(hierarchy), FREEZERS[hierarchy]
        if mount is None or path == "/" or path.startswith("/.."):
            continue
        state = _read(f"{mount}{path}/{freezer.state}").split(b"\n")
        if any(line in freezer.frozen for line in state):
            folder = _frozen_folder(mount, path, freezer)
            shown = None if folder is None else clean(folder)
            # A name that cannot be shown as it is cannot be typed either.
            return Halt(HaltKind.FROZEN, shown, freezer.thaw if shown == folder else None)
    return None


def switches(status: bytes) -> int | None:
    """How often the main thread has slept or been interrupted, of proc_pid_status(5)."""
    counts = [
        int(line.rpartition(b":")[2])
        for line in status.split(b"\n")
        if line.startswith((b"voluntary_ctxt_switches:", b"nonvoluntary_ctxt_switches:"))
    ]
    return sum(counts) if counts else None


def _hierarchies(cgroup: bytes) -> Iterator[tuple[str, str]]:
    for number, controllers, path in cgroup_lines(cgroup):
        if number == UNIFIED:
            yield UNIFIED, path
        elif FREEZER in controllers.split(","):
            yield FREEZER, path


def _frozen_folder(mount: str, path: str, freezer: _Freezer) -> str | None:
    """The lowest cgroup, this one or one above it, that was frozen itself."""
    while path != "/":
        if _read(f"{mount}{path}/{freezer.own}").strip() == b"1":
            return mount + path
        path = os.path.dirname(path)
    return None


def _tracer(pid: int) -> str | None:
    _, label, rest = _read(f"/proc/{pid}/status").partition(b"\nTracerPid:\t")
    tracer = int(rest.split(maxsplit=1)[0]) if label else 0
    stat = read_stat(tracer) if tracer else None
    return None if stat is None else process_name(clean(stat.comm, NAME_LIMIT), tracer)


def _read(path: str) -> bytes:
    return read_proc_file(path, FILE_BYTES)
