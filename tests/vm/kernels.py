"""The kernels that can be had as Debian packages, and their files. A package is unpacked, not
installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sockwatch.bind.kernels import Release, parse_release
from tests.vm import places
from tests.vm.archive import archive, below
from tests.vm.places import Unavailable
from tests.vm.suites import ARCHITECTURE, SUITES, Suite

# From 6.19 on the image is an empty package beside one with the kernel and one with its modules.
PACKAGES: Final = rf"^linux-(image|binary|modules)-[0-9]+[.][0-9]+[.][0-9].*-cloud-{ARCHITECTURE}$"
# What sock_diag and the tests need that may be a module.
MODULES: Final = (
    "inet_diag", "tcp_diag", "udp_diag", "unix_diag", "netlink_diag", "raw_diag", "mptcp_diag",
    "nfnetlink", "veth", "dummy", "vrf", "tun", "vxlan", "macvlan", "sctp",
)  # fmt: skip


class Kernel(NamedTuple):
    """`release` is the upstream one, `name` what the package and `uname -r` say."""

    release: str
    name: str
    suite: str
    packages: tuple[tuple[str, str], ...]  # name and version

    @property
    def number(self) -> Release:
        """The release as numbers."""
        number = parse_release(self.release)
        assert number is not None
        return number


class Found(NamedTuple):
    """`missing` says of each suite that could not be read why."""

    kernels: list[Kernel]
    missing: list[str]


class KernelFiles(NamedTuple):
    """`modules` is an archive of those that are wanted, see archive.py."""

    image: Path
    modules: Path


def find(suites: tuple[str, ...] = SUITES) -> Found:
    """Every kernel of the suites, oldest first."""
    kernels: dict[str, Kernel] = {}
    missing = []
    for name in suites:
        try:
            for kernel in _of_suite(Suite(name)):
                kernels.setdefault(kernel.release, kernel)
        except Unavailable as reason:
            missing.append(str(reason))
    return Found(sorted(kernels.values(), key=lambda kernel: kernel.number), missing)


def choose(wanted: str, found: Found) -> Kernel:
    """The newest whose release begins with `wanted`. Raises Unavailable."""
    fitting = [k for k in found.kernels if f"{k.release}.".startswith(f"{wanted}.")]
    if fitting:
        return fitting[-1]
    had = ", ".join(kernel.release for kernel in found.kernels) or "none"
    reasons = "".join(f"; {reason}" for reason in found.missing)
    raise Unavailable(f"there is no kernel {wanted} to be had; those that are: {had}{reasons}")


def unpack(kernel: Kernel) -> KernelFiles:
    """Download and unpack it, unless that was done before. Raises Unavailable."""
    folder = places.cache("kernels", kernel.release)
    files = KernelFiles(folder / "vmlinuz", folder / "modules.cpio")
    whole = folder / "whole"
    wanted = " ".join(MODULES)
    if not whole.exists() or whole.read_text() != wanted:
        packed = folder / "packed"
        shutil.rmtree(packed, ignore_errors=True)
        for name, version in kernel.packages:
            file = Suite(kernel.suite).download(name, version)
            subprocess.run(["dpkg-deb", "-x", file, packed], check=True)
        chosen = folder / "chosen"
        _take_modules(kernel.name, packed, chosen)
        archive(sorted(below(chosen)), files.modules, chosen)
        shutil.copy(_image(kernel.name, packed), files.image)
        shutil.rmtree(packed)
        shutil.rmtree(chosen)
        whole.write_text(wanted)
    return files


def _of_suite(suite: Suite) -> Iterator[Kernel]:
    by_name: dict[str, dict[str, dict[str, str]]] = {}
    for fields in suite.packages(PACKAGES):
        _, part, name = fields["Package"].split("-", 2)
        by_name.setdefault(name, {})[part] = fields
    for name, parts in by_name.items():
        image = parts["binary"] if "binary" in parts else parts.get("image")
        if image is None:
            continue
        wanted = ("binary", "modules") if "binary" in parts else ("image",)
        packages = tuple((parts[p]["Package"], parts[p]["Version"]) for p in wanted if p in parts)
        release = re.match(r"\d+\.\d+(\.\d+)?", image["Version"])
        if release is not None:
            yield Kernel(release[0], name, suite.name, packages)


def _image(name: str, packed: Path) -> Path:
    """The kernel itself. Raises Unavailable."""
    for path in (f"boot/vmlinuz-{name}", f"usr/lib/modules/{name}/vmlinuz"):
        if (packed / path).exists():
            return packed / path
    raise Unavailable(f"the package of {name} has no vmlinuz where one was looked for")


def _take_modules(name: str, packed: Path, target: Path) -> None:
    """Copy the wanted modules and those that they need."""
    shutil.rmtree(target, ignore_errors=True)
    tree = packed / "usr/lib/modules" / name
    if not tree.exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        (packed / "lib/modules" / name).rename(tree)
    if (packed / "lib").is_dir():
        shutil.rmtree(packed / "lib")
    (packed / "lib").symlink_to("usr/lib")  # where depmod(8) looks
    subprocess.run(["depmod", "-b", packed, name], check=True, capture_output=True)
    needed: set[str] = set()
    for module in MODULES:  # one that is built in, or that this kernel lacks, is none
        shown = subprocess.run(
            ["modprobe", "-d", packed, "-S", name, "--show-depends", module],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        needed |= {words[1] for line in shown.stdout.splitlines() if (words := line.split())[1:]}
    files = {Path(path) for path in needed if path.startswith("/")}
    for file in (*files, *tree.glob("modules.builtin*"), tree / "modules.order"):
        path = target / file.resolve().relative_to(packed.resolve())
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path)
    (target / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", target, name], check=True)
    (target / "lib").unlink()
