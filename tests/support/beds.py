"""Beds for container runtimes: what one leaves behind is gone with its bed, and the host sees none.

A bed is a network, mount and cgroup namespace with cgroup v2 alone, and with an empty /run and
/var/lib, so that a runtime has its files where it always has them. No image is ever pulled.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from sockwatch.kernel.proc.services import UNIFIED, hierarchy_mounts
from tests.support.privilege import REAL_ROOT
from tests.support.tools import need
from tests.support.waiting import wait_until

ROOT: Final = "/run/root"  # a root file system with nothing but a busybox, within the bed
HTTPD: Final = ("/bin/busybox", "httpd", "-f", "-p")
# runc may not raise a limit in a sandbox without CAP_SYS_RESOURCE.
LIMITS: Final = ("--ulimit", "nofile=1024:1024")
PREPARE: Final = f"""
set -e
ip link set lo up
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
mkdir -p {ROOT}/bin {ROOT}/tmp /run/lock
cp "$(command -v busybox)" {ROOT}/bin/busybox
echo ready
exec cat
"""
_numbers = itertools.count()


class Container(NamedTuple):
    """`pid` is its first process, as the host's pid namespace numbers it."""

    id: str
    name: str
    pid: int


@dataclass(frozen=True)
class Bed:
    """`pid` is a process that waits in it, `cgroup` the folder of everything that runs in it."""

    pid: int
    cgroup: Path

    def start(self, *command: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the command in it; it ends with the bed at the latest."""
        with open(log or os.devnull, "wb") as output:
            return subprocess.Popen(
                self._inside(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def run(
        self, *command: str, check: bool = True, given: str = "", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in it, with `given` as its input; `check` that it succeeds."""
        done = subprocess.run(
            self._inside(command),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done

    def _inside(self, command: tuple[str, ...]) -> list[str]:
        enter = f'echo $$ >{self.cgroup}/cgroup.procs && exec nsenter -t {self.pid} -n -m -C "$@"'
        return ["sh", "-c", enter, "sh", *command]

    def start_in_unit(self, unit: str, script: str) -> subprocess.Popen[bytes]:
        """Start the shell script where systemd would, but for the cgroup namespace of the host.

        What manages cgroups looks for them there. `unit` is a path: ``system.slice/x.service``.
        """
        cgroup = self.cgroup / unit
        cgroup.mkdir(parents=True, exist_ok=True)
        mount = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
        enter = (
            f'echo $$ >{cgroup}/cgroup.procs && exec nsenter -t {self.pid} -n -m unshare -m "$@"'
        )
        return subprocess.Popen(
            ["sh", "-c", enter, "sh", "sh", "-c", f"{mount} && {script}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def bed() -> Iterator[Bed]:
    """A bed; whatever has been started in it is killed at the end."""
    if not REAL_ROOT:
        pytest.skip("needs root, to make namespaces and cgroups")
    for tool in ("unshare", "nsenter", "ip", "busybox"):
        need(tool)
    mount = hierarchy_mounts().get(UNIFIED)
    if mount is None:
        pytest.skip("cgroup v2 is not mounted")
    cgroup = Path(mount, f"sockwatch-bed-{os.getpid()}-{next(_numbers)}")
    cgroup.mkdir()
    try:
        if not (cgroup / "cgroup.kill").exists():
            pytest.skip("the kernel is older than 5.14: no cgroup.kill")
        with _unshared(cgroup) as waiting:
            yield Bed(waiting.pid, cgroup)
    finally:
        _remove(cgroup)


@contextmanager
def _unshared(cgroup: Path) -> Iterator[subprocess.Popen[str]]:
    script = f'echo $$ >{cgroup}/cgroup.procs && exec unshare -n -m -C sh -c "$0"'
    with subprocess.Popen(
        ["sh", "-c", script, PREPARE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            if process.stdout.readline() != "ready\n":
                pytest.skip(f"no bed can be made: {process.stderr.read().strip()}")
            yield process
        finally:
            (cgroup / "cgroup.kill").write_text("1")


def _remove(cgroup: Path) -> None:
    wait_until(
        lambda: "populated 0" in (cgroup / "cgroup.events").read_text(),
        lambda: f"{cgroup} is not empty",
    )
    for folder, _, _ in os.walk(cgroup, topdown=False):
        os.rmdir(folder)


def podman(
    within: Bed, name: str, *options: str, port: int = 8080, publish: str | None = None
) -> Container:
    """A container of podman's, as root, with an HTTP server on that port.

    `publish` is as for ``-p``: ``127.0.0.1:18080:8080``.
    """
    for tool in ("podman", "runc", "conmon"):
        need(tool)
    container = within.run(
        "podman", "--runtime", "runc", "--cgroup-manager=cgroupfs", "--storage-driver=vfs",
        "run", "-d", "--pids-limit=0", *LIMITS, "--ulimit", "nproc=4096:4096", "--name", name,
        *_published(publish), *options, "--rootfs", ROOT, *HTTPD, str(port),
    ).stdout.strip()  # fmt: skip
    return _started(within, container, name)


@contextmanager
def dockerd(within: Bed, *options: str, data_root: str = "/var/lib/docker") -> Iterator[Path]:
    """A Docker daemon with the image ``bb``; the path of its log."""
    for tool in ("dockerd", "docker", "runc", "containerd", "iptables", "tar"):
        need(tool)
    log = Path(f"/proc/{within.pid}/root/run/dockerd.log")
    with within.start(
        "dockerd", "--storage-driver", "vfs", "--exec-opt", "native.cgroupdriver=cgroupfs",
        "--data-root", data_root, *options, log=log,
    ) as daemon:  # fmt: skip
        try:
            wait_until(
                lambda: daemon.poll() is not None or _answers(within), log.read_text, pause_s=0.05
            )
            assert daemon.poll() is None, log.read_text()
            within.run("sh", "-c", f"tar -c -C {ROOT} . | docker import - bb")
            yield log
        finally:
            daemon.kill()  # its containers end with the bed; to stop them takes it 10 s


def docker(
    within: Bed, name: str, *options: str, port: int = 8080, publish: str | None = None
) -> Container:
    """A container of the Docker daemon in this bed, with an HTTP server on that port."""
    container = within.run(
        "docker", "run", "-d", *LIMITS, "--name", name, *_published(publish), *options,
        "bb", *HTTPD, str(port),
    ).stdout.strip()  # fmt: skip
    return _started(within, container, name)


@contextmanager
def nspawn(within: Bed, name: str, *, port: int = 8080) -> Iterator[Container]:
    """A machine of systemd-nspawn(1) in its unit, with an HTTP server on that port of the bed."""
    need("systemd-nspawn")
    unit = f"machine.slice/systemd-nspawn@{name}.service"
    tree = f"mkdir -p {ROOT}/usr {ROOT}/etc && touch {ROOT}/etc/os-release"
    command = f"systemd-nspawn -q --register=no --keep-unit -D {ROOT} -M {name}"
    with within.start_in_unit(
        unit, f"{tree} && exec {command} {' '.join(HTTPD)} {port}"
    ) as machine:
        try:
            yield Container("", name, _first_pid(within, f"{unit}/payload"))
        finally:
            machine.kill()


def _answers(within: Bed) -> bool:
    return within.run("docker", "version", check=False).returncode == 0


def _published(publish: str | None) -> tuple[str, ...]:
    return () if publish is None else ("-p", publish)


def _started(within: Bed, container: str, name: str) -> Container:
    return Container(container, name, _first_pid(within, f"**/*{container}"))


def _first_pid(within: Bed, groups: str) -> int:
    """The server in the first of these groups, once it runs: before, that is the runtime."""

    def look() -> int | None:
        for procs in within.cgroup.glob(f"{groups}/cgroup.procs"):
            for pid in map(int, procs.read_text().split()):
                if Path(f"/proc/{pid}/comm").read_text() == "busybox\n":
                    return pid
        return None

    return wait_until(look, lambda: f"there is no server in {groups}")
