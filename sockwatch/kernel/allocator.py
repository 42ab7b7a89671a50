"""The memory allocator of the C library, as mallopt(3) sets it."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

M_ARENA_MAX: Final = -8


def use_one_arena() -> None:
    """Let all threads share one arena; call it before they start.

    Otherwise each of up to eight arenas a processor keeps the most that a look has ever taken.
    Nothing is done where the C library is not glibc.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
