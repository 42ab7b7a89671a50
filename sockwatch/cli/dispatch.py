"""Which command runs, and what becomes of its errors."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from typing import Final

from sockwatch.cli import (
    export,
    failures,
    free,
    hold,
    lab,
    metrics,
    ports,
    run,
    screen,
    snapshot,
    wait,
    why,
)  # fmt: skip
from sockwatch.cli.arguments import parse
from sockwatch.cli.command import Command, UsageError
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data
from sockwatch.cli.source import CONTRADICTION, check_source
from sockwatch.model import SockwatchError, shortage

# As --help lists them.
COMMANDS: Final[tuple[Command, ...]] = (
    ports, why, wait, free, run, hold, lab, failures, metrics, export, snapshot,
)  # fmt: skip


def dispatch(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    is_far = False
    try:
        if sys.stdout is None:
            raise SockwatchError("cannot write to standard output: it is closed")  # noqa: TRY301
        options = parse(arguments, COMMANDS, why)
        is_far = options.source is not None or options.host is not None
        return _run(options)
    except UsageError as error:
        narrate(str(error))
        return ExitCode.USAGE
    except SockwatchError as error:
        narrate(str(error))
        return ExitCode.UNKNOWN
    except ModuleNotFoundError as error:
        narrate(f"{error}; root's run uses neither PYTHONPATH nor the site-packages of a user")
        return ExitCode.UNKNOWN
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user who did not ask
        if "--debug" in arguments:
            import traceback

            traceback.print_exc()
        bug = f"this is a bug: {type(error).__name__}: {error}; --debug shows the traceback"
        narrate(shortage(error) or (f"{CONTRADICTION}: {type(error).__name__}" if is_far else bug))
        return ExitCode.UNKNOWN


def _run(options: argparse.Namespace) -> int:
    if options.command is not None or options.version or options.print_config:
        # A reader that goes away ends us in silence, as a pipe wants.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if options.version:
        from sockwatch.cli.version import version_lines

        for line in version_lines():
            write_data(f"{line}\n")
        return ExitCode.YES
    if options.print_config:
        write_data(options.config)
        return ExitCode.YES
    check_source(options)
    if options.command not in (ports.NAME, why.NAME):
        gc.enable()
    if options.command is None:
        return screen.run(options)
    command = next(command for command in COMMANDS if options.command == command.NAME)
    return command.run(options)
