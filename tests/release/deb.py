"""The Debian package: our own tree below /usr/lib/sockwatch, run by the Python of the host.

Debian's textual and pyroute2 are years older than those that sockwatch needs.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from email.utils import formatdate
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from sockwatch import __version__
from tests.release.packages import PACKAGE, licence
from tests.release.sources import (
    PACKAGING,
    ROOT,
    epoch,
    files_of,
    needed_glibc,
    oldest_python,
    unpack_shared_data,
)

VERSION: Final = f"{__version__}-1"
MAINTAINER: Final = "sockwatch maintainers <maintainers@sockwatch.example>"
SOURCES: Final = PACKAGING / "deb"
SCRIPTS: Final = ("postinst", "prerm", "postrm")
COMMON_LICENCES: Final = {
    "Apache License\n": "Apache-2.0",
    "GNU GENERAL PUBLIC LICENSE": "GPL-2",
}
DOC: Final = "usr/share/doc/sockwatch"


def build_deb(wheel: Path, tree: Path, folder: Path) -> Path:
    """Make the package of the tree and the wheel's manual page and completions; its path."""
    architecture = _printed("dpkg", "--print-architecture").strip()
    top = folder / "deb"
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(tree, top / "usr/lib/sockwatch")
    for compiled in (top / "usr/lib").rglob("*.so"):
        _printed("strip", "--strip-unneeded", str(compiled))
    _make(top / "usr/bin/sockwatch", (SOURCES / "sockwatch").read_bytes(), 0o755)
    unpack_shared_data(wheel, top / "usr")
    # Debian's folders for what does not come from Debian itself are others.
    vendor = top / "usr/share/zsh"
    (vendor / "site-functions").rename(vendor / "vendor-completions")
    manual = top / "usr/share/man/man1/sockwatch.1"
    _make(manual.with_suffix(".1.gz"), _packed(manual.read_bytes()))
    manual.unlink()
    _make(top / DOC / "changelog.gz", _packed((ROOT / "sockwatch/CHANGELOG.md").read_bytes()))
    _make(top / DOC / "changelog.Debian.gz", _packed(_changelog().encode()))
    _make(top / DOC / "copyright", "\n".join(_copyright(tree)).encode())
    overrides = (SOURCES / "lintian-overrides").read_bytes()
    _make(top / "usr/share/lintian/overrides/sockwatch", overrides)
    _control(top, tree, architecture)
    for path in sorted(top.rglob("*")):
        is_program = path.is_dir() or path.parent.name == "bin" or path.name in SCRIPTS
        path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (epoch(), epoch()))
    top.chmod(0o755)
    file = folder / f"sockwatch_{VERSION}_{architecture}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(top), str(file)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch())}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    shutil.rmtree(top)
    return file


def _control(top: Path, tree: Path, architecture: str) -> None:
    files = files_of(top)
    control = (SOURCES / "control").read_text().format(
        version=VERSION,
        architecture=architecture,
        maintainer=os.environ.get("DEBEMAIL", MAINTAINER),
        size=sum(-(-path.stat().st_size // 1024) for path in files),
        python=".".join(map(str, oldest_python())),
        libc=".".join(map(str, needed_glibc(tree))),
    )  # fmt: skip
    sums = _printed("md5sum", *(str(path.relative_to(top)) for path in files), folder=top)
    _make(top / "DEBIAN/control", control.encode())
    _make(top / "DEBIAN/md5sums", sums.encode())
    for name in SCRIPTS:
        _make(top / "DEBIAN" / name, (SOURCES / name).read_bytes())


def _changelog() -> str:
    """The changes of the packaging; those of sockwatch itself are in its own file."""
    maintainer = os.environ.get("DEBEMAIL", MAINTAINER)
    date = formatdate(epoch()).replace("-0000", "+0000")
    return (
        f"sockwatch ({VERSION}) unstable; urgency=medium\n\n"
        f"  * sockwatch {__version__}; changelog.gz has its changes.\n\n"
        f" -- {maintainer}  {date}\n"
    )


def _copyright(tree: Path) -> Iterator[str]:
    """Ours, and a paragraph with the licence of each package that the tree has."""
    yield (SOURCES / "copyright").read_text()
    texts = {"Expat": (ROOT / "sockwatch/LICENSE").read_text()}
    for package in sorted(distributions(path=[str(tree)]), key=lambda each: each.name.lower()):
        if package.name == PACKAGE:
            continue
        module = package.name.replace("-", "_").lower()
        text = "\n\n".join(_licence_texts(tree / f"{module}-{package.version}.dist-info"))
        holders = re.findall(r"^\s*Copyright:? (.*\d{4}.*)$", text, re.MULTILINE)
        name = f"{licence(package).replace(' ', '-')}-of-{package.name}"
        texts[name] = text
        yield f"Files: usr/lib/sockwatch/{module.removesuffix('_py')}*"
        yield f"Copyright: {'; '.join(holders) or f'the authors of {package.name}'}"
        yield f"License: {name}\n"
    for name, text in texts.items():
        lines = [f" {line.rstrip()}" if line.strip() else " ." for line in text.splitlines()]
        yield "\n".join((f"License: {name}", *lines, ""))


def _licence_texts(metadata: Path) -> Iterator[str]:
    """Each text, or where every Debian system has it."""
    for path in files_of(metadata):
        if path.name.startswith("LICENSE"):
            text = path.read_text()
            known = [name for title, name in COMMON_LICENCES.items() if title in text[:500]]
            yield f"{path.name}: /usr/share/common-licenses/{known[0]}" if known else text


def _make(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def _printed(*command: str, folder: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout
