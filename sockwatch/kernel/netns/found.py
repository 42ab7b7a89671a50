"""Network namespaces as they are found: by the kernel's own list, else by what /proc shows."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.kernel.host import sees_every_process
from sockwatch.kernel.netns import opening
from sockwatch.kernel.netns.handles import list_ids, open_by_id
from sockwatch.kernel.netns.nsfs import number_in
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.kernel.proc.proc_stat import KTHREADD_PID, read_stat

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.netns_iterators import Member, NetnsLook

MOST_NAMESPACES: Final = 4096
ROOT_CGROUP: Final = 1


class FoundNetns(NamedTuple):
    """`pid` is the oldest process in it, `thread_of` a process that has only a thread there.

    `leads_cgroup` is whether `pid` is the oldest of its cgroup, too: a child that merely entered a
    namespace of its own is not. None if that is unknown.
    """

    inode: int
    id: int | None = None
    is_host: bool = False
    pid: int | None = None
    thread_of: int | None = None
    leads_cgroup: bool | None = None


class InProc(NamedTuple):
    """`hidden` processes do not tell their namespace."""

    found: dict[int, FoundNetns]
    hidden: int


def from_kernel(look: NetnsLook) -> dict[int, FoundNetns]:
    """By inode."""
    oldest: dict[int, Member] = {}
    of_cgroup: dict[int, Member] = {}
    threads: dict[int, int] = {}
    for member in look.members:
        if member.is_thread:
            threads.setdefault(member.netns_inode, member.pid)
            continue
        for known, key in ((oldest, member.netns_inode), (of_cgroup, member.cgroup_id)):
            if key not in known or _age(member) < _age(known[key]):
                known[key] = member
    found = {}
    for inode, identity, is_initial in look.namespaces:
        first = oldest.get(inode)
        leads = None
        if first is not None and first.cgroup_id > ROOT_CGROUP:
            leads = of_cgroup[first.cgroup_id] is first
        pid = None if first is None else first.pid
        found[inode] = FoundNetns(inode, identity, is_initial, pid, threads.get(inode), leads)
    return found


def _age(member: Member) -> tuple[int, int]:
    return member.started_ns, member.pid


def from_proc(most: int) -> InProc:
    """Those of the processes in /proc and their threads, and of listns(2); at most so many."""
    pids, threads, hidden = _read_proc(most)
    host = None
    if sees_every_process():
        with suppress(OSError):
            host = _inode(f"/proc/{KTHREADD_PID}")
    found = {}
    for inode in pids.keys() | threads.keys():
        pid = None
        if inode in pids:
            pid = pids[inode][0] if inode == host else _oldest(pids[inode])
        found[inode] = FoundNetns(
            inode, is_host=inode == host, pid=pid, thread_of=threads.get(inode)
        )
    for inode, identity in _listed(most).items():
        found[inode] = found.get(inode, FoundNetns(inode))._replace(id=identity)
    return InProc(found, hidden)


def visible_namespaces(most: int) -> dict[int, int]:
    """The network namespaces of the processes in /proc, at most so many: inode -> a pid in it."""
    pids: dict[int, int] = {}
    for pid in all_pids():
        if len(pids) < most:
            with suppress(OSError):
                pids.setdefault(_inode(f"/proc/{pid}"), pid)
    return pids


def _read_proc(most: int) -> tuple[dict[int, list[int]], dict[int, int], int]:
    """(the pids in each, a process that has a thread in it, how many do not tell)."""
    pids: dict[int, list[int]] = defaultdict(list)
    threads: dict[int, int] = {}
    hidden = 0
    for pid in all_pids():
        try:
            own = _inode(f"/proc/{pid}")
            others = {_inode(f"/proc/{pid}/task/{tid}") for tid in _threads(pid)} - {own}
        except PermissionError:
            hidden += 1
            continue
        except OSError:
            continue  # it has exited
        for inode in (own, *others):
            if len(pids.keys() | threads.keys()) < most or inode in pids or inode in threads:
                if inode == own:
                    pids[inode].append(pid)
                else:
                    threads.setdefault(inode, pid)
    return pids, threads, hidden


def _listed(most: int) -> dict[int, int]:
    """The ids of those that listns(2) lists and that may be opened, by inode."""
    ids: dict[int, int] = {}
    with suppress(OSError):
        for identity in islice(list_ids(), most):
            with suppress(OSError), opening.closing(open_by_id(identity, 0)) as fd:
                ids[os.fstat(fd).st_ino] = identity
    return ids


def _inode(folder: str) -> int:
    """The number of the network namespace of a process or thread. Raises OSError."""
    return number_in(os.readlink(f"{folder}/ns/net"))


def _threads(pid: int) -> Iterator[int]:
    """Its threads but the first."""
    yield from (int(tid) for tid in os.listdir(f"/proc/{pid}/task") if int(tid) != pid)


def _oldest(pids: Iterable[int]) -> int | None:
    """None if all have exited."""
    ages = [(stat.start_ticks, pid) for pid in pids if (stat := read_stat(pid)) is not None]
    return min(ages)[1] if ages else None
