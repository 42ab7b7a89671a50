"""`sockwatch` alone: the screen."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sockwatch.cli.command import UsageError

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Open the screen; returns its exit code. Raises UsageError where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the live screen needs a terminal; run sockwatch ports to print the table")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(
            "TERM is dumb, so there is no live screen; run sockwatch ports to print the table"
        )
    from sockwatch import tui

    return tui.run(
        tui.Options(
            interval_s=options.interval,
            ascii=options.ascii,
            mouse=not options.no_mouse,
            readonly=options.readonly,
            debug=options.debug,
            watch_failures=options.watch_failures,
            no_color=bool(os.environ.get("NO_COLOR")),
        )
    )
