"""Questions to the person at the terminal. Nobody there, or the end of input, means no."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Iterable
from contextlib import suppress

from sockwatch.act.cancel import Cancellation
from sockwatch.cli.command import is_terminal

YES = frozenset({"y", "yes"})
MOST_BYTES = 4096


def can_ask() -> bool:
    """Whether there is a terminal to read from, and one to write to."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def ask(lines: Iterable[str], cancel: Cancellation) -> bool:
    """Ask the question on stderr; True only for ``y`` or ``yes``, typed after it was asked."""
    if not can_ask():
        return False
    fd, question = sys.stdin.fileno(), "\n".join(lines) + " [y/N] "

    def put(*_: object) -> None:
        with suppress(termios.error):
            termios.tcflush(fd, termios.TCIFLUSH)  # what was typed before is no answer to this
        sys.stderr.write(question)
        sys.stderr.flush()

    before = signal.signal(signal.SIGCONT, put)  # after fg, nothing else shows it again
    try:
        put()
        has_answer = cancel.wait(None, fd)
    finally:
        signal.signal(signal.SIGCONT, before)
    if not has_answer:
        sys.stderr.write("\n")
        return False
    try:
        answer = os.read(fd, MOST_BYTES)
    except OSError:  # the terminal has gone
        return False
    if not answer.endswith(b"\n"):
        sys.stderr.write("\n")
    return answer.decode("utf-8", "replace").strip().lower() in YES
