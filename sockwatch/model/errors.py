"""The errors that sockwatch raises."""

from __future__ import annotations


class SockwatchError(Exception):
    """An error whose text is a sentence for the user. Base of all that sockwatch raises."""


class KernelError(SockwatchError):
    """The kernel refused a request. `errno` is its error number, as in errno(3)."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno

    def __reduce__(self) -> tuple[type[KernelError], tuple[str, int]]:
        """Keep the errno where the error comes from another process."""
        return type(self), (str(self), self.errno)
