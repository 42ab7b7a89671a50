"""Namespaces by id, and listns(2), which this kernel may not have yet."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any

import pytest

from sockwatch.kernel import libc
from sockwatch.kernel.netns import handles
from sockwatch.kernel.netns.handles import list_ids, namespace_id, open_by_id
from tests.support.netns_kinds import OWN, own_id
from tests.support.privilege import needs_root


@needs_root
def test_id_and_number_have_to_be_right() -> None:
    identity = own_id()
    inode = os.stat(OWN).st_ino
    fd = open_by_id(identity, inode)
    assert os.fstat(fd).st_ino == inode
    os.close(fd)
    for wrong in ((identity, inode + 1), (identity + 1_000_000, inode)):
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            open_by_id(*wrong)


def test_what_is_no_namespace_has_no_id() -> None:
    with open("/dev/null") as file:
        assert namespace_id(file.fileno()) is None


def test_pages_of_ids_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers as SYSCALL_DEFINE4(listns) of kernel/nstree.c gives them."""
    ids = list(range(5, 1100))

    def listns(number: int, request: Any, buffer: Any, most: int, flags: int) -> int:
        size, spare, last, kind, spare_too, user_ns = struct.unpack(
            "=IIQIIQ", ctypes.string_at(request, 32)
        )
        assert (size, spare, kind, spare_too, user_ns) == (32, 0, libc.CLONE_NEWNET, 0, 0)
        assert (number, flags) == (470, 0)
        page = [identity for identity in ids if identity > last][:most]
        ctypes.memmove(buffer, struct.pack(f"={len(page)}Q", *page), 8 * len(page))
        return len(page)

    monkeypatch.setattr(handles, "_SYS_LISTNS", 470)
    monkeypatch.setattr(libc, "syscall", listns)
    assert list(list_ids()) == ids


def test_this_kernel_lists_ours() -> None:
    identity = own_id()
    try:
        ids = set(list_ids())
    except OSError as error:
        pytest.skip(f"listns(2): {error.strerror}")
    assert identity in ids
