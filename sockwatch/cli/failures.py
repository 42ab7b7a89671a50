"""`sockwatch failures`: a line for every bind() and listen() that fails, as it happens."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from contextlib import closing

from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.failure_document import failure_document
from sockwatch.cli.output import narrate, write_data
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.host import current_netns
from sockwatch.model import SockwatchError
from sockwatch.units import plural
from sockwatch.view.failures import failure_line
from sockwatch.watch import FailureWatch
from sockwatch.watch.refusal import refusal

LOOK_AROUND_S = 0.5  # between two looks at what no failure tells: losses, a reader that went away
ATTACHED = (
    "watching every bind() and listen() on this host; each system call costs about "
    "0.1 us more until this exits"
)


def run(options: argparse.Namespace) -> ExitCode:
    """Print failures until the time or the count is reached."""
    try:
        watch = FailureWatch()
    except BpfUnavailable as error:
        if options.debug and error.log:
            narrate(f"the BPF verifier said:\n{error.log}")
        raise SockwatchError(refusal(error)) from error
    with closing(watch):
        narrate(ATTACHED)
        _follow(watch, options)
    return ExitCode.YES


def _follow(watch: FailureWatch, options: argparse.Namespace) -> None:
    started, home = time.monotonic(), current_netns().inode
    left, lost = options.count, 0
    while left is None or left > 0:
        remaining_s = LOOK_AROUND_S
        if options.seconds is not None:
            remaining_s = min(remaining_s, started + options.seconds - time.monotonic())
            if remaining_s <= 0:
                return
        for explained in watch.wait(remaining_s)[:left]:
            line = (
                failure_document(explained)
                if options.json
                else failure_line(explained, home) + "\n"
            )
            write_data(line)
            left = None if left is None else left - 1
        if watch.lost > lost:
            missed = watch.lost - lost
            narrate(f"{plural(missed, 'failure')} not listed: they came too fast")
            lost += missed
        _end_with_the_reader()


def _end_with_the_reader() -> None:
    """Do not stay attached for a reader that is gone: a pipe tells only when it is written to."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        os.kill(os.getpid(), signal.SIGPIPE)
