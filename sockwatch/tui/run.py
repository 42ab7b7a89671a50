"""Start the screens."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Final

from sockwatch.tui.options import Options
from sockwatch.tui.watched import Take

CRASHED: Final = 3  # as every command that could not determine its answer


def run(options: Options, take: Take | None = None) -> int:
    """Show the screens until the user quits; returns the exit code."""
    # Textual takes 190 ms to import, so nothing at the top of this module imports it.
    from sockwatch.tui.app import SockwatchApp  # noqa: PLC0415
    from sockwatch.tui.symbols import draws_unicode  # noqa: PLC0415

    if take is None:
        from sockwatch.kernel.snapshot import SnapshotReader  # noqa: PLC0415 - the kernel 60 ms

        take = SnapshotReader().take
    if not draws_unicode(sys.stdout.encoding):
        options = replace(options, ascii=True)
    app = SockwatchApp(options, take)
    app.run(mouse=options.mouse)
    app.labs.join()
    return CRASHED if app.crashed else app.return_code or 0
