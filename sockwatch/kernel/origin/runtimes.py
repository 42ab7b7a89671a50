"""What container runtimes have written down about a container: its name, and its pod.

Nothing is asked of a runtime itself: whoever may use its socket may do as root does. The folders
are those that each runtime has unless told otherwise, and where its own configuration says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from sockwatch.kernel.origin.files import Documents, entries
from sockwatch.kernel.origin.monitors import option
from sockwatch.kernel.proc.command_lines import read_command_line
from sockwatch.model.origin import OriginKind

DOCKER_ROOTS: Final = ("/var/lib/docker", "/var/snap/docker/common/var-lib-docker")
DOCKER_SETTINGS: Final = "/etc/docker"  # daemon.json
DOCKER_PID_FILE: Final = "/run/docker.pid"
DATA_ROOT_OPTIONS: Final = (b"--data-root", b"--graph", b"-g")
STORAGE_ROOTS: Final = ("/var/lib/containers/storage",)
STORAGE_RUN_ROOTS: Final = ("/run/containers/storage",)
STORAGE_SETTINGS: Final = "/etc/containers/storage.conf"  # containers-storage.conf(5)
CONTAINERD_ROOTS: Final = (
    "/run/containerd",
    "/run/k3s/containerd",
    "/var/snap/microk8s/common/run/containerd",
)
TASKS: Final = "io.containerd.runtime.v2.task"
POD_LOGS: Final = "/var/log/pods"  # NAMESPACE_POD_UID
CONTAINER_LOGS: Final = "/var/log/containers"  # POD_NAMESPACE_CONTAINER-ID.log
# What is looked at of their files.
KEYS: Final = frozenset(
    {"data-root", "Name", "id", "names", "annotations", "nerdctl/name"}
    | {"io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name"}
    | {"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri.container-type"}
    | {"io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace"}
    | {"io.kubernetes.cri.container-name"}
)
SETTINGS_BYTES: Final = 65_536


class Told(NamedTuple):
    """What a runtime has written down. `file` is where; `pod` is ``NAMESPACE/NAME``.

    `name` is None of the container that only keeps the namespaces of its pod.
    """

    kind: OriginKind
    name: str | None
    file: str
    pod: str | None = None


_documents = Documents(KEYS)


def container(kind: OriginKind, identity: str) -> Told | None:
    """What is known of the container with that id; `kind` may be ``container``."""
    readers: dict[OriginKind, Callable[[str], Iterator[Told]]] = {
        "docker": _by_docker,
        "podman": _by_storage,
        "cri-o": _by_crio,
        "containerd": _by_containerd,
    }
    ways = [readers[kind]] if kind in readers else [*readers.values()]
    for way in (*ways, _by_log):
        for told in way(identity):
            return told
    return None


def pod(uid: str) -> tuple[str, str] | None:
    """``NAMESPACE/NAME`` of the pod with that uid, and the file that tells it."""
    for entry in entries(POD_LOGS):
        namespace, _, rest = entry.partition("_")
        name, _, known_uid = rest.rpartition("_")
        if known_uid == uid and name:
            return f"{namespace}/{name}", f"{POD_LOGS}/{entry}"
    return None


def _by_docker(identity: str) -> Iterator[Told]:
    configured = _text(_documents.read(DOCKER_SETTINGS, "daemon.json"), "data-root")
    for root in _absolute(_root_of_dockerd(), configured, *DOCKER_ROOTS):
        parts = ("containers", identity, "config.v2.json")
        if name := _text(_documents.read(root, *parts), "Name"):
            yield Told("docker", name.removeprefix("/"), os.path.join(root, *parts))


def _root_of_dockerd() -> str | None:
    """What the running daemon was told on its command line."""
    try:
        with open(DOCKER_PID_FILE, "rb", buffering=0) as file:
            pid = int(file.read(16))
        if os.stat(f"/proc/{pid}").st_uid:
            return None
    except (OSError, ValueError):
        return None
    program, *arguments = read_command_line(pid).split(b"\0")
    root = option(arguments, DATA_ROOT_OPTIONS) if program.endswith(b"dockerd") else None
    return None if root is None else os.fsdecode(root)


def _by_storage(identity: str) -> Iterator[Told]:
    for root, folder in _storage_folders(_setting("graphroot"), *STORAGE_ROOTS):
        for file in ("containers.json", "volatile-containers.json"):
            known = _documents.read(root, folder, file)
            for each in known if isinstance(known, list) else ():
                names = each.get("names") if _text(each, "id") == identity else None
                if isinstance(names, list) and names and isinstance(names[0], str):
                    yield Told("podman", names[0], os.path.join(root, folder, file))


def _by_crio(identity: str) -> Iterator[Told]:
    for root, folder in _storage_folders(_setting("runroot"), *STORAGE_RUN_ROOTS):
        parts = (folder, identity, "userdata", "config.json")
        annotations = _annotations(root, *parts)
        namespace = _text(annotations, "io.kubernetes.pod.namespace")
        pod_name = _text(annotations, "io.kubernetes.pod.name")
        if namespace and pod_name:
            is_sandbox = _text(annotations, "io.kubernetes.cri-o.ContainerType") == "sandbox"
            name = None if is_sandbox else _text(annotations, "io.kubernetes.container.name")
            yield Told("cri-o", name, os.path.join(root, *parts), f"{namespace}/{pod_name}")


def _by_containerd(identity: str) -> Iterator[Told]:
    for root in CONTAINERD_ROOTS:
        tasks = os.path.join(root, TASKS)
        for namespace in entries(tasks):
            annotations = _annotations(tasks, namespace, identity, "config.json")
            file = os.path.join(tasks, namespace, identity, "config.json")
            pod_name = _text(annotations, "io.kubernetes.cri.sandbox-name")
            pod_namespace = _text(annotations, "io.kubernetes.cri.sandbox-namespace")
            if pod_name and pod_namespace:
                is_sandbox = _text(annotations, "io.kubernetes.cri.container-type") == "sandbox"
                name = _text(annotations, "io.kubernetes.cri.container-name")
                in_pod = f"{pod_namespace}/{pod_name}"
                yield Told("containerd", None if is_sandbox else name, file, in_pod)
            elif name := _text(annotations, "nerdctl/name"):
                yield Told("containerd", name, file)


def _by_log(identity: str) -> Iterator[Told]:
    """The name of a link; where it leads is not looked at."""
    end = f"-{identity}.log"
    for entry in entries(CONTAINER_LOGS):
        if entry.endswith(end):
            pod_name, namespace, name = (*entry.removesuffix(end).split("_"), "", "")[:3]
            if name:
                pod = f"{namespace}/{pod_name}"
                yield Told("container", name, f"{CONTAINER_LOGS}/{entry}", pod)


def _storage_folders(*roots: str | None) -> Iterator[tuple[str, str]]:
    """Root and name of the folders that each storage driver has for containers."""
    for root in _absolute(*roots):
        for entry in entries(root):
            if entry.endswith("-containers"):
                yield root, entry


def _absolute(*folders: str | None) -> Iterator[str]:
    """Those that are the same wherever we run."""
    yield from dict.fromkeys(folder for folder in folders if folder and os.path.isabs(folder))


def _setting(name: str) -> str | None:
    """Of containers-storage.conf(5)."""
    from sockwatch import toml  # noqa: PLC0415 - takes 3 ms, and few hosts have a container

    with suppress(OSError, ValueError, RecursionError), open(STORAGE_SETTINGS, "rb") as file:
        if os.fstat(file.fileno()).st_size <= SETTINGS_BYTES:
            return _text(toml.load(file).get("storage"), name)
    return None


def _annotations(root: str, *parts: str) -> Any:
    document = _documents.read(root, *parts)
    return document.get("annotations") if isinstance(document, dict) else None


def _text(document: Any, key: str) -> str | None:
    """The value if it is text and not empty."""
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, str) and value else None
