"""Which network namespace a path leads to."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress

from sockwatch.kernel import expendable, libc
from sockwatch.model import KernelError

NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)


def inode_of(path: str) -> int | None:
    """The inode of the network namespace; None if the path leads to none.

    Raises KernelError if it may not be read, or does not answer, as a file of a dead server.
    """
    answer = expendable.call(lambda: _look(path))
    if answer is None:
        raise KernelError(f"{path} does not answer", errno.ETIMEDOUT)
    inode, error = answer
    if error is not None and error.errno in (errno.EACCES, errno.EPERM):
        raise KernelError(f"{path} may not be read: {error.strerror}", error.errno)
    return inode


def number_in(link: str) -> int:
    """The number in ``net:[4026531840]``, as links of /proc have it.

    Raises OSError for any other text: that of a process which exits may be empty.
    """
    number = link.removeprefix("net:[").removesuffix("]")
    if not (number.isdecimal() and number.isascii()):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return int(number)


def _look(path: str) -> tuple[int | None, OSError | None]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a device may change it
            return None, None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return None, error
    try:
        with suppress(OSError):  # ENOTTY: another kind of file
            if fcntl.ioctl(fd, NS_GET_NSTYPE) == libc.CLONE_NEWNET:
                return os.fstat(fd).st_ino, None
        return None, None
    finally:
        os.close(fd)
