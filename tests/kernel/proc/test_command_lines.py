"""Command lines are read beside the look, which a process that does not answer cannot hold up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sockwatch.kernel.proc import command_lines
from sockwatch.kernel.proc.command_lines import MOST_READERS, STUCK_S, CommandLines
from sockwatch.kernel.proc.proc_stat import ProcessRecord, ProcessStat
from tests.support.waiting import wait_until

Read = Callable[[int], bytes]
STUCK = range(1000, 2000)  # pids


def records(*pids: int, execs: int = 0) -> dict[int, ProcessRecord]:
    return {pid: ProcessRecord(ProcessStat(b"x", "S", 1, 1), 0, 1, execs) for pid in pids}


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Those of STUCK answer when this is set, all others at once: how often they were asked."""
    event = threading.Event()
    asked: dict[int, int] = {}

    def read(pid: int) -> bytes:
        asked[pid] = asked.get(pid, 0) + 1
        if pid in STUCK:
            event.wait()
        return b"%d asked %d" % (pid, asked[pid])

    monkeypatch.setattr(command_lines, "read_command_line", read)
    yield event
    event.set()
    wait_until(lambda: not command_lines._running)


def test_an_answer_is_remembered_until_the_process_runs_another_program(
    release: threading.Event,
) -> None:
    lines = CommandLines()
    for _ in range(2):
        assert lines.read(records(1, 2)) == {1: b"1 asked 1", 2: b"2 asked 1"}
    assert lines.read(records(1, execs=1)) == {1: b"1 asked 2"}
    lines.forget_others(set())
    assert lines.read(records(2)) == {2: b"2 asked 2"}
    assert lines.unanswered == 0


def test_one_that_is_stuck_holds_up_neither_the_others_nor_the_next_look(
    release: threading.Event,
) -> None:
    lines = CommandLines()
    several = records(1, STUCK[0], 2, STUCK[1], 3)
    expected = {1: b"1 asked 1", 2: b"2 asked 1", 3: b"3 asked 1", STUCK[0]: None, STUCK[1]: None}
    assert lines.read(several) == expected
    assert lines.unanswered == 2
    before, started = threading.active_count(), time.monotonic()
    for _ in range(5):
        assert lines.read(several) == expected
    assert time.monotonic() - started < STUCK_S
    assert threading.active_count() == before
    release.set()
    wait_until(lambda: lines.read(several)[STUCK[0]] == b"1000 asked 1")


def test_one_that_is_stuck_is_asked_by_nobody_else(release: threading.Event) -> None:
    CommandLines().read(records(STUCK[0]))
    others = [CommandLines() for _ in range(10)]
    before, started = threading.active_count(), time.monotonic()
    for number, lines in enumerate(others):
        expected = {STUCK[0]: None, 1: b"1 asked %d" % (number + 1)}
        assert lines.read(records(STUCK[0], 1)) == expected
        assert lines.unanswered == 1
        lines.forget_others(set())
    assert time.monotonic() - started < STUCK_S
    assert threading.active_count() <= before + 1
    release.set()
    wait_until(lambda: others[0].read(records(STUCK[0]))[STUCK[0]])


def test_only_so_many_wait_for_an_answer(release: threading.Event) -> None:
    lines = CommandLines()
    before = threading.active_count()
    answers = lines.read(records(*STUCK[:20], 1))
    assert set(answers.values()) == {None}
    assert threading.active_count() - before == MOST_READERS
    assert lines.read(records(1)) == {1: None}


def test_an_old_one_is_renewed_beside_the_look(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_lines, "RENEW_S", 0.0)
    lines = CommandLines()
    assert lines.read(records(1)) == {1: b"1 asked 1"}
    wait_until(lambda: lines.read(records(1)) != {1: b"1 asked 1"})


def test_no_thread_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    started = time.monotonic()
    assert CommandLines().read(records(os.getpid())) == {os.getpid(): None}
    assert time.monotonic() - started < STUCK_S
