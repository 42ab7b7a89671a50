"""A terminal that is asked for its background: what it may answer, when, and what is left of it."""

from __future__ import annotations

import signal

import pytest

from sockwatch.tui.background import Question
from sockwatch.tui.replies import Replies, is_light
from tests.tui.terminal import SOCKWATCH, Program, Terminal, not_restored
from tests.tui.test_job_control import check_draws_and_reads, wait_stopped

ASKED = "\x1b]11;?"
END = "\x1b[?62;22c"  # the reply to DA1
WHITE = "\x1b]11;rgb:ffff/ffff/ffff\x07"
DRAWN_ON = {"light": b"48;5;255m", "dark": b"48;5;233m"}


@pytest.mark.parametrize(
    ("colour", "light"),
    [
        (b"rgb:ffff/ffff/ffff", True),
        (b"rgb:fd/f6/e3", True),  # solarized
        (b"rgb:f/f/f", True),
        (b"rgba:ffff/ffff/dddd/8000", True),
        (b"rgb:0000/0000/0000", False),
        (b"rgb:0000/2b2b/3636", False),
        (b"rgba:0000/0000/0000/ffff", False),
        (b"rgb:0000/0000/ffff", False),  # white is read on blue
        (b"rgb:ffff/ffff", None),
        (b"rgb:ffff/ffff/ffff/ffff", None),
        (b"rgb:fffff/ffff/ffff", None),
        (b"rgb:gggg/ffff/ffff", None),
        (b" rgb:ffff/ffff/ffff", None),
        (b"white", None),
        (b"", None),
    ],
)
def test_what_is_bright(colour: bytes, light: bool | None) -> None:
    assert is_light(colour) is light


@pytest.mark.parametrize("reply", [WHITE, "\x1b]11;rgb:ff/ff/ff\x1b\\"])
def test_replies_cut_anywhere_are_no_keys(reply: str) -> None:
    sent = f"j{reply}\x1b[A{END}k".encode()
    for first in range(len(sent)):
        for second in range(first, len(sent)):
            replies = Replies()
            parts = (sent[:first], sent[first:second], sent[second:])
            assert b"".join(replies.take(part) for part in parts if part) == b"j\x1b[Ak"
            assert (replies.light, replies.complete) == (True, True)


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"\x1b", b"\x1b"),  # Esc
        (b"\x1b]", b"\x1b]"),  # Alt-]
        (b"\x1b[A", b"\x1b[A"),
        (b"\x1b]11;rgb:ff", b""),
        (b"\x1b]11;" + b"f" * 65, b"\x1b]11;" + b"f" * 65),  # longer than any colour
        (b"\x1b]12;rgb:ffff/ffff/ffff\x07", b"\x1b]12;rgb:ffff/ffff/ffff\x07"),
        (b"\x1b]11;\x1b[A\x07", b"\x1b]11;\x1b[A\x07"),
    ],
)
def test_what_no_reply_ends_is_given_after_a_while(sent: bytes, keys: bytes) -> None:
    replies = Replies()
    assert replies.take(sent) + replies.take(b"") == keys
    assert replies.light is None


def test_after_the_last_reply_a_key_is_given_at_once() -> None:
    replies = Replies()
    assert replies.take(END.encode()) == b""
    assert replies.take(b"\x1b") == b"\x1b"


def check_untouched(terminal: Terminal, theme: str) -> None:
    """The screen has this theme, no key has arrived but those that are pressed now."""
    terminal.wait_for("server14")
    assert DRAWN_ON[theme] in terminal.output
    assert b"^[" not in terminal.output  # a terminal that echoes shows Esc so
    terminal.look()
    terminal.press("q")  # the slash of a reply would have opened the filter: q is typed there
    assert terminal.wait_exit() == 0
    assert not_restored(terminal.output) == []


@pytest.mark.parametrize(
    ("reply", "theme"),
    [
        ("\x1b]11;no/such/colour\x07" + END, "dark"),
        ("", "dark"),
    ],
    ids=["garbage", "nothing"],
)
def test_the_theme_is_that_of_the_terminal(reply: str, theme: str) -> None:
    with Terminal("same", term="xterm-256color") as terminal:
        terminal.wait_for(ASKED)
        terminal.press(reply)
        check_untouched(terminal, theme)


def test_an_answer_that_comes_late_is_followed() -> None:
    with Terminal("same", term="xterm-256color") as terminal:
        terminal.wait_for("server14")
        assert DRAWN_ON["light"] not in terminal.output
        terminal.press(WHITE + END)
        terminal.wait_for(DRAWN_ON["light"].decode())
        check_untouched(terminal, "light")


def test_keys_typed_before_the_answer_are_not_lost() -> None:
    with Terminal("same", term="xterm-256color") as terminal:
        terminal.wait_for(ASKED)
        terminal.press("?" + WHITE + END + "j")
        terminal.wait_for("One line up")
        assert DRAWN_ON["light"] in terminal.output


def test_after_a_stop_the_theme_is_the_same() -> None:
    with Terminal("same", term="xterm-256color") as terminal:
        terminal.wait_for(ASKED)
        terminal.press(WHITE + END)
        terminal.wait_for("server14")
        terminal.press("\x1a")
        wait_stopped(terminal, terminal.process.pid)
        stopped = len(terminal.output)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for("server14", stopped)
        assert DRAWN_ON["light"] in terminal.output[stopped:]
        assert DRAWN_ON["dark"] not in terminal.output
        check_draws_and_reads(terminal, stopped)


@pytest.mark.parametrize(
    ("value", "light"),
    [
        ("0;15", True), ("0;default;7", True), ("15;0", False), ("7;8", False),
        ("0;default", None), ("0;16", None), ("-1", None), ("", None),
    ],
)  # fmt: skip
def test_without_an_answer_the_environment_is_a_hint(
    value: str, light: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")  # which is not asked
    monkeypatch.setenv("COLORFGBG", value)
    assert Question().answer(0) is light


def test_a_theme_that_is_chosen_is_not_asked_for() -> None:
    command = ["env", "SOCKWATCH_THEME=dark", *SOCKWATCH, "--theme", "light"]
    with Program(command, term="xterm-256color") as program:
        program.wait_for("PROTO")
        assert ASKED.encode() not in program.output
        assert DRAWN_ON["light"] in program.output
