"""`sockwatch` alone: the screen."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sockwatch.cli.command import UsageError, is_terminal
from sockwatch.cli.source import STDIN, Source

if TYPE_CHECKING:
    import argparse

    from sockwatch.tui.watched import FarHost

_TABLE = "run sockwatch ports to print the table"
_TERMINAL = "/dev/tty"


def run(options: argparse.Namespace) -> int:
    """Open the screen; returns its exit code.

    Raises UsageError where there is no terminal, SockwatchError where a source has no document.
    """
    stdin = _freed_stdin() if options.source == STDIN else None
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError(f"the live screen needs a terminal; {_TABLE}")
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        state = f"TERM is {term}" if term else "TERM is not set"
        raise UsageError(f"{state}, so there is no live screen; {_TABLE}")
    if options.lang == "zh" and options.ascii:
        raise UsageError(
            "Chinese needs more characters than --ascii allows; leave that out, or type --lang en"
        )
    if options.source is None and options.host is None:
        return _show(options)
    from sockwatch.cli.far_host import FarHost

    # ssh asks for what it needs before the screen takes the terminal.
    with Source(options, ("--every", f"{options.interval:g}"), stdin) as source:
        return _show(options, FarHost(source, options.interval))


def _show(options: argparse.Namespace, far: FarHost | None = None) -> int:
    from sockwatch import tui
    from sockwatch.lab.languages import language_of

    return tui.run(
        tui.Options(
            interval_s=options.interval,
            ascii=options.ascii,
            theme=options.theme,
            mouse=not options.no_mouse,
            readonly=options.readonly or far is not None,
            debug=options.debug,
            language=options.lang or language_of(os.environ, sys.stdout.encoding),
            watch_failures=options.watch_failures and far is None,
            no_color=options.no_color,
        ),
        far=far,
    )


def _freed_stdin() -> int | None:
    """What standard input was: keys come from the terminal from now on."""
    if sys.stdin is None or sys.stdin.isatty():
        return None  # which the source refuses
    source = os.dup(0)
    try:
        terminal = os.open(_TERMINAL, os.O_RDWR)
    except OSError as error:
        raise UsageError(f"{_TERMINAL}: {error.strerror}; {_TABLE}") from None
    os.dup2(terminal, 0)
    os.close(terminal)
    return source
