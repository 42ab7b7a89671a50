"""What a process belongs to, by the path of its cgroup.

The paths are what systemd, the runtimes and their cgroup drivers make: systemd.slice(5), systemd's
CGROUP_DELEGATION, and the table in tests/kernel/origin/test_paths.py. Who may name a
cgroup may name it as he likes: of what lies below a unit or a container, only that it lies there
is certain, and below user@UID.service that it is that user's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from sockwatch.kernel.proc.services import UNIFIED, USER_MANAGER, cgroup_lines
from sockwatch.model import Origin
from sockwatch.model.origin import OriginKind
from sockwatch.text import clean

KNOWN_BY: Final = "cgroup"
SYSTEMD: Final = "name=systemd"
UNIT_NAME_LIMIT: Final = 255  # UNIT_NAME_MAX of systemd
MOST_NESTED: Final = 8  # containers within containers

# The second form is that of Amazon ECS.
_CONTAINER_ID: Final = re.compile(r"(?<![0-9a-f])([0-9a-f]{64}|[0-9a-f]{32}-\d{1,20})(?:\.scope)?$")
_RUNTIMES: Final[dict[str, OriginKind]] = {
    "docker": "docker",
    "libpod": "podman",
    "libpod-payload": "podman",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
}
# Of the cgroupfs driver, whose groups have nothing but the id: by the group above.
_PARENTS: Final[dict[str, OriginKind]] = {
    "docker": "docker",
    "libpod_parent": "podman",
    "k8s.io": "containerd",
    "default": "containerd",
}
_UID: Final = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"  # static pods' too
_K8S_POD: Final = re.compile(rf"(?:.*-)?pod({_UID})(?:\.slice)?(?=:|$)")
_PODMAN_POD: Final = re.compile(r"(?:machine-)?libpod_pod_([0-9a-f]{64})(?:\.slice)?")
_LXC: Final = re.compile(r"lxc\.payload\.(.+)")
_LXC_FOLDERS: Final = frozenset({"lxc", "lxc.payload"})  # of LXC before 4.0, with the name below
_MACHINE: Final = re.compile(r"machine-(.+)\.scope")
_LIBVIRT: Final = re.compile(
    rb"(qemu|lxc|xen|ch)-\d+-(.+)", re.DOTALL
)  # virDomainGenerateMachineName()
_NSPAWN: Final = re.compile(r"systemd-nspawn@(.+)\.service")
_MONITOR: Final = re.compile(r"(?:libpod-conmon|crio-conmon)-.*|lxc\.(?:monitor|pivot)(?:\..*)?")
_UNIT: Final = re.compile(r".+\.(?:service|socket|scope|mount|swap)")
_SESSION: Final = re.compile(r"session-(.+)\.scope")
_SNAP: Final = re.compile(r"snap\.([^.]+)\.(.+?)(?:-[0-9a-f-]{36})?\.(?:service|scope)")
_FLATPAK: Final = re.compile(r"app-flatpak-(.+)-\d+\.scope")
_ESCAPED: Final = re.compile(rb"\\x([0-9a-f]{2})")
_FOLDERS_OF_CONTAINERS: Final = frozenset({"container", "payload"})  # of podman, of nspawn


@lru_cache(maxsize=1024)  # many workers share one cgroup
def of_cgroup(text: bytes) -> Origin | None:
    """What a process with this proc_pid_cgroup(5) belongs to; None if nothing says that.

    A container in any hierarchy counts more than a unit: where both versions of cgroups are
    mounted, a runtime leaves its containers in its own unit of the one that it does not use. Names
    are those that the path has; the ids of containers have none.
    """
    origins = [origin for origin in map(_of_line, _candidates(text)) if origin is not None]
    contained = (origin for origin in origins if origin.container or origin.pod)
    return next(contained, origins[0] if origins else None)


def _candidates(text: bytes) -> Iterator[tuple[str, bool]]:
    """The paths, best first, and whether systemd's units are in that hierarchy."""
    lines = list(cgroup_lines(text))
    yield from ((path, True) for number, _, path in lines if number == UNIFIED)
    yield from ((path, True) for _, controllers, path in lines if controllers == SYSTEMD)
    for number, controllers, path in lines:
        if number != UNIFIED and controllers != SYSTEMD:
            yield path, False


def _of_line(line: tuple[str, bool]) -> Origin | None:
    path, has_units = line
    walk = _Walk(has_units=has_units)
    # Seen from within a cgroup namespace, /../.. are the unknown groups above its root.
    for part in path.split("/"):
        if part and part != "..":
            walk.go_into(part)
    return walk.origin()


class _Walk:
    """Goes down a path."""

    def __init__(self, *, has_units: bool) -> None:
        self._has_units = has_units
        self._innermost: Origin | None = None
        self._containers = 0
        self._manager_uid: int | None = None
        self._above = ""
        # Whether this group is one of those that a systemd makes: its slices and its units.
        self._is_managed = True

    def origin(self) -> Origin | None:
        """What has been found, with what it is in."""
        if self._innermost is None and self._manager_uid is not None and self._has_units:
            return Origin("unit", "", f"user@{self._manager_uid}.service", KNOWN_BY)
        return self._innermost

    def go_into(self, part: str) -> None:
        """Take the next part of the path into account."""
        above, self._above = self._above, part
        if _MONITOR.fullmatch(part):
            self._is_managed = False
            return
        for pod in (_K8S_POD.match(part), _PODMAN_POD.fullmatch(part)):
            if pod is not None:
                self._enter("pod", pod[1].replace("_", "-"), None)
        if (container := _container(part, above)) is not None:
            self._enter(*container)
        elif self._is_managed and not part.endswith(".slice"):
            self._go_into_unit(part)

    def _enter(self, kind: OriginKind, identity: str, name: str | bytes | None) -> None:
        self._containers += 1
        if self._containers <= MOST_NESTED:
            self._add(kind, identity, name)
            self._is_managed = True

    def _add(self, kind: OriginKind, identity: str, name: str | bytes | None) -> None:
        cleaned = None if name is None else clean(name, UNIT_NAME_LIMIT)
        identity = clean(identity, UNIT_NAME_LIMIT)
        self._innermost = Origin(
            kind, identity, cleaned, KNOWN_BY, self._manager_uid, self._innermost
        )

    def _go_into_unit(self, part: str) -> None:
        is_outermost = self._innermost is None and self._manager_uid is None
        if is_outermost and (manager := USER_MANAGER.fullmatch(part)):
            self._manager_uid = int(manager[1])
        elif part not in _FOLDERS_OF_CONTAINERS or is_outermost:
            self._is_managed = False
            if self._has_units and _UNIT.fullmatch(part):
                self._add(*_unit(part))


def _container(part: str, above: str) -> tuple[OriginKind, str, str | bytes | None] | None:
    """(kind, id, name) of the container whose group this is."""
    if found := _CONTAINER_ID.search(part):
        # docker-ID.scope, libpod-ID, kubepods-...-podUID.slice:cri-containerd:ID, or ID alone
        runtime = part[: found.start()].rstrip("-:").rpartition(":")[2]
        kind = _RUNTIMES.get(runtime) if runtime else _PARENTS.get(above)
        return kind or "container", found[1], None
    if found := _LXC.fullmatch(part):
        return "lxc", "", found[1]
    if above in _LXC_FOLDERS:
        return "lxc", "", part
    if found := _MACHINE.fullmatch(part):
        libvirt = _LIBVIRT.fullmatch(_unescaped(found[1]))
        if libvirt is not None:
            return "lxc" if libvirt[1] == b"lxc" else "machine", "", libvirt[2]
        return "nspawn", "", _unescaped(found[1])
    if part == "payload" and (found := _NSPAWN.fullmatch(above)):
        return "nspawn", "", _unescaped(found[1])
    return None


def _unit(name: str) -> tuple[OriginKind, str, str | bytes]:
    """(kind, id, name) of a unit: the id is the unit where the name is another."""
    if found := _SESSION.fullmatch(name):
        return "session", name, found[1]
    if found := _SNAP.fullmatch(name):
        package, application = found[1], found[2]
        return "snap", name, package if application == package else f"{package}.{application}"
    if found := _FLATPAK.fullmatch(name):
        return "flatpak", name, _unescaped(found[1])
    return "unit", "", name


def _unescaped(name: str) -> bytes:
    r"""Undo the ``\x2d`` of systemd-escape(1)."""
    raw = name.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), raw)
