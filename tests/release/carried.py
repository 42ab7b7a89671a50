"""The form that brings its own Python and C library, for hosts whose Python is too old or missing.

PyInstaller would need as new a C library as that of the host it runs on; this one needs none.
Everything that is compiled comes from the packages of one Debian release.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.release.pyz import CARRIED_NAME
from tests.release.roots import Root
from tests.release.sources import PACKAGING, epoch, files_of

RELEASE: Final = "bookworm"
# Of the standard library: what only developers use, and what needs large libraries.
LEFT_OUT: Final = (
    "__pycache__", "config-*", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "sitecustomize.py", "test", "tkinter", "turtledemo", "venv", "EXTERNALLY-MANAGED",
    "_tkinter*", "_dbm*", "_gdbm*", "_curses*", "readline*",
    "_codecs_*", "_test*", "_xxtest*", "_xxsub*", "_ctypes_test*", "nis*", "ossaudiodev*",
    "turtle.py", "_crypt*",
)  # fmt: skip
# The parts of the C library that a module may ask for later: those of the host would not fit.
OF_LIBC: Final = (
    "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libresolv.so.2",
    "libnss_files.so.2", "libnss_dns.so.2", "libnss_compat.so.2",
)  # fmt: skip


def build_carried(tree: Path, root: Root, folder: Path) -> Path:
    """Put a Python of the root and the tree into a tar file; its path."""
    top = folder / CARRIED_NAME
    shutil.rmtree(top, ignore_errors=True)
    python, libexec = top / "python", top / "python" / "libexec"
    (python / "bin").mkdir(parents=True)
    libexec.mkdir()
    shutil.copy2(PACKAGING / "carried" / "sockwatch", top)
    shutil.copy2(PACKAGING / "carried" / "python3", python / "bin")
    (version,) = (each.name for each in (root.folder / "usr/lib").glob("python3.*"))
    shutil.copy2(root.folder / "usr/bin" / version, libexec / "python")
    ignored = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(root.folder / "usr/lib" / version, python / "lib" / version, ignore=ignored)
    shutil.copytree(tree, python / "lib" / "python3" / "dist-packages")
    packages = set()
    for library in sorted(_libraries(root, version)):
        real = (root.folder / library.lstrip("/")).resolve()
        packages.add(_package(root, library))
        if os.path.basename(library).startswith("ld-linux"):
            # The kernel names a process after the file that was executed.
            shutil.copy2(real, libexec / "python3")
            os.link(libexec / "python3", libexec / "sockwatch")
        else:
            shutil.copy2(real, libexec / os.path.basename(library))
    for package in {*packages, f"{version}-minimal", f"lib{version}-stdlib"}:
        licence = top / "licences" / package
        licence.parent.mkdir(exist_ok=True)
        shutil.copyfile(root.folder / "usr/share/doc" / package / "copyright", licence)
    options = ["--invalidation-mode", "unchecked-hash", "-q", "-j", "0"]
    compiled = [str(python / "bin/python3"), "-I", "-m", "compileall", *options]
    # The paths in tracebacks are those below the top.
    subprocess.run([*compiled, "-s", str(top), str(python / "lib")], check=True)
    return _tar(top)


def _libraries(root: Root, version: str) -> Iterator[str]:
    """The path of each library, within the root, that Python and its modules need, by ldd(1)."""
    modules = [
        f"/{path.relative_to(root.folder)}"
        for path in (root.folder / "usr/lib" / version / "lib-dynload").glob("*.so")
        if not any(path.match(pattern) for pattern in LEFT_OUT)
    ]
    command = ["chroot", str(root.folder), "ldd", f"/usr/bin/{version}", *modules]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = set(re.findall(r"(/\S+\.so\S*) \(0x", printed))
    (libc,) = (path for path in found if os.path.basename(path) == "libc.so.6")
    return iter(found | {f"{os.path.dirname(libc)}/{name}" for name in OF_LIBC})


def _package(root: Root, library: str) -> str:
    """The Debian package of the library."""
    for path in (library, f"/usr{library}", library.removeprefix("/usr")):
        command = ["dpkg-query", f"--root={root.folder}", "-S", path]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.partition(":")[0]
    raise ValueError(f"no package has {library}")


def _tar(top: Path) -> Path:
    file = top.with_name(f"{top.name}.tar.gz")
    with (
        open(file, "wb") as written,
        gzip.GzipFile("", "wb", 9, written, epoch()) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path in files_of(top):
            info = archive.gettarinfo(path, str(path.relative_to(top.parent)))
            info.mtime, info.uid, info.gid, info.uname, info.gname = epoch(), 0, 0, "root", "root"
            info.mode = 0o755 if info.mode & 0o100 else 0o644
            if info.isreg():
                with open(path, "rb") as read:
                    archive.addfile(info, read)
            else:
                archive.addfile(info)
    return file
