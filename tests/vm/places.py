"""Where downloads and what is made of them are kept: in the user's cache, never in the tree."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]  # the checkout


class Unavailable(Exception):  # noqa: N818 - a state of the host, not a mistake
    """What a virtual machine needs cannot be had here; the message says what, in a sentence."""


def cache(*parts: str) -> Path:
    """A folder below the cache, which is made."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "sockwatch-tests", "vm", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked() -> Iterator[None]:
    """Nobody else fills the cache meanwhile."""
    with open(cache() / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
