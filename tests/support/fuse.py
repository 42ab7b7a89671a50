"""A FUSE mount whose server answers nothing: what a dead NFS server looks like.

As much of include/uapi/linux/fuse.h as that needs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEVICE = Path("/dev/fuse")
REQUEST = struct.Struct("<IIQQIIII")  # fuse_in_header
ANSWER = struct.Struct("<IiQ")  # fuse_out_header
ATTRIBUTES = struct.Struct("<6Q10I")  # fuse_attr
GETATTR, INIT = 3, 26
MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def silent_mount(folder: Path) -> Iterator[None]:
    """Mount it on the folder; lstat() of anything below waits until the block is left.

    chdir() to the folder itself is answered by the kernel.
    """
    if not DEVICE.exists():
        pytest.skip("there is no /dev/fuse")
    fuse = os.open(DEVICE, os.O_RDWR)
    options = (
        f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions".encode()
    )
    if _libc.mount(b"silent", os.fsencode(folder), b"fuse", 0, options):
        error = ctypes.get_errno()
        os.close(fuse)
        pytest.skip(f"FUSE cannot be mounted: {os.strerror(error)}")
    server = os.fork()
    if server == 0:
        try:
            _serve(fuse)
        finally:
            os._exit(0)
    os.close(fuse)
    try:
        yield
    finally:
        os.kill(server, signal.SIGKILL)  # its end aborts the connection, and all that waits
        os.waitpid(server, 0)
        _libc.umount2(os.fsencode(folder), MNT_DETACH)


def _serve(fuse: int) -> None:
    """Answer what is asked of the folder itself, and nothing about a name below it."""
    while True:
        try:
            request = os.read(fuse, 1 << 17)
        except OSError:
            return  # unmounted
        _, operation, unique, node, *_ = REQUEST.unpack_from(request)
        if operation == INIT:
            _answer(
                fuse, unique, struct.pack("<4I2H2I", 7, 31, 0, 0, 12, 12, 65536, 1).ljust(64, b"\0")
            )
        elif operation == GETATTR:
            _answer(fuse, unique, struct.pack("<QII", 60, 0, 0) + _folder(node))


def _folder(node: int) -> bytes:
    return ATTRIBUTES.pack(node, 4096, 8, 0, 0, 0, 0, 0, 0, 0o40755, 1, 0, 0, 0, 4096, 0)


def _answer(fuse: int, unique: int, data: bytes) -> None:
    os.write(fuse, ANSWER.pack(ANSWER.size + len(data), 0, unique) + data)
