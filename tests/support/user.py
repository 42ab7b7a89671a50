"""Commands and sockets of an ordinary user, though root runs the tests."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.libc import libc
from tests.support.privilege import REAL_ROOT
from tests.support.tools import need

ROOT = Path(__file__).parents[2]
UID = 12_345


def run_as_user(
    command: list[str], user_id: int = UID, timeout_s: float = 120, before: str = "true"
) -> subprocess.CompletedProcess[str]:
    """Run it as that user, in a mount namespace where the user may reach this interpreter.

    Nothing is changed outside: a folder that only root may enter is covered by an empty one that
    holds what is needed of it. `before` is a line for the shell, run as root. Skips the test where
    that is not allowed.
    """
    if not REAL_ROOT:
        pytest.skip("needs root, to become another user")
    for tool in ("unshare", "mount", "setpriv"):
        need(tool)
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT.resolve()}
    closed = {path: top for path in needed if (top := _closed(path)) is not None}
    lines = ["set -e", "mount --make-rprivate /"]
    keep = "/tmp/sockwatch-kept"
    lines.append(f"mkdir -p {keep} && mount -t tmpfs none {keep}")
    for number, path in enumerate(closed):
        lines.append(
            f"mkdir {keep}/{number} && mount --bind {shlex.quote(str(path))} {keep}/{number}"
        )
    lines += [
        f"mount -t tmpfs -o mode=755 none {shlex.quote(str(t))}" for t in set(closed.values())
    ]
    for number, path in enumerate(closed):
        place = shlex.quote(str(path))
        lines.append(f"mkdir -p {place} && mount --move {keep}/{number} {place}")
    lines.append(before)
    lines.append(f"cd {shlex.quote(str(ROOT))}")
    lines.append(
        f"exec setpriv --reuid {user_id} --regid {user_id} --clear-groups {shlex.join(command)}"
    )
    return subprocess.run(
        ["unshare", "-m", "bash", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=os.environ | {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"},
    )


@contextlib.contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Sockets made inside belong to `uid`: the kernel takes the file-system uid."""
    if uid:
        libc.setfsuid(uid)
    try:
        yield
    finally:
        if uid:
            libc.setfsuid(0)


def _closed(path: Path) -> Path | None:
    """The topmost folder on the way that others may not enter."""
    for folder in (*reversed(path.parents), path):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None
