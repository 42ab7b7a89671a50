"""The root file system of the guest: this Python, its packages, this checkout and some tools.

Each file is at the path that it has here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.vm import places
from tests.vm.archive import archive, below, with_parents
from tests.vm.kernels import KernelFiles
from tests.vm.places import ROOT, Unavailable

NEEDED_TOOLS: Final = {"busybox": "busybox-static", "ip": "iproute2", "depmod": "kmod"}
TOOLS: Final = (
    *NEEDED_TOOLS, "bash", "cat", "dash", "env", "false", "grep", "id", "ls", "modprobe", "mount",
    "nsenter", "ps", "setpriv", "sh", "sleep", "ss", "stat", "sysctl", "taskset", "timeout", "true",
    "umount", "unshare",
)  # fmt: skip
FOLDERS: Final = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")  # links, where it is all below /usr
FILES: Final = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/services", "/etc/hosts")
# Loaded without being linked: by threads that end, by names of users.
LIBRARIES: Final = ("libgcc_s.so.1", "libnss_files.so.2")
EMPTY: Final = ("dev", "proc", "sys", "run", "tmp", "root", "var/tmp")
# Of the Python and of its packages, what no test imports.
LEFT_OUT: Final = (
    "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "ruff",
    "mypy", "mypyc", "pip", "setuptools", "grimp", "importlinter", "typeshed",
)  # fmt: skip
_LIBRARY_PATH = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def check_tools() -> None:
    """Raises Unavailable where what makes and boots a machine is missing."""
    tools = {**NEEDED_TOOLS, "dpkg-deb": "dpkg", "qemu-system-x86_64": "qemu-system-x86"}
    missing = {package for tool, package in tools.items() if _which(tool) is None}
    if missing:
        packages = " ".join(sorted(missing))
        raise Unavailable(f"a virtual machine needs what is not installed: apt install {packages}")
    if os.uname().machine != "x86_64":
        raise Unavailable(f"kernels are booted on x86_64 alone, and this is {os.uname().machine}")


def initrd(kernel: KernelFiles, texts: Mapping[str, str], target: Path) -> None:
    """Write the guest's whole root file system; the `texts` are files in its root folder."""
    folder = target.parent
    start = folder / "start"
    for name in EMPTY:
        (start / name).mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("init"), start)
    (start / "init").chmod(0o755)
    for name, text in texts.items():
        (start / name).write_text(text)
    archive(sorted(below(start)), folder / "start.cpio", start)
    archive(with_parents(_checkout()), folder / "checkout.cpio")
    with open(target, "wb") as whole:
        for part in (_base(), kernel.modules, folder / "checkout.cpio", folder / "start.cpio"):
            with open(part, "rb") as file:
                shutil.copyfileobj(file, whole)


def _base() -> Path:
    """The archive of Python, packages and tools, which is kept while they stay the same."""
    paths = with_parents(_python_and_tools())
    digest = hashlib.sha256()
    for path in paths:
        look = path.lstat()
        digest.update(f"{path} {look.st_size} {look.st_mtime_ns}\n".encode(errors="replace"))
    kept = places.cache("roots") / f"{digest.hexdigest()[:16]}.cpio"
    if not kept.exists():
        for old in kept.parent.iterdir():
            old.unlink()
        archive(paths, kept)
    return kept


def _python_and_tools() -> Iterator[Path]:
    programs = [Path(sys.executable), *(path for name in TOOLS if (path := _which(name)))]
    packages = {Path(path) for path in sys.path if path.endswith("-packages")}
    prefix = Path(sys.prefix)
    files = [
        *below(Path(sysconfig.get_path("stdlib")), (*LEFT_OUT, _built_from())),
        *(path for folder in packages for path in below(folder, LEFT_OUT)),
        *(path for path in (prefix / "pyvenv.cfg", prefix / "bin/sockwatch") if path.exists()),
        *(path for name in ("python", "python3") if (path := prefix / "bin" / name).exists()),
    ]
    yield from programs
    yield from files
    yield from map(Path, (*FOLDERS, *FILES))
    objects = [*programs, *(path for path in files if ".so" in path.name)]
    yield from _libraries(path.resolve() for path in objects)


def _built_from() -> str:
    """The folder of the standard library that only builds of extensions need."""
    return os.path.basename(sysconfig.get_config_var("LIBPL") or "config")


def _libraries(objects: Iterable[Path]) -> Iterator[Path]:
    """What they are linked to, and the loader."""
    listed = subprocess.run(["ldd", *objects], capture_output=True, text=True, check=False).stdout
    found = {Path(path) for path in _LIBRARY_PATH.findall(listed)}
    folders = {path.parent for path in found}
    yield from sorted(found)
    for name in LIBRARIES:
        yield from (folder / name for folder in folders if (folder / name).exists())


def _checkout() -> Iterator[Path]:
    """The files that git knows or would add, and what Python and pytest have made of them."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    for name in listed.split(b"\0"):
        path = ROOT / os.fsdecode(name)
        if name and path.exists():
            yield path
    for folder in ("sockwatch", "tests"):
        yield from (path for path in below(ROOT / folder) if path.suffix == ".pyc")


def _which(tool: str) -> Path | None:
    found = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return Path(found) if found else None
