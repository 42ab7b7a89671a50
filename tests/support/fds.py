"""What this process has open."""

from __future__ import annotations

import os
from contextlib import suppress


def open_fds() -> dict[str, str]:
    """What each fd is, by number, but for those of BPF: they are opened when they are needed."""
    links = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            links[name] = os.readlink(f"/proc/self/fd/{name}")
    return {name: link for name, link in links.items() if "bpf" not in link}
