"""Calls that may block for ever are left behind, and cost the others nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from sockwatch.kernel.expendable import call, call_each
from tests.support.privilege import REAL_ROOT


@pytest.fixture
def never() -> Iterator[int]:
    """An fd whose read() waits until the test is over."""
    reader, writer = os.pipe()
    yield reader
    os.close(writer)
    os.close(reader)


def read(fd: int | None) -> bytes:
    return b"" if fd is None else os.read(fd, 1)


def test_results_come_in_order() -> None:
    outcomes = list(call_each("abc", str.upper))
    assert [(o.item, o.result) for o in outcomes] == [("a", "A"), ("b", "B"), ("c", "C")]
    assert call(lambda: "answer") == "answer"
    assert not list(call_each((), str.upper))


def test_a_call_that_blocks_is_left_behind_and_the_next_is_made(never: int) -> None:
    outcomes = list(call_each((None, never, None), read, limit_s=0.05))
    assert [o.result for o in outcomes] == [b"", None, b""]


def test_only_so_many_are_left_behind(never: int) -> None:
    before = set(threading.enumerate())
    outcomes = list(call_each((never, never, never, None), read, limit_s=0.05, most_left_behind=2))
    assert [o.result for o in outcomes] == [None] * 4
    assert len(set(threading.enumerate()) - before) == 2


def test_one_that_is_left_behind_does_no_more(never: int) -> None:
    calls: list[int] = []

    def note(fd: int) -> bytes:
        calls.append(fd)
        return os.read(fd, 1)

    list(call_each((never, never), note, limit_s=0.05, most_left_behind=1))
    assert calls == [never]


def test_the_interpreter_exits_all_the_same() -> None:
    code = (
        "import os\nfrom sockwatch.kernel.expendable import call\nreader, writer = os.pipe()\n"
        "assert call(lambda: os.read(reader, 1), limit_s=0.05) is None\nprint('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to become somebody else")
def test_where_no_thread_can_be_started_there_is_no_result() -> None:
    code = (
        "import os, resource\nfrom sockwatch.kernel.expendable import call\n"
        "os.setresuid(54321, 54321, 54321)\nresource.setrlimit(resource.RLIMIT_NPROC, (1, 1))\n"
        "print(call(lambda: 1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
