"""RLIMIT_MEMLOCK, to which kernels before 5.11 charge programs and maps.

They charge when one is made, so the limit is raised for that call alone: what this process starts
inherits its own.
"""

from __future__ import annotations

import os
import re
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CHARGED_BEFORE: Final = (5, 11)  # since then it is the memory cgroup's; see bpf(2)
_lock = threading.Lock()  # limits are the process's


def is_charged() -> bool:
    """Whether this kernel charges BPF to the limit."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is not None and (int(release[1]), int(release[2])) < CHARGED_BEFORE


@contextmanager
def raised() -> Iterator[None]:
    """As far as this process may raise the limit, where the kernel charges BPF to it."""
    if not is_charged():
        yield
        return
    with _lock:
        before = _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        for limit in ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (hard, hard)):
            try:
                resource.setrlimit(resource.RLIMIT_MEMLOCK, limit)
            except (OSError, ValueError):  # without CAP_SYS_RESOURCE
                continue
            break
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
