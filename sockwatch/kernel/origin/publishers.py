"""For which containers the holders of a port publish it.

A name or a command line proves little: what a user's process says counts for that user's
containers, and what runs within a container is not asked.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from sockwatch.kernel.netfilter.reader import RedirectReader
from sockwatch.kernel.origin.names import as_it_is_called
from sockwatch.kernel.origin.served import Namespaces
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.model import Gap, GapCode, Origin, Port, Process, Publication, Redirect, Snapshot
from sockwatch.model.publications import (
    PODMAN_OPTIONS,
    PUBLISHERS,
    Target,
    is_contained,
    option,
    options,
    publisher,
    told_container,
    told_target,
)
from sockwatch.units import process_name

CONMON: Final = "conmon"
# They hold a port that NAT rules take the traffic of.
BY_DNAT: Final = frozenset({"dockerd", CONMON, "podman", "containerd", "crio", "kube-proxy"})
DOCKERD: Final = "dockerd"
# Where docker(1) looks for the daemon unless told otherwise.
DOCKER_HOSTS: Final = frozenset({"fd://", "unix:///var/run/docker.sock", "unix:///run/docker.sock"})
PODMAN_ROOT: Final = "/var/lib/containers/storage"
PODMAN_USER_ROOT: Final = "/.local/share/containers/storage"  # below the home folder
UNREAD: Final = "…"  # of a command line


class PublicationReader:
    """Adds to snapshots of one port whose it is. Use it from one thread, in the snapshot's netns.

    It waits for programs that show NAT rules, for a second at most, so it is not for polling.
    """

    def __init__(self) -> None:
        self._redirects = RedirectReader()
        self._names = ProcessNames()

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the publications and redirects of its one port. Raises KernelError."""
        if not snapshot.only_port:
            return snapshot
        redirects, gaps = self._redirects.read(("tcp", "udp"), snapshot.only_port)
        look = _Look(snapshot, redirects, self._names)
        publications = tuple(look.publications())
        redirects = tuple(map(look.with_container, redirects))
        return replace(
            snapshot,
            publications=publications,
            redirects=redirects,
            gaps=(*snapshot.gaps, *gaps, *look.gaps),
        )


class _Look:
    def __init__(
        self, snapshot: Snapshot, redirects: Sequence[Redirect], names: ProcessNames
    ) -> None:
        self._snapshot = snapshot
        self._redirects = redirects
        self._names = names
        self._home = snapshot.netns.inode or 0
        self._namespaces: Namespaces | None = None
        self._unknown: list[Process] = []
        self._by_addresses: dict[str, Origin | None] = {}

    @property
    def gaps(self) -> Iterator[Gap]:
        """That a container was not found, once for all processes that hold a port for one."""
        for process in self._unknown[:1]:
            who = process_name(process.name, process.pid)
            yield Gap(
                GapCode.CONTAINER_UNKNOWN,
                f"the container that {who} publishes the port for is unknown",
                None if self._snapshot.facts.uid == 0 else "run as root to see it",
            )

    @property
    def namespaces(self) -> Namespaces:
        """Those of the host, looked at when first asked for."""
        if self._namespaces is None:
            self._namespaces = Namespaces()
        return self._namespaces

    def publications(self) -> Iterator[Publication]:
        """One for each holder of a server that publishes ports."""
        for port in self._snapshot.ports:
            for process in _holders(port):
                if program := publisher(process):
                    yield self._publication(process, program, port)

    def with_container(self, redirect: Redirect) -> Redirect:
        """The redirect with the container that it leads to."""
        if redirect.address is None:
            return redirect
        if redirect.address not in self._by_addresses:
            self._by_addresses[redirect.address] = self._by_address(redirect.address)
        return redirect._replace(container=self._by_addresses[redirect.address])

    def _publication(self, process: Process, program: str, port: Port) -> Publication:
        target = told_target(process, port.protocol, port.number)
        if program in BY_DNAT and process.uid == 0:
            target = self._redirected(port) or target
        container = None
        is_known = False
        if _is_believed(process, program):
            container, is_known = self._container(process, program, target)
        if container is not None and (container.manager_uid or 0) != process.uid:
            container, is_known = None, False
        if not is_known:
            self._unknown.append(process)
        client: tuple[str, ...] = ()
        runtime = PUBLISHERS[program]
        if container is not None:
            client = self._client(process, program, container)
            if container.is_container and container.kind != "container":
                runtime = container.kind
        return Publication(
            port.protocol, process.pid, runtime, container, target.address, target.port, client
        )

    def _redirected(self, port: Port) -> Target | None:
        """Where NAT rules send the port's traffic, if all of them send it to one place."""
        targets = {
            Target(redirect.address, redirect.port)
            for redirect in self._redirects
            if (redirect.protocol, redirect.target) == (port.protocol, "DNAT")
        }
        return targets.pop() if len(targets) == 1 else None

    def _container(
        self, process: Process, program: str, target: Target
    ) -> tuple[Origin | None, bool]:
        """The container that is served; and whether it is known, also that it is none."""
        if (told := told_container(process)) is not None:
            return as_it_is_called(told), True
        if target.address is not None:
            container = self._by_address(target.address)
            return container, container is not None
        inode = None
        if program not in BY_DNAT:  # those have to do with the namespaces of all containers
            inode = self._served_by(process, program)
        # What is started in a network namespace of its own may be in no container.
        return (None, False) if inode is None else (self._of_namespace(inode), True)

    def _served_by(self, process: Process, program: str) -> int | None:
        """The namespace that the process serves, or the process of the same program above it."""
        inode = self.namespaces.served_by(process.pid, self._home)
        parent = self._parent(process) if inode is None else None
        if parent is None or publisher(parent) != program or parent.uid != process.uid:
            return inode
        return self.namespaces.served_by(parent.pid, self._home)

    def _by_address(self, address: str) -> Origin | None:
        inode = self.namespaces.with_address(address, self._home)
        return None if inode is None else self._of_namespace(inode)

    def _of_namespace(self, inode: int) -> Origin | None:
        return self.namespaces.container(inode, self._snapshot.netns.origin)

    def _client(self, process: Process, program: str, container: Origin) -> tuple[str, ...]:
        """How a command for the runtime of the container begins."""
        if container.kind == "podman":
            monitor = process if program == CONMON else self._monitor(container)
            return () if monitor is None else _podman(monitor)
        if container.kind in ("docker", "container") and PUBLISHERS[program] == "docker":
            daemon = process if program == DOCKERD else self._parent(process)
            return () if daemon is None or publisher(daemon) != DOCKERD else _docker(daemon)
        return ()

    def _parent(self, process: Process) -> Process | None:
        return None if process.parent_pid is None else self._names.identify(process.parent_pid)

    def _monitor(self, container: Origin) -> Process | None:
        """The conmon of a container that another process publishes for."""
        for pid in self.namespaces.named(CONMON):
            process = self._names.identify(pid)
            if process is not None and _is_believed(process, CONMON):
                monitored = told_container(process)
                if monitored is not None and (monitored.id, monitored.manager_uid) == (
                    container.id,
                    container.manager_uid,
                ):
                    return process
        return None


def _holders(port: Port) -> tuple[Process, ...]:
    """The processes that hold a server of the port, each once."""
    servers = (*port.listeners, *port.bound)
    processes = (holder.process for sock in servers for holder in sock.holders)
    return tuple({process.pid: process for process in processes if process is not None}.values())


def _is_believed(process: Process, program: str) -> bool:
    """Whether it is the program that it is called, and in no container."""
    return os.path.basename(process.executable or "") == program and not is_contained(process)


def _docker(daemon: Process) -> tuple[str, ...]:
    words = daemon.arguments
    if UNREAD in words:
        return ()
    hosts = [*options(words, "-H"), *options(words, "--host")]
    is_usual = not hosts or DOCKER_HOSTS & set(hosts)
    if daemon.uid == 0 and is_usual:
        return ("docker",)
    # A user's daemon has its own /run, so that there the usual name is of another daemon.
    local = (host for host in hosts if host.startswith("unix://") and host not in DOCKER_HOSTS)
    socket = next(local, None)
    return () if socket is None else ("docker", "-H", socket)


def _podman(conmon: Process) -> tuple[str, ...]:
    """By the command that its conmon runs at the end, which names where the container is kept."""
    words = [*options(conmon.arguments, "--exit-command-arg")]
    root = option(words, "--root")
    if root is None or "cleanup" not in words:  # not all of it was read
        return ()
    if root == PODMAN_ROOT if conmon.uid == 0 else root.endswith(PODMAN_USER_ROOT):
        return ("podman",)
    found = ((name, option(words, name)) for name in PODMAN_OPTIONS)
    return ("podman", *(word for name, value in found if value for word in (name, value)))
