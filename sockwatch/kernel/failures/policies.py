"""Which security policies are on a process that was refused."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from sockwatch.failure import Policies
from sockwatch.kernel.bpf import syscall
from sockwatch.kernel.failures.rows import SEEN_TASK, FailureRow
from sockwatch.kernel.proc.cgroups import open_cgroup
from sockwatch.text import NAME_LIMIT, clean

# enum bpf_attach_type of include/uapi/linux/bpf.h: the bind and post-bind hooks of both families
BIND_HOOKS: Final = (8, 9, 12, 13)
REFUSALS: Final = ("EACCES", "EPERM", "ENOSYS")  # what a policy answers
UNCONFINED: Final = ("", "unconfined", "kernel")


def read_policies(row: FailureRow, pid: int | None) -> Policies:
    """What can be seen; `pid` is None if the process has gone, or has no number here."""
    return Policies(
        seccomp=bool(row.seccomp) if row.seen & SEEN_TASK else None,
        label=None if pid is None else _label(pid),
        bind_programs=_bind_programs(row.cgroup_id),
    )


def _label(pid: int) -> str | None:
    """What SELinux, AppArmor or Smack calls the process; None if it is not confined."""
    try:
        with open(f"/proc/{pid}/attr/current", "rb") as file:
            text = clean(file.read(4096).rstrip(b"\0\n"), 2 * NAME_LIMIT)
    except OSError:  # EINVAL without such a module
        return None
    return None if text in UNCONFINED or text.startswith("unconfined_u:") else text


def _bind_programs(cgroup_id: int) -> int | None:
    """How many BPF programs judge each bind() in the cgroup; None where that cannot be asked."""
    cgroup = open_cgroup(cgroup_id)
    if cgroup is None:
        return None
    try:
        with suppress(OSError):
            return sum(syscall.cgroup_programs(cgroup, hook) for hook in BIND_HOOKS)
    finally:
        os.close(cgroup)
    return None
