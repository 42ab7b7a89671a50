"""The command `sockwatch`: one module a command, the only writers to stdout and stderr.

Nothing is imported before isolate() that Python has not imported already.
"""

import gc
import os
import sys

from sockwatch.cli.isolation import isolate

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, that of the process unless given; returns the exit code."""
    if arguments is None:
        isolate()
        if os.path.basename(sys.argv[0]) == "sockwatch":
            sys.argv[0] = os.path.abspath(sys.argv[0])  # for advice, wherever we are by then
        gc.disable()  # imports make many objects and no garbage; a command that lasts turns it on
        arguments = sys.argv[1:]
    try:
        from sockwatch.cli.dispatch import dispatch

        return dispatch(arguments)
    except KeyboardInterrupt:  # during the imports
        from sockwatch.cli.exit_codes import ExitCode

        return ExitCode.INTERRUPTED
