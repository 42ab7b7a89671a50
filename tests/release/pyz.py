"""The one file that a Python of the host runs.

Neither shiv nor pex: both start from libraries that take longer than what sockwatch may add to the
start of a venv, and unpack to one folder, whoever may write there and whether or not it is usable.
"""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from pathlib import Path
from typing import Final

from tests.release.sources import MACHINE, NAME, PACKAGING, ROOT, epoch, files_of, oldest_python

LIBC: Final = "gnu"
SHEBANG: Final = b"#!/usr/bin/env python3\n"
CARRIED_NAME: Final = f"{NAME}-linux-{MACHINE}"
PYZ_NAME: Final = f"{CARRIED_NAME}.pyz"
BUILT: Final = '''"""What this file was built for, and what it has."""

NAME = {name!r}
FILES = {files}
NEEDS = {needs}
MACHINE = {machine!r}
LIBC = {libc!r}
FOR = {carried!r}
'''


def build_pyz(tree: Path, folder: Path) -> Path:
    """Pack the tree into a file; its path. The same tree makes the same file.

    The tree is a zip within the zip: Python reads the directory of the outer one at each start.
    """
    files = {str(path.relative_to(tree)): path.read_bytes() for path in files_of(tree)}
    contents = {
        "__main__.py": (PACKAGING / "pyz" / "__main__.py").read_bytes(),
        "isolation.py": (ROOT / "sockwatch" / "cli" / "isolation.py").read_bytes(),
        "site.zip": _zip(files, zipfile.ZIP_DEFLATED),
    }
    contents["built.py"] = BUILT.format(
        name=f"{NAME}-{hashlib.sha256(contents['site.zip']).hexdigest()[:16]}",
        files=len(files),
        needs=oldest_python(),
        machine=MACHINE,
        libc=LIBC,
        carried=f"{CARRIED_NAME}.tar.gz",
    ).encode()
    file = folder / PYZ_NAME
    file.write_bytes(SHEBANG + _zip(contents, zipfile.ZIP_STORED))
    file.chmod(0o755)
    return file


def _zip(contents: dict[str, bytes], compression: int) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name, time.gmtime(epoch())[:6])
            info.external_attr = 0o644 << 16
            info.compress_type = compression
            archive.writestr(info, data)
    return written.getvalue()
