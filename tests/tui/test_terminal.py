"""In a real terminal: what is sent, and how it is left."""

from __future__ import annotations

import signal

import pytest

from tests.tui.terminal import RESTORED, Terminal, not_restored

FIRST_PAINT = 16_384
ONE_ROW = 400


def test_the_first_paint_is_small() -> None:
    with Terminal("rows:0") as terminal:
        terminal.wait_for("server14")
        terminal.settle()
        assert 1000 < len(terminal.output) <= FIRST_PAINT


def test_no_change_sends_nothing() -> None:
    with Terminal("rows:0") as terminal:
        terminal.wait_for("server14")
        terminal.settle()
        before = len(terminal.output)
        for _ in range(3):
            terminal.look()
            terminal.settle()
        assert terminal.output[before:] == b""


def test_keys_typed_behind_the_one_that_opens_the_filter_go_into_it() -> None:
    with Terminal("rows:0") as terminal:
        terminal.wait_for("server14")
        terminal.press("/q/p")
        terminal.wait_for("q/p")
        assert terminal.process.poll() is None


def test_one_changed_row_sends_that_row() -> None:
    with Terminal("rows:1") as terminal:
        terminal.wait_for("server14")
        terminal.settle()
        before = len(terminal.output)
        terminal.look()
        terminal.wait_for(" 101 ")
        terminal.settle()
        sent = terminal.output[before:]
        assert len(sent) <= ONE_ROW
        assert b"gunicorn" not in sent


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_leaves_the_terminal_clean(number: signal.Signals, code: int) -> None:
    with Terminal("same") as terminal:
        terminal.wait_for("gunicorn")
        terminal.process.send_signal(number)
        assert terminal.wait_exit() == code
        assert not_restored(terminal.output) == []


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_quitting_leaves_the_terminal_clean(key: str) -> None:
    with Terminal("same") as terminal:
        terminal.wait_for("gunicorn")
        terminal.press(key)
        assert terminal.wait_exit() == 0
        assert not_restored(terminal.output) == []


def test_a_crash_leaves_the_terminal_clean_and_shows_no_variables() -> None:
    with Terminal("crash") as terminal:
        terminal.wait_for("gunicorn")
        terminal.press("r")
        assert terminal.wait_exit() == 3
        assert not_restored(terminal.output) == []
        after = terminal.output.rpartition(RESTORED["alternate screen"])[2]
        assert b"a poll went wrong" in after
        assert b"this is a bug" in after
        assert b"Traceback" not in after
        assert b"HIDDEN-VALUE" not in after


def test_a_hanging_poll_does_not_hold_up_the_exit() -> None:
    with Terminal("hang") as terminal:
        terminal.wait_for("gunicorn")
        terminal.look()
        terminal.press("q")
        assert terminal.wait_exit() == 0
        assert not_restored(terminal.output) == []


def test_a_terminal_that_goes_away_ends_the_program() -> None:
    with Terminal("same") as terminal:
        terminal.wait_for("gunicorn")
        terminal.hang_up()
        assert terminal.wait_exit() != 0


@pytest.mark.parametrize("term", ["linux", "xterm-256color"])
def test_no_color_sends_no_colour(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with Terminal("same", term=term, keep=("NO_COLOR",)) as terminal:
        terminal.wait_for("gunicorn")
        terminal.press("j")
        terminal.settle()
        output = terminal.output
    assert b"\x1b[7;39;49m" in output  # the cursor's line is told by reverse video
    assert b"38;" not in output
    assert b"48;" not in output
    assert [n for n in range(30, 38) if f";{n};".encode() in output] == []
