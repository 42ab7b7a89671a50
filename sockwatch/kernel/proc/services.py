"""The systemd service that a process belongs to, by its cgroup, and which process is its main one.

A cgroup's name proves nothing: a user names those below user@UID.service, a container
those of a systemd of its own, and what is started by hand below sshd is in ssh.service. So
a service counts only where its manager would have put it, systemd.unit(5) and CGROUP_DELEGATION of
systemd, and with its main process is distinguishable from what merely runs within it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final, NamedTuple

from sockwatch.kernel.proc.proc_file import read_proc_file
from sockwatch.kernel.proc.proc_stat import ProcessRecord, read_stat
from sockwatch.model import Service

SERVICE: Final = re.compile(r"[A-Za-z0-9:_.@\\-]+\.service")  # unit_name_is_valid() of systemd
USER_MANAGER: Final = re.compile(r"user@(\d{1,10})\.service")
UNIFIED: Final = "0"  # the number of cgroup v2 in proc_pid_cgroup(5)
V1_HIERARCHIES: Final = frozenset({"name=systemd", "freezer"})
CGROUP_BYTES: Final = 16384  # of proc_pid_cgroup(5)
MOST_BYTES: Final = 4096  # of cgroup.procs; a service with more processes is not looked through
MOST_FOLDERS: Final = 32
NOTHING_SEEN: Final[Mapping[int, ProcessRecord]] = {}


class ServiceName(NamedTuple):
    """`manager_uid` is the user whose manager runs it, None for the system's."""

    name: str
    manager_uid: int | None
    path: str  # its cgroup


def service_of(path: str) -> ServiceName | None:
    """The service whose cgroup, or one of whose delegated cgroups, has this path.

    None for a cgroup of a container, of a session or of no unit at all.
    """
    parts = path.strip("/").split("/")
    if parts[0] == "user.slice":
        return _of_user_manager(parts)
    return _innermost(parts, 0, None) if parts[0] == "system.slice" else None


def _of_user_manager(parts: list[str]) -> ServiceName | None:
    # /user.slice/user-1000.slice/user@1000.service/app.slice/NAME.service
    if len(parts) < 4 or not (manager := USER_MANAGER.fullmatch(parts[2])):
        return None
    uid = int(manager[1])
    return _innermost(parts, 3, uid) if parts[1] == f"user-{uid}.slice" else None


def _innermost(parts: list[str], start: int, manager_uid: int | None) -> ServiceName | None:
    """The first component that is no slice: what lies below that, the manager did not make."""
    for index in range(start, len(parts)):
        if not parts[index].endswith(".slice"):
            path = "/" + "/".join(parts[: index + 1])
            is_service = SERVICE.fullmatch(parts[index]) is not None
            return ServiceName(parts[index], manager_uid, path) if is_service else None
    return None


def service(cgroup: bytes, seen: Mapping[int, ProcessRecord] = NOTHING_SEEN) -> Service | None:
    """The service of a process with this proc_pid_cgroup(5).

    `seen` is what is known already of some processes, at this moment.
    """
    location = cgroup_folder(cgroup)
    if location is None:
        return None
    path, folder = location
    name = service_of(path)
    if name is None:
        return None
    top = folder[: len(folder) - len(path)] + name.path
    return Service(name.name, name.manager_uid, main_pid(top, seen))


def cgroup_folder(text: bytes) -> tuple[str, str] | None:
    """(path, folder) of the cgroup in which systemd keeps a process: of proc_pid_cgroup(5).

    None where that hierarchy is not mounted here, or the cgroup lies outside our namespace.
    """
    for number, controllers, path in cgroup_lines(text):
        hierarchy = UNIFIED if number == UNIFIED else controllers
        mount = hierarchy_mounts().get(hierarchy)
        if mount is not None and path != "/" and not path.startswith("/.."):
            return path, mount + path
    return None


def main_pid(folder: str, seen: Mapping[int, ProcessRecord] = NOTHING_SEEN) -> int | None:
    """The oldest process of a service's cgroup; None where there are too many, or none is seen."""
    ages = []
    for number, procs in enumerate(_process_lists(folder)):
        if number == MOST_FOLDERS:
            return None
        try:
            with open(procs, "rb") as file:  # one read(2) gives less than a page
                text = file.read(MOST_BYTES)
        except OSError:
            return None
        if len(text) == MOST_BYTES:
            return None
        for pid in map(int, text.split()):
            if not pid:  # it is in a pid namespace beside ours
                continue
            stat = seen[pid].stat if pid in seen else read_stat(pid)
            if stat is not None:
                ages.append((stat.start_ticks, pid))
    return min(ages)[1] if ages else None


def _process_lists(folder: str) -> Iterator[str]:
    for path, _, _ in os.walk(folder):
        yield f"{path}/cgroup.procs"


def read_cgroup(pid: int) -> bytes:
    """proc_pid_cgroup(5); empty if the process has exited or is hidden."""
    return read_proc_file(f"/proc/{pid}/cgroup", CGROUP_BYTES)


def cgroup_lines(text: bytes) -> Iterator[tuple[str, str, str]]:
    """(number, controllers, path) of each hierarchy in a proc_pid_cgroup(5).

    The kernel refuses names with a line feed, and with no other character that ends a line.
    """
    for line in filter(None, text.decode("utf-8", "surrogateescape").split("\n")):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield number, controllers, path


@cache
def hierarchy_mounts() -> Mapping[str, str]:
    """Where cgroup v2 (``0``) and, of v1, systemd's own hierarchy and the freezer are mounted."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return hierarchies(file)
    except OSError:
        return {}


def hierarchies(lines: Iterable[str]) -> dict[str, str]:
    """The same of the lines of proc_pid_mountinfo(5)."""
    mounts: dict[str, str] = {}
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, (kind, _, rest) = left.split(), right.partition(" ")
        if len(fields) < 5:
            continue
        if kind == "cgroup2":
            mounts.setdefault(UNIFIED, fields[4])
        elif kind == "cgroup":
            for name in V1_HIERARCHIES & set(rest.strip().split(" ")[-1].split(",")):
                mounts.setdefault(name, fields[4])
    return mounts
