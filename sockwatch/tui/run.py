"""Start the screens."""

from __future__ import annotations

from typing import Final

from sockwatch.tui.options import Options
from sockwatch.tui.watched import Take

CRASHED: Final = 3  # as every command that could not determine its answer


def run(options: Options, take: Take | None = None) -> int:
    """Show the screens until the user leaves; the exit code."""
    from sockwatch.tui.app import SockwatchApp  # noqa: PLC0415 - textual takes 190 ms to import

    if take is None:
        from sockwatch.kernel.snapshot import SnapshotReader  # noqa: PLC0415 - the kernel 60 ms

        take = SnapshotReader().take
    app = SockwatchApp(options, take)
    app.run(mouse=options.mouse)
    app.labs.join()
    return CRASHED if app.crashed else app.return_code or 0
