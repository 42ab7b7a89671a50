"""Streams that are closed, full or elsewhere; odd TERM, locale and HOME: a screen or a sentence."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.tui.terminal import ROOT, SOCKWATCH, Program, not_restored

COMMAND = shlex.join(SOCKWATCH)
# What Python makes of a C locale where it does not choose UTF-8 by itself.
ASCII_ONLY = ("LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")
CONTROLS = re.compile(rb"\x1b\[[0-9;?<>$]*[a-zA-Z]|[\r\n]")


def run_screen(*environment: str) -> bytes:
    """What the screen draws with these arguments of env(1)."""
    with Program(["env", *environment, *SOCKWATCH], term="xterm") as program:
        program.wait_for("PROTO")
        program.press("\r?")
        program.settle()
        program.press("\x1b")
        program.settle()
        program.press("\x03")
        assert program.wait_exit() == 0
        assert not_restored(program.output) == []
        assert b"Traceback" not in program.output
        return program.output


def refused(program: Program) -> str:
    """The one sentence of a screen that does not start."""
    assert program.wait_exit() == 2
    text = program.output.decode()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "bug" not in text
    return text.strip()


def test_with_stderr_elsewhere_the_screen_is_drawn_on_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Program(["bash", "-c", f"exec {COMMAND} 2>{log}"]) as program:
        program.wait_for("PROTO")
        program.press("q")
        assert program.wait_exit() == 0
        assert not_restored(program.output) == []
    assert log.read_text() == ""


def test_with_stderr_closed_the_screen_is_drawn_as_well() -> None:
    with Program(["bash", "-c", f"exec {COMMAND} 2>&-"]) as program:
        program.wait_for("PROTO")
        program.press("q")
        assert program.wait_exit() == 0
        assert not_restored(program.output) == []


@pytest.mark.parametrize("redirection", ["<&-", "</dev/null"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "the live screen needs a terminal"),
        ("lab run two-listeners --step", "--step needs a terminal"),
    ],
)
def test_without_a_keyboard(redirection: str, arguments: str, sentence: str) -> None:
    with Program(["bash", "-c", f"exec {COMMAND} {arguments} {redirection}"]) as program:
        assert refused(program).startswith(f"sockwatch: {sentence}")


@pytest.mark.parametrize("arguments", ["--help", "why --help", "--version", "lab list"])
def test_an_answer_that_cannot_be_written(arguments: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"exec {COMMAND} {arguments} >/dev/full"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == ("sockwatch: cannot write to standard output: No space left on device\n")


@pytest.mark.parametrize(
    "term", ["ansi", "vt100", "screen", "tmux-256color", "xterm-kitty", "no-such-terminal"]
)
def test_a_terminal_of_any_name_draws(term: str) -> None:
    run_screen(f"TERM={term}")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (("-u", "TERM"), "TERM is not set"),
        (("TERM=",), "TERM is not set"),
        (("TERM=dumb",), "TERM is dumb"),
        (("TERM=unknown",), "TERM is unknown"),
    ],
)
def test_a_terminal_without_a_screen(environment: tuple[str, ...], sentence: str) -> None:
    with Program(["env", *environment, *SOCKWATCH]) as program:
        assert refused(program).startswith(f"sockwatch: {sentence}, so there is no live screen")


@pytest.mark.parametrize(
    "environment", [ASCII_ONLY, ("PYTHONIOENCODING=ascii",), ("PYTHONIOENCODING=latin-1",)]
)
def test_a_locale_without_unicode_gets_ascii(environment: tuple[str, ...]) -> None:
    output = CONTROLS.sub(b"", run_screen(*environment))
    assert b"PROTO" in output
    assert output.isascii()


@pytest.mark.parametrize("environment", [("LC_ALL=POSIX",), ("LANG=C",), ("LC_ALL=no_SUCH",)])
def test_python_takes_utf_8_where_the_locale_is_not_set_up(environment: tuple[str, ...]) -> None:
    assert "▌" in run_screen(*environment).decode()


@pytest.mark.parametrize("environment", [("-u", "HOME"), ("HOME=/no/such/folder",), ("HOME=",)])
def test_no_home(environment: tuple[str, ...]) -> None:
    run_screen(*environment)
