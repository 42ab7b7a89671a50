"""The cgroup of a place: the hierarchy is the host's, so each has a folder of its own in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sockwatch.kernel.proc.services import UNIFIED, hierarchy_mounts
from tests.support.netns import netns_inode
from tests.support.privilege import REAL_ROOT
from tests.support.waiting import wait_until

PREFIX = f"sockwatch-stage-{os.getpid()}"  # of this worker, also in the children of its stage


def need_cgroups() -> None:
    """Skip the test where none can be made."""
    if not REAL_ROOT or UNIFIED not in hierarchy_mounts():
        pytest.skip("only root may make a cgroup, of version 2")


def freeze(pid: int) -> None:
    """Freeze it in the cgroup of this place, and wait until it is."""
    folder = _folder()
    folder.mkdir()
    (folder / "cgroup.procs").write_text(str(pid))
    (folder / "cgroup.freeze").write_text("1")
    wait_until(lambda: "frozen 1" in (folder / "cgroup.events").read_text())


def state() -> str | None:
    """Whether the cgroup of this place is told to be frozen: 1 or 0; None if there is none."""
    try:
        return (_folder() / "cgroup.freeze").read_text().strip()
    except FileNotFoundError:
        return None


def remove() -> None:
    """Remove the cgroups of a stage that has ended."""
    for folder in Path(hierarchy_mounts()[UNIFIED]).glob(f"{PREFIX}-*"):
        wait_until(lambda folder=folder: not (folder / "cgroup.procs").read_text())  # type: ignore[misc]
        folder.rmdir()


def _folder() -> Path:
    return Path(hierarchy_mounts().get(UNIFIED, "/nowhere"), f"{PREFIX}-{netns_inode()}")
