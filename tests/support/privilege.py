"""Who runs the tests, and what they need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sockwatch.kernel import host
from sockwatch.kernel.bpf import memory_limit

WHOLE_MAP = ["0", "0", "4294967295"]


def is_real_root() -> bool:
    """Root of the initial user namespace, and not of one that an ordinary user made."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == WHOLE_MAP


REAL_ROOT = is_real_root()
needs_root = pytest.mark.skipif(not REAL_ROOT, reason="needs root (BPF, namespaces)")
needs_btf = pytest.mark.skipif(
    not os.path.exists("/sys/kernel/btf/vmlinux"), reason="the kernel has no BTF"
)
HAS_TASK_FILES = not memory_limit.is_charged()  # both came with 5.11
needs_task_files = pytest.mark.skipif(
    not HAS_TASK_FILES,
    reason="before Linux 5.11 BPF cannot find the socket of an fd, and is charged to a limit",
)
needs_bound = pytest.mark.skipif(
    not (host.lists_bound_sockets() or (REAL_ROOT and HAS_TASK_FILES)),
    reason="bound sockets cannot be seen here: Linux 6.8, or 5.11 as root",
)
