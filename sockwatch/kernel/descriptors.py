"""Whether enough file descriptors are left, asked before work that would else fail half-way."""

from __future__ import annotations

import errno
import os
from typing import Final

from sockwatch.model import KernelError

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})  # of this process; of the host
REMEDY: Final = "raise the limit: ulimit -n 1024"


def too_few_descriptors(needed: int) -> KernelError | None:
    """The error to raise where this process may not open that many more, else None."""
    opened: list[int] = []
    try:
        while len(opened) < needed:
            opened.append(os.eventfd(0, os.EFD_CLOEXEC))
    except OSError as error:
        return KernelError(
            f"too few file descriptors are left, {len(opened)} of {needed} ({error.strerror}); "
            f"{REMEDY}",
            error.errno or 0,
        )
    finally:
        for fd in opened:
            os.close(fd)
    return None


def check_descriptors(needed: int) -> None:
    """Raises KernelError with what would help where this process may not open that many more."""
    if few := too_few_descriptors(needed):
        raise few
