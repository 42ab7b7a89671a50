"""The command `sockwatch`: one function a command, the only writers to stdout and stderr."""

from __future__ import annotations

import signal
import sys
import traceback

from sockwatch.cli.arguments import UsageError, parse
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data
from sockwatch.model import SockwatchError

__all__ = ["ExitCode", "main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _run(arguments)
    except UsageError as error:
        narrate(str(error))
        return ExitCode.USAGE
    except SockwatchError as error:
        narrate(str(error))
        return ExitCode.UNKNOWN
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user who did not ask
        if "--debug" in arguments:
            traceback.print_exc()
        narrate(f"this is a bug: {type(error).__name__}: {error}; --debug shows the traceback")
        return ExitCode.UNKNOWN


def _run(arguments: list[str]) -> int:
    if sys.stdout is None:
        raise SockwatchError("cannot write to standard output: it is closed")
    options = parse(arguments)
    if options.version:
        from sockwatch.cli.version import version_text

        write_data(version_text())
        return ExitCode.YES
    if options.command is None:
        from sockwatch.cli import screen

        return screen.run(options)
    # A reader that goes away ends us in silence, as a pipe wants.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if options.command == "why":
        from sockwatch.cli import why

        return why.run(options)
    if options.command == "lab":
        from sockwatch.cli import lab

        return lab.run(options)
    if options.command == "failures":
        from sockwatch.cli import failures

        return failures.run(options)
    from sockwatch.cli import ports

    return ports.run(options)
