"""Which network namespace is served by a process that publishes ports, and whose it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from ipaddress import ip_address
from typing import Final

from sockwatch.kernel.origin import of_process
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.kernel.proc.proc_stat import read_stat
from sockwatch.model import Origin

LIMIT_S: Final = 0.3  # for one look at all namespaces
MOST_BYTES: Final = 1 << 20  # of a namespace's addresses
MOST_FDS: Final = 4096
MOST_MEMBERS: Final = 16  # of a namespace, whose origins are read
NET: Final = "net:["  # as proc_pid_fd(5) and proc_pid_ns(5) show a network namespace


class Namespaces:
    """The network namespaces of visible processes, at one moment. Reading /proc never waits here.

    An ordinary user sees those of processes of his own.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + LIMIT_S
        self._members: dict[int, list[int]] = {}
        for pid in all_pids():
            if (inode := netns_of(pid)) is not None:
                self._members.setdefault(inode, []).append(pid)

    @property
    def has_time(self) -> bool:
        """Whether the look is not over: anybody may have many processes that look like servers."""
        return time.monotonic() < self._until

    def with_address(self, address: str, besides: int) -> int | None:
        """The one namespace that has the address; None if several have it, or none is seen to.

        `besides` is where the address is asked from.
        """
        owners = []
        for inode, pids in self._members.items():
            if not self.has_time:
                return None
            if inode != besides and any(_has_address(pid, address) for pid in pids[:1]):
                owners.append(inode)
        return owners[0] if len(owners) == 1 else None

    def served_by(self, pid: int, home: int) -> int | None:
        """The one namespace but `home` that the process is in, has an fd of or a child in.

        None if there are several, or none is seen, or there is no time left.
        """
        ways = (_own, _by_fds, lambda pid: self._of_children.get(pid, ()))
        for way in ways:
            if not self.has_time:
                return None
            others = {*way(pid)} - {home}
            if others:
                return others.pop() if len(others) == 1 else None
        return None

    @cached_property
    def _of_children(self) -> Mapping[int, set[int]]:
        """The namespaces of the children of each process."""
        found: dict[int, set[int]] = {}
        for inode, pids in self._members.items():
            for pid in pids:
                if (stat := read_stat(pid)) is not None:
                    found.setdefault(stat.parent_pid, set()).add(inode)
        return found

    def named(self, comm: str) -> Iterator[int]:
        """The processes with this name, as long as there is time."""
        for pids in self._members.values():
            for pid in pids:
                if not self.has_time:
                    return
                stat = read_stat(pid)
                if stat is not None and stat.comm == comm.encode():
                    yield pid

    def container(self, inode: int, home: Origin | None) -> Origin | None:
        """The container, or the pod of containers, that the namespace was made for.

        It is that of its oldest process that is in one: those that publish ports are not. Of
        containers in a container it is the outermost, or where `home`, what the asker looks at, is
        in one, the next: a container names what it runs as it likes.
        """
        members = ((read_stat(pid), pid) for pid in self._members.get(inode, ()))
        by_age = sorted((stat.start_ticks, pid) for stat, pid in members if stat is not None)
        for _, pid in by_age[:MOST_MEMBERS]:
            container = self.has_time and _container(of_process(pid), home)
            if container:
                return container
        return None


def netns_of(pid: int) -> int | None:
    """The number of its network namespace; None if it may not be read."""
    with suppress(OSError, ValueError):
        return _number(os.readlink(f"/proc/{pid}/ns/net"))
    return None


def _number(link: str) -> int:
    return int(link.removeprefix(NET).removesuffix("]"))


def _own(pid: int) -> Iterator[int]:
    if (inode := netns_of(pid)) is not None:
        yield inode


def _by_fds(pid: int) -> Iterator[int]:
    """Those that the process has open."""
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for fd in os.listdir(folder)[:MOST_FDS]:
            with suppress(OSError, ValueError):
                if (link := os.readlink(f"{folder}/{fd}")).startswith(NET):
                    yield _number(link)


def _has_address(pid: int, address: str) -> bool:
    """Whether an interface of the process's namespace has it: proc_net(5), which anybody reads."""
    if ":" in address:
        wanted = ip_address(address).packed.hex()
        return any(line.split()[:1] == [wanted] for line in _lines(pid, "if_inet6"))
    before = ""
    for line in _lines(pid, "fib_trie"):
        if before.endswith(f"|-- {address}") and line.strip() == "/32 host LOCAL":
            return True
        before = line
    return False


def _lines(pid: int, name: str) -> list[str]:
    try:
        with open(f"/proc/{pid}/net/{name}", "rb") as file:
            return file.read(MOST_BYTES).decode("ascii", "replace").splitlines()
    except OSError:
        return []


def _container(origin: Origin | None, home: Origin | None) -> Origin | None:
    """The first on the way inwards that `home` is not in itself; else the innermost."""
    around = {_identity(each) for each in home.chain} if home is not None else set()
    found = None
    for each in [*origin.chain][::-1] if origin is not None else ():
        if each.is_container or each.kind == "pod":
            found = each
            if _identity(each) not in around:
                break
    return found


def _identity(origin: Origin) -> tuple[str, str]:
    return origin.kind, origin.id or origin.name or ""
