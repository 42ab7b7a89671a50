"""Who runs the tests, and what they need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

WHOLE_MAP = ["0", "0", "4294967295"]


def is_real_root() -> bool:
    """Root of the initial user namespace, and not of one that an ordinary user made."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == WHOLE_MAP


REAL_ROOT = is_real_root()
needs_root = pytest.mark.skipif(not REAL_ROOT, reason="needs root (BPF, namespaces)")
needs_btf = pytest.mark.skipif(
    not os.path.exists("/sys/kernel/btf/vmlinux"), reason="the kernel has no BTF"
)
