"""`sockwatch failures`: a line for every bind() and listen() that fails, as it happens."""

from __future__ import annotations

import argparse
import math
import os
import select
import signal
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from sockwatch.cli.command import Parser, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data, write_json
from sockwatch.model import SockwatchError
from sockwatch.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from sockwatch.bind.failure import ExplainedFailure
    from sockwatch.watch import FailureWatch

NAME = "failures"
SUMMARY = "every bind() and listen() that fails, live (root)"
DESCRIPTION = """\
Print a line for every bind() and listen() on this host that fails, with its
errno and what blocked or refused it at that moment."""
EPILOG = "Needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN; exits with 3 without them."
CHECK_S: Final = 0.5  # how often to check for what no failure reports: losses, a closed pipe
ATTACHED: Final = (
    "watching every bind() and listen() on this host; each system call costs about "
    "0.1 us more until this exits"
)


def add_arguments(parser: Parser) -> None:
    """``--json``, ``--journal``, ``--for`` and ``--count``."""
    form = parser.add_mutually_exclusive_group()
    add_json(form, "print one JSON document per line (schema 2)")
    form.add_argument(
        "--journal",
        action="store_true",
        help="write to the journal of systemd, where journalctl -u shows it with the unit",
    )
    parser.add_argument(
        "--for", dest="seconds", type=_seconds, metavar="SECONDS", help="exit after this time"
    )
    parser.add_argument("--count", type=_count, metavar="N", help="exit after N failures")


def run(options: argparse.Namespace) -> ExitCode:
    """Print failures until the time or the count is reached.

    Raises SockwatchError if this host, or this user, cannot watch for them, or has no journal.
    """
    from sockwatch.cli.failure_document import failure_document
    from sockwatch.cli.journal import Journal
    from sockwatch.cli.look import VERIFIER_LOG
    from sockwatch.kernel.bpf.errors import BpfUnavailable
    from sockwatch.kernel.host import current_netns
    from sockwatch.view.failures import failure_line, failure_text
    from sockwatch.watch import FailureWatch, refusal

    journal = Journal() if options.journal else None
    if journal is not None:
        journal.check()
    try:
        watch = FailureWatch()
    except BpfUnavailable as error:
        if options.debug and error.log:
            narrate(VERIFIER_LOG, error.log)
        raise SockwatchError(refusal(error)) from error
    home = current_netns().inode

    def write(explained: ExplainedFailure) -> None:
        if journal is not None:
            journal.write(failure_text(explained, home), explained)
        elif options.json:
            write_json(failure_document(explained))
        else:
            write_data(f"{failure_line(explained, home)}\n")

    with closing(watch):
        narrate(ATTACHED)
        _follow(watch, options, write)
    return ExitCode.YES


def _follow(
    watch: FailureWatch, options: argparse.Namespace, write: Callable[[ExplainedFailure], None]
) -> None:
    started = time.monotonic()
    left, lost = options.count, 0
    while left is None or left > 0:
        remaining_s = CHECK_S
        if options.seconds is not None:
            remaining_s = min(remaining_s, started + options.seconds - time.monotonic())
            if remaining_s <= 0:
                return
        for explained in watch.wait(remaining_s)[:left]:
            write(explained)
            left = None if left is None else left - 1
        if watch.lost > lost:
            narrate(f"{plural(watch.lost - lost, 'failure')} not listed: they came too fast")
            lost = watch.lost
        if not options.journal:
            _exit_with_the_reader()


def _exit_with_the_reader() -> None:
    """Do not stay attached for a reader that is gone: a pipe tells only when it is written to."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        os.kill(os.getpid(), signal.SIGPIPE)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)
