"""Other network namespaces as /proc/PID/net shows them, which asks for no privilege: proc_net(5).

Its files belong to the network namespace of the process, and each namespace has files of its own
(get_proc_task_net() of fs/proc/proc_net.c): their inode numbers tell namespaces apart, within one
boot. They are not the numbers of the namespaces.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from sockwatch.kernel import gaps, host
from sockwatch.kernel.leftovers import Leftovers
from sockwatch.kernel.netns.nsfs import number_in
from sockwatch.kernel.ports import KeptPorts
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.kernel.proc.proc_stat import read_stat
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.kernel.proc_net import FILES, HoldersByInode, ProcNetRows, identified
from sockwatch.model import AS_ROOT, PROTOCOLS, Gap, KernelError, Netns, Port, Protocol, Snapshot

MOST_BYTES: Final = 1 << 21  # of a file: some 18,000 sockets, which take 0.1 s
MARK: Final = "tcp"  # the file whose inode tells namespaces apart


class Seen(NamedTuple):
    """The processes of a network namespace, oldest first; `number` is its own, None if hidden.

    `entry` is a process whose namespaces we may open; None if there is none.
    """

    pids: tuple[int, ...]
    number: int | None = None
    entry: int | None = None


class Processes(NamedTuple):
    """All network namespaces but our own that have a process, by the inode of their files.

    `hidden`: /proc does not show the processes of others, see hidepid in proc(5).
    """

    by_mark: Mapping[int, Seen]
    hidden: bool


class Counts(NamedTuple):
    """How many sockets a network namespace has, as sockstat and sockstat6 of proc_net(5) say.

    `used` are sockets that programs have made, of any kind; `tcp` and `udp` those with a port,
    but for bound TCP sockets.
    """

    used: int = 0
    tcp: int = 0
    udp: int = 0
    time_waits: int = 0

    def has(self, protocol: Protocol) -> bool:
        """Whether a table of that protocol has a line."""
        return self.udp > 0 if protocol == "udp" else self.tcp + self.time_waits > 0


NOTHING: Final = Counts()


def find_processes() -> Processes:
    """Look at every process. Raises KernelError if /proc is not mounted."""
    try:
        own = os.stat(f"/proc/thread-self/net/{MARK}").st_ino
        seen = all_pids()
    except OSError as error:
        raise KernelError(f"/proc: {error.strerror}", error.errno or 0) from error
    pids: dict[int, list[int]] = {}
    for pid in seen:
        mark = _mark(pid)
        if mark is not None and mark != own:
            pids.setdefault(mark, []).append(pid)
    # Pid 1 is always there, and never a zombie.
    by_mark = {mark: _seen(some) for mark, some in pids.items()}
    return Processes({m: seen for m, seen in by_mark.items() if seen.pids}, _mark(1) is None)


def read_counts(seen: Seen, mark: int) -> Counts | None:
    """What there is in the namespace; None if none of its processes is left."""
    with _folder(seen, mark) as folder:
        if folder is None:
            return None
        try:
            text = _read(folder, "sockstat")[0]
            text += _read(folder, "sockstat6")[0]
        except FileNotFoundError:
            if _mark_in(folder) != mark:  # exited, else without IPv6
                return None
        except OSError:
            return None
        return parse_counts(text)


def parse_counts(text: bytes) -> Counts:
    """The numbers of both files, one after the other."""
    found: dict[tuple[bytes, bytes], int] = {}
    for line in text.splitlines():
        label, _, rest = line.partition(b":")
        words = rest.split()
        pairs = zip(words[::2], words[1::2], strict=False)
        found |= {(label, name): int(value) for name, value in pairs if value.isdigit()}
    return Counts(
        used=found.get((b"sockets", b"used"), 0),
        tcp=found.get((b"TCP", b"inuse"), 0) + found.get((b"TCP6", b"inuse"), 0),
        udp=found.get((b"UDP", b"inuse"), 0) + found.get((b"UDP6", b"inuse"), 0),
        time_waits=found.get((b"TCP", b"tw"), 0),
    )


class View(NamedTuple):
    """The tables of a network namespace; `cut` are the files that were not read to their end."""

    mark: int
    netns: Netns
    counts: Counts
    time: float  # seconds since the epoch
    took_s: float
    tables: Mapping[Protocol, ProcNetRows]
    cut: tuple[str, ...]


def read_view(seen: Seen, mark: int, netns: Netns, counts: Counts) -> View | None:
    """Read the tables, but for those that are empty by `counts`; None if no process is left.

    Raises KernelError for a table of unknown form.
    """
    started, now = time.monotonic(), time.time()
    tables = {protocol: ProcNetRows(protocol) for protocol in PROTOCOLS}
    cut = []
    with _folder(seen, mark) as folder:
        if folder is None:
            return None
        for protocol, rows in tables.items():
            for name, family in FILES[protocol].items() if counts.has(protocol) else ():
                try:
                    text, is_whole = _read(folder, name)
                except FileNotFoundError:  # without IPv6, or the process has exited
                    continue
                except OSError:
                    return None
                rows.feed(family, text)
                cut += [] if is_whole else [name]
        if _mark_in(folder) != mark:  # exited, or gone to another namespace meanwhile
            return None
    return View(mark, netns, counts, now, time.monotonic() - started, tables, tuple(cut))


class ProcViews:
    """Makes snapshots of them; it remembers processes. Use it from one thread."""

    def __init__(self) -> None:
        self._names = ProcessNames()
        self._holders = Leftovers()
        self._kept: dict[int, KeptPorts] = {}  # by mark

    def forget_others(self, marks: Iterable[int]) -> None:
        """Drop what is remembered of namespaces that have gone, and of exited processes."""
        self._names.forget_others(set(all_pids()))
        for mark in self._kept.keys() - set(marks):
            del self._kept[mark]

    def snapshots(self, views: Iterable[View]) -> dict[int, Snapshot]:
        """A snapshot of each, by its mark: of every port, without facts."""
        views = tuple(views)
        every_inode = {i for view in views for rows in view.tables.values() for i in rows.inodes}
        scan = self._holders.scan(every_inode)
        held = identified(scan.holders, self._names.identify)
        return {view.mark: self._snapshot(view, held, scan.unreadable) for view in views}

    def _snapshot(self, view: View, held: HoldersByInode, unreadable: int) -> Snapshot:
        kept = self._kept.setdefault(view.mark, KeptPorts())
        kept.renew()
        ports = tuple(
            port
            for protocol, rows in view.tables.items()
            for port in kept.of(protocol, rows.owners(held))
        )
        inodes = {inode for rows in view.tables.values() for inode in rows.inodes}
        unheld = sum(not held.get(inode) for inode in inodes)
        return Snapshot(
            host=host.host_name(),
            kernel=host.kernel_release(),
            time=view.time,
            took_s=view.took_s,
            netns=view.netns,
            ports=ports,
            gaps=tuple(_gaps(view, ports, unreadable, unheld)),
            patch_level=host.patch_level(),
        )


def _gaps(view: View, ports: Iterable[Port], unreadable: int, unheld: int) -> Iterator[Gap]:
    if view.counts != NOTHING:
        yield gaps.view_gap(view.cut)
    if unheld:
        yield from gaps.holder_gaps(unreadable, unheld)
    yield from gaps.flag_gaps(ports, "those of another namespace are out of reach", AS_ROOT)


def _seen(pids: Iterable[int]) -> Seen:
    stats = ((pid, read_stat(pid)) for pid in pids)
    ages = sorted((stat.start_ticks, pid) for pid, stat in stats if stat is not None)
    oldest_first = tuple(pid for _, pid in ages)
    for pid in oldest_first:
        try:
            link = os.readlink(f"/proc/{pid}/ns/net")
            return Seen(oldest_first, number_in(link), pid)
        except OSError:
            continue
    return Seen(oldest_first)


@contextmanager
def _folder(seen: Seen, mark: int) -> Iterator[int | None]:
    """/proc/PID/net of a process that is still there; None if there is none."""
    for pid in seen.pids:
        try:
            folder = os.open(f"/proc/{pid}/net", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if _mark_in(folder) == mark:
                yield folder
                return
        finally:
            os.close(folder)
    yield None


def _mark(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/net/{MARK}").st_ino
    except OSError:
        return None


def _mark_in(folder: int) -> int | None:
    try:
        return os.stat(MARK, dir_fd=folder).st_ino
    except OSError:
        return None


def _read(folder: int, name: str) -> tuple[bytes, bool]:
    """As much of the file as is read at most, and whether that is all."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        parts = []
        size = 0
        while part := os.read(fd, 1 << 16):
            parts.append(part)
            size += len(part)
            if size >= MOST_BYTES:
                return b"".join(parts), False
        return b"".join(parts), True
    finally:
        os.close(fd)
