"""Root file systems of Debian releases, kept from run to run, and programs that run in one.

What a program writes there is forgotten, and it has a network namespace of its own with a server.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE: Final = Path("/var/cache/sockwatch-release")
PORT: Final = 8080
CARRIED_TO: Final = "/carried"
NOBODY: Final = 65534
# Its standard output is closed once it listens.
SERVER: Final = f"""
import os, socket, time
server = socket.create_server(("127.0.0.1", {PORT}))
os.close(1)
time.sleep(3600)
"""


class NoRootError(Exception):
    """The root file system cannot be made here; says why."""


@dataclass(frozen=True)
class Root:
    """A root file system. With `read_only` a program can write nowhere but /tmp (noexec).

    `scratch` is a folder in which programs can be kept and run all the same.
    """

    name: str
    folder: Path

    @contextmanager
    def command(
        self,
        words: Sequence[str],
        carried: Path,
        *,
        read_only: bool = False,
        uid: int = 0,
        scratch: str = "",
    ) -> Iterator[list[str]]:
        """The command line, for the host, that runs `words` in it; `carried` is in CARRIED_TO."""
        with tempfile.TemporaryDirectory(prefix="sockwatch-root-") as base:
            script = "\n".join(_script(self, Path(base), words, carried, read_only, uid, scratch))
            namespaces = ["--mount", "--pid", "--net", "--uts", "--fork", "--kill-child"]
            yield ["unshare", *namespaces, "--propagation", "private", "sh", "-euc", script]

    def run(
        self,
        words: Sequence[str],
        carried: Path,
        *,
        read_only: bool = False,
        uid: int = 0,
        scratch: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run `words` in it."""
        place = {"read_only": read_only, "uid": uid, "scratch": scratch}
        with self.command(words, carried, **place) as command:  # type: ignore[arg-type]
            return subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=300,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip


def _script(
    root: Root, base: Path, words: Sequence[str], carried: Path,
    read_only: bool, uid: int, scratch: str,
) -> Iterator[str]:  # fmt: skip
    top = base / "root"
    server = shlex.join([sys.executable, "-I", "-c", SERVER])
    yield f"mount -t tmpfs none {base}"
    yield f"mkdir {base}/upper {base}/work {top}"
    layers = f"lowerdir={root.folder},upperdir={base}/upper,workdir={base}/work"
    yield f"mount -t overlay -o {layers} overlay {top}"
    yield f"mkdir -p {top}{CARRIED_TO} {top}{scratch}"
    yield f"mount --bind {carried} {top}{CARRIED_TO}"
    yield f"mount -t proc proc {top}/proc"
    yield f"mount --rbind /sys {top}/sys"
    yield f"mount --rbind /dev {top}/dev"
    yield f"mount -t tmpfs -o noexec,mode=1777 none {top}/tmp"
    if read_only:
        yield f"mount -o remount,ro,bind {top}"
        yield f"mount -o remount,ro,bind {top}{CARRIED_TO}"
    if scratch:
        yield f"mount -t tmpfs -o mode=1777 none {top}{scratch}"
    yield "ip link set lo up"
    yield f"exec 3>&1; mkfifo {base}/ready"
    yield f"{server} >{base}/ready 3>&- & read _ <{base}/ready || true; exec 3>&-"
    environment = ["env", "-i", f"HOME={'/root' if uid == 0 else '/home/nobody'}", "TERM=linux"]
    environment += ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
    if not (root.folder / "usr/bin/env").exists():
        environment.insert(0, "/bin/busybox")
    chroot = ["chroot", f"--userspec={uid}:{uid}", "--groups="]
    yield f"exec {shlex.join([*chroot, str(top), *environment, *words])}"


def debian(release: str) -> Root:
    """A minimal Debian with its Python, made by debootstrap(8) once. Raises NoRootError."""
    folder = CACHE / release
    if not folder.exists():
        for tool in ("debootstrap", "unshare"):
            if shutil.which(tool) is None:
                raise NoRootError(f"{tool} is not installed")
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=CACHE))
        try:
            options = ["--variant=minbase", "--include=python3"]
            command = ["debootstrap", *options, release, str(new)]
            with open(CACHE / f"{release}.log", "wb") as log:
                done = subprocess.run(command, stdout=log, stderr=log, check=False)
            if done.returncode:
                raise NoRootError(f"debootstrap {release} failed; see {log.name}")
            new.chmod(0o755)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return Root(release, folder)


def bare() -> Root:
    """A file system with a static busybox and nothing else: no C library, no Python."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise NoRootError("busybox-static is not installed")
    folder = CACHE / "bare"
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox, folder / "bin/busybox")
    if not (folder / "bin/sh").is_symlink():
        os.symlink("busybox", folder / "bin/sh")
    return Root("bare", folder)
