"""The errors that sockwatch raises, and those of a host that is falling over."""

from __future__ import annotations

import copyreg
import errno
from typing import Final

SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


class SockwatchError(Exception):
    """An error whose text is a sentence for the user. Base of all that sockwatch raises."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without __init__, whose parameters are not always those in `args`."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class KernelError(SockwatchError):
    """The kernel refused a request. `errno` is its error number, as in errno(3)."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


def shortage(error: BaseException) -> str | None:
    """What this host or a limit has too little of, as a sentence; None for any other error."""
    if isinstance(error, MemoryError):
        return "no memory is left"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no thread can be started; raise the limit: ulimit -u, or pids.max of the cgroup"
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        return f"the system refused what this needs: {error.strerror}"
    return None
