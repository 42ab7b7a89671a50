"""The names of containers and pods, and which of them may be believed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from sockwatch.kernel.origin import runtimes
from sockwatch.kernel.origin.files import in_time
from sockwatch.kernel.origin.monitors import container_of
from sockwatch.kernel.origin.paths import of_cgroup
from sockwatch.kernel.proc.services import UNIFIED, cgroup_lines, hierarchy_mounts, read_cgroup
from sockwatch.model import Origin
from sockwatch.model.publications import COMMAND_LINE
from sockwatch.text import NAME_LIMIT, clean

FULL_ID: Final = re.compile(rb"[0-9a-f]{64}")


def of_process(pid: int) -> Origin | None:
    """What the process belongs to; None if nothing says that, or it has exited or is hidden."""
    cgroup = read_cgroup(pid)
    return by_conmon(of_cgroups({cgroup: pid})[cgroup], pid)


def of_cgroups(pids: Mapping[bytes, int]) -> dict[bytes, Origin | None]:
    """What processes belong to, with the names that can be read, by their proc_pid_cgroup(5).

    `pids` has one of the processes of each. A container of a user's is named by its own conmon
    alone, and so is one whose cgroup somebody else than root could have made: he may have given it
    the id of another container.
    """
    origins = {cgroup: of_cgroup(cgroup) for cgroup in pids}
    contained = {
        cgroup: origin
        for cgroup, origin in origins.items()
        if origin is not None and (origin.container or origin.pod)
    }

    def find_names() -> None:
        for cgroup, origin in contained.items():
            origins[cgroup] = _named(origin, pids[cgroup], cgroup)

    if contained:
        in_time(find_names)
    return dict(origins)  # a thread that was left behind may go on with its own


def by_conmon(origin: Origin | None, pid: int) -> Origin | None:
    """The origin, or the container that a conmon above the process runs without a cgroup.

    podman has none to give where the user has no systemd.
    """
    if origin is not None and origin.container:
        return origin
    monitored = in_time(lambda: container_of(pid))
    if monitored is None or not FULL_ID.fullmatch(monitored.id):
        return origin
    name = clean(monitored.name, NAME_LIMIT)
    identity = monitored.id.decode("ascii")
    return Origin("podman", identity, name, COMMAND_LINE, monitored.uid or None, origin)


def as_it_is_called(monitored: Origin) -> Origin:
    """The container that a conmon runs, with the name that root's runtime has for it now.

    The command line of a conmon has the name that the container was started with.
    """
    if monitored.manager_uid is not None or not FULL_ID.fullmatch(os.fsencode(monitored.id)):
        return monitored
    told = in_time(lambda: runtimes.container(monitored.kind, monitored.id))
    return monitored if told is None else _told(monitored, told.name, told.file)


def _named(origin: Origin, pid: int, cgroup: bytes) -> Origin:
    """Both are of the same process. May wait for a file system, or for conmon."""
    outermost = [*origin.chain][::-1]
    is_roots = origin.manager_uid is None and _made_by_root(outermost, cgroup)
    above: Origin | None = None
    for each in outermost:
        is_within = above is not None and above.container is not None
        placed = each._replace(outer=above)
        if placed.is_container and placed.name is None and not is_within:
            placed = _container(placed, pid, by_files=is_roots)
        above = placed
    assert above is not None
    return _pod(above) if above.kind == "pod" and is_roots and not above.container else above


def _container(origin: Origin, pid: int, *, by_files: bool) -> Origin:
    told = runtimes.container(origin.kind, origin.id) if by_files else None
    pod = origin.pod
    if told is not None and told.pod is not None:
        pod = _told(pod or Origin("pod", "", None, "", outer=origin.outer), told.pod, told.file)
        if told.name is None:  # it is there for its pod alone
            return pod
    elif pod is not None and by_files:
        pod = _pod(pod)
    placed = origin if pod is None else origin._replace(outer=pod)
    if told is None:
        return _by_its_conmon(placed, pid)
    kind = origin.kind if told.kind == "container" else told.kind
    return _told(placed._replace(kind=kind), told.name, told.file)


def _pod(origin: Origin) -> Origin:
    found = None if origin.name else runtimes.pod(origin.id)
    return origin if found is None else _told(origin, *found)


def _told(origin: Origin, name: str | None, file: str) -> Origin:
    if name is None:
        return origin
    return origin._replace(name=clean(name, NAME_LIMIT), known_by=clean(file))


def _by_its_conmon(origin: Origin, pid: int) -> Origin:
    """With the name that conmon has for it, if that is of the user whose container it must be."""
    if origin.kind not in ("podman", "cri-o", "container"):
        return origin
    monitored = container_of(pid)
    if monitored is None or monitored.id != os.fsencode(origin.id):
        return origin
    if monitored.uid != (origin.manager_uid or 0):
        return origin
    return origin._replace(name=clean(monitored.name, NAME_LIMIT), known_by=COMMAND_LINE)


def _made_by_root(outermost: Iterable[Origin], cgroup: bytes) -> bool:
    """Whether nobody but root can have made the cgroup of the first container or pod.

    Who owns a group makes those in it. A group outside of our cgroup namespace cannot be seen.
    """
    first = next(origin for origin in outermost if origin.is_container or origin.kind == "pod")
    for number, controllers, path in cgroup_lines(cgroup):
        mount = hierarchy_mounts().get(UNIFIED if number == UNIFIED else controllers)
        marks = (first.id, first.id.replace("-", "_"))  # as systemd's driver has the uid of a pod
        at = max(map(path.find, marks)) if first.id else -1
        if mount is not None and at > 0 and not path.startswith("/.."):
            try:
                return os.stat(mount + path[: path.rindex("/", 0, at)]).st_uid == 0
            except OSError:
                return False
    return False
