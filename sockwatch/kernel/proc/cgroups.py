"""What is behind a cgroup id, for a process that has no /proc entry any more."""

from __future__ import annotations

import ctypes
import os
import struct
from functools import lru_cache
from typing import Final

from sockwatch.kernel import libc
from sockwatch.kernel.origin import of_cgroup
from sockwatch.kernel.proc.services import UNIFIED, hierarchy_mounts
from sockwatch.model import Origin

FILEID_KERNFS: Final = 0xFE  # include/linux/exportfs.h: the handle is the cgroup's id
ROOT_ID: Final = 1


@lru_cache(maxsize=1024)
def origin_of_cgroup_id(cgroup_id: int) -> Origin | None:
    """What its processes belong to; None if nothing, or the cgroup is removed or hidden."""
    cgroup_fd = open_cgroup(cgroup_id)
    if cgroup_fd is None:
        return None
    try:
        path = os.readlink(f"/proc/self/fd/{cgroup_fd}")
    except OSError:
        return None
    finally:
        os.close(cgroup_fd)
    return of_cgroup(b"0::" + os.fsencode(path.removeprefix(_cgroup2_mount() or "")))


def open_cgroup(cgroup_id: int) -> int | None:
    """An fd of the directory of that cgroup; None if it is the root, removed, or hidden."""
    mount = _cgroup2_mount()
    if mount is None or cgroup_id <= ROOT_ID:
        return None
    try:
        directory = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        handle = ctypes.create_string_buffer(struct.pack("=IiQ", 8, FILEID_KERNFS, cgroup_id))
        return libc.open_by_handle_at(directory, handle, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(directory)


def _cgroup2_mount() -> str | None:
    """Where the unified hierarchy is mounted."""
    return hierarchy_mounts().get(UNIFIED)
