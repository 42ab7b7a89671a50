"""Run a function in a child process that may change itself for good, and get its answer."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def in_child(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """What the function returns in a forked child; its exception is an AssertionError here."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            try:
                result: tuple[bool, Any] = (True, function(*arguments))
            except BaseException:  # noqa: BLE001 - told to the parent
                result = (False, traceback.format_exc())
            with open(writer, "wb") as file:
                pickle.dump(result, file)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    assert data, "the child died without an answer"
    good, answer = pickle.loads(data)
    assert good, answer
    return answer  # type: ignore[no-any-return]


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
        finally:
            os._exit(0)
    os.close(ready_writer)
    os.close(stop_reader)
    try:
        assert os.read(ready_reader, 1) == b"1", "the child failed to prepare"
        yield pid
    finally:
        os.close(ready_reader)
        os.close(stop_writer)
        os.waitpid(pid, 0)


def become(uid: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
