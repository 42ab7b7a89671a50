"""A terminal that misbehaves: it shrinks to nothing, or stops reading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tui.terminal import Terminal

MEMORY_SLACK_KB = 8_000
COUNT = re.compile(rb" (\d{3,5}) ")


@pytest.mark.parametrize(
    ("size", "keys"),
    [((20, 5), ("", "\r", "?", "/", "\x10")), ((1, 1), ("",))],
    ids=["20x5", "1x1"],
)
def test_a_terminal_that_shrinks_and_grows_again(
    size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    """On the main screen, and with details, help, filter and palette opened while it is small."""
    with Terminal("same") as terminal:
        terminal.wait_for("server14")
        for key in keys:
            terminal.resize(size)
            terminal.press(key)
            terminal.settle()
            before = len(terminal.output)
            terminal.resize((80, 24))
            terminal.wait_until(lambda n=before: len(terminal.output) > n, "nothing is drawn")  # type: ignore[misc]
            terminal.press("\x1b" if key else "")
            terminal.settle()
            assert b"sorted by" in terminal.output[before:]
            terminal.look()
        terminal.press("q")
        assert terminal.wait_exit() == 0
        assert b"Traceback" not in terminal.output


def resident_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def counts(output: bytes) -> list[int]:
    """What the rows that change with each poll have shown: 100 and the number of the poll."""
    return [int(found) - 100 for found in COUNT.findall(output) if int(found) < 60_000]


def test_a_terminal_that_does_not_read() -> None:
    with Terminal("stream") as terminal:
        terminal.wait_for("server14")
        terminal.wait_until(lambda: terminal.looks > 50, "no polls")
        terminal.leave_unread()
        looks, before = terminal.looks, len(terminal.output)
        stuck_kb = resident_kb(terminal.process.pid)
        # What it has drawn meanwhile comes first, and soon the polls that it makes now.
        terminal.wait_until(
            lambda: max(counts(terminal.output[before:]), default=0) > looks, "it does not go on"
        )
        assert resident_kb(terminal.process.pid) < stuck_kb + MEMORY_SLACK_KB
        assert looks < 200
        terminal.press("q")
        assert terminal.wait_exit() == 0
