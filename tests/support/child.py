"""Child processes that may change themselves for good."""

from __future__ import annotations

import ctypes
import ctypes.util  # with psutil, what another user may not import any more
import functools
import os
import pickle
import struct
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import psutil  # noqa: F401
import pytest

from tests.support.libc import check, libc
from tests.support.netns import enter_new_netns
from tests.support.privilege import needs_btf, needs_root

P = ParamSpec("P")
Result = TypeVar("Result")
CAP_VERSION_3 = 0x20080522
PR_SET_KEEPCAPS = 8
CAPSET = {"x86_64": 126, "aarch64": 91}


def in_child(function: Callable[..., Result], *arguments: Any) -> Result:
    """What the function returns in a forked child; its exception is an AssertionError here.

    A skip there is one here.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            try:
                outcome: tuple[bool | None, Any] = (True, function(*arguments))
            except pytest.skip.Exception as skip:
                outcome = (None, skip.msg)
            except BaseException:  # noqa: BLE001 - raised again in the parent
                outcome = (False, traceback.format_exc())
            with open(writer, "wb") as file:
                pickle.dump(outcome, file)
        except BaseException:  # noqa: BLE001 - it goes no further than this process
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    _, status = os.waitpid(pid, 0)
    assert data, f"the child died without an answer: status {status:#x}"
    returned, value = pickle.loads(data)
    if returned is None:
        pytest.skip(value)
    assert returned, value
    return value  # type: ignore[no-any-return]


def in_netns(function: Callable[P, None]) -> Callable[P, None]:
    """Decorator: the test runs as root in a child with a network namespace of its own."""

    @needs_root
    @needs_btf
    @functools.wraps(function)
    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        def body() -> None:
            enter_new_netns()
            function(*args, **kwargs)

        in_child(body)

    return test


@contextmanager
def idle_child(prepare: Callable[[], None] = lambda: None) -> Iterator[int]:
    """The pid of a forked child that has run `prepare` and then waits until it is not needed."""
    ready_reader, ready_writer = os.pipe()
    stop_reader, stop_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(stop_writer)
            os.close(ready_reader)
            prepare()
            os.write(ready_writer, b"1")
            os.read(stop_reader, 1)
        except BaseException:  # noqa: BLE001 - it goes no further than this process
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(ready_writer)
    os.close(stop_reader)
    try:
        answer = os.read(ready_reader, 1)
        assert answer == b"1", f"the child failed to prepare: status {os.waitpid(pid, 0)[1]:#x}"
        yield pid
    finally:
        os.close(ready_reader)
        os.close(stop_writer)
        with suppress(ChildProcessError):  # it has been waited for
            os.waitpid(pid, 0)


def become(uid: int, *capabilities: int) -> None:
    """Give up root for good; keep these capabilities (bit numbers), effective and permitted."""
    check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    low = sum(1 << bit for bit in capabilities if bit < 32)
    high = sum(1 << bit - 32 for bit in capabilities if bit >= 32)
    header = ctypes.create_string_buffer(struct.pack("=Ii", CAP_VERSION_3, 0))
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0))
    check(libc.syscall(ctypes.c_long(CAPSET[os.uname().machine]), header, data))
