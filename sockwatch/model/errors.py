"""The errors that sockwatch raises."""

from __future__ import annotations

import copyreg


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
