"""`sockwatch` alone: the screen."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sockwatch.cli.command import UsageError, is_terminal

if TYPE_CHECKING:
    import argparse

_TABLE = "run sockwatch ports to print the table"


def run(options: argparse.Namespace) -> int:
    """Open the screen; returns its exit code. Raises UsageError where there is no terminal."""
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError(f"the live screen needs a terminal; {_TABLE}")
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        state = f"TERM is {term}" if term else "TERM is not set"
        raise UsageError(f"{state}, so there is no live screen; {_TABLE}")
    if options.lang == "zh" and options.ascii:
        raise UsageError("--lang zh needs more characters than --ascii allows; leave one out")
    from sockwatch import tui
    from sockwatch.lab.languages import language_of

    return tui.run(
        tui.Options(
            interval_s=options.interval,
            ascii=options.ascii,
            theme=options.theme,
            mouse=not options.no_mouse,
            readonly=options.readonly,
            debug=options.debug,
            language=options.lang or language_of(os.environ, sys.stdout.encoding),
            watch_failures=options.watch_failures,
            no_color=options.no_color,
        )
    )
