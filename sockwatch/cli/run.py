"""`sockwatch run`: run a program, and explain its bind() and listen() calls that fail."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sockwatch.cli import isolation
from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.output import narrate
from sockwatch.model import SockwatchError
from sockwatch.text import clean
from sockwatch.units import plural, verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.act.run import Ending
    from sockwatch.act.telling import Teller

NAME = "run"
SUMMARY = "run a program; explain its bind() and listen() that fail"
DESCRIPTION = """\
Run CMD as it is. When a bind() or listen() of CMD or of a process below it
fails, say why at that moment, once for each address."""
EPILOG = """\
Exits with the status of CMD, 128 + N if signal N ended it; 126 or 127 if it
cannot be started."""
WAYS: Final = ("seccomp", "bpf")


def add_arguments(parser: Parser) -> None:
    """``--wait``, ``--json``, ``--to`` and ``--by``; the words after ``--`` are no options."""
    parser.usage = f"sockwatch {NAME} [--wait[=S]] [--json] [--to FILE] [--by WAY] -- CMD ..."
    parser.add_argument(
        "--wait",
        nargs="?",
        const=math.inf,
        default=0.0,
        type=_seconds,
        metavar="S",
        help="hold a call that gets EADDRINUSE or EADDRNOTAVAIL until it would succeed, "
        "for S seconds at most",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON document per line (schema 2)"
    )
    parser.add_argument(
        "--to", metavar="FILE", help="append what is said to FILE (default: standard error)"
    )
    parser.add_argument(
        "--by",
        choices=WAYS,
        help="seccomp: a filter on CMD, which keeps it from gaining privileges; "
        "bpf: a watch on the host, as root (default: bpf where it can be, without --wait)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the program; returns its exit status. Raises UsageError, SockwatchError."""
    command: list[str] = options.program
    if not command:
        raise UsageError(f"what is to be run? type sockwatch {NAME} -- CMD")
    if options.by == "bpf" and options.wait:
        raise UsageError("--wait needs the filter of --by seccomp")
    to = 2 if options.to is None else _open(options.to)
    ending = _run(options, command, to)
    for line in _ending_lines(ending, command, as_json=options.json):
        _say(line, to)
    return ending.status


def _run(options: argparse.Namespace, command: list[str], to: int) -> Ending:
    from sockwatch.act.run import run_supervised, run_watched

    check_proc()
    environment = isolation.callers_environment()
    if not options.wait and options.by != "seccomp" and (options.by or os.geteuid() == 0):
        from sockwatch.cli.run_watcher import FailureWatcher

        try:
            watcher = FailureWatcher(to, as_json=options.json)
        except SockwatchError:
            if options.by:
                raise
        else:
            return run_watched(command, environment, watcher, keep=(to,))

    def make_teller() -> Teller:
        from sockwatch.cli.run_told import FailureOutput, FailureTeller

        return FailureTeller(FailureOutput(to, as_json=options.json))

    for warning in _warnings(command[0], environment.get("PATH")):
        narrate(warning)
    return run_supervised(
        command,
        environment,
        make_teller,
        wait_s=options.wait,
        keep=(to,),
        say_blind=lambda why: narrate(f"failures will not be seen: {why}"),
    )


def check_proc() -> None:
    """Raise SockwatchError if /proc is not mounted: no program can be watched then."""
    if not os.path.isdir("/proc/self/fd"):
        raise SockwatchError("/proc is not mounted; type mount -t proc proc /proc")


def _warnings(name: str, path: str | None) -> Iterator[str]:
    """What the filter takes from the program."""
    from sockwatch.kernel.seccomp.filter import needs_no_new_privs

    if not needs_no_new_privs():
        return
    file = shutil.which(name, path=path)
    if file is None:
        return
    gains = ""
    with suppress(OSError):
        mode = os.stat(file).st_mode
        gains = "is setuid" if mode & stat.S_ISUID else "is setgid" if mode & stat.S_ISGID else ""
    with suppress(OSError):
        os.getxattr(file, "security.capability")
        gains = "has file capabilities"
    if gains:
        yield (
            f"{clean(file)} {gains}, which does not count under this filter: what it may do only "
            f"by that will fail; as root, sockwatch {NAME} needs no filter"
        )


def _ending_lines(ending: Ending, command: list[str], *, as_json: bool) -> Iterator[str]:
    name, tally = clean(os.path.basename(command[0])), ending.tally
    if as_json:
        yield json.dumps(
            {
                "schema": 2,
                "program": clean(command[0]),
                "status": ending.status,
                "error": ending.error,
                "failures": tally.failures,
                "addresses": tally.addresses,
                "waited": tally.waited,
                "unseen": [{"reason": why, "count": count} for why, count in tally.unseen],
            }
        )
        return
    if ending.error is not None:
        yield f"sockwatch: {clean(command[0])} cannot be run: {ending.error}"
        return
    text = "no bind() or listen() failed"
    if tally.failures:
        text = (
            f"{plural(tally.failures, 'bind() or listen() call')} failed,"
            f" on {plural(tally.addresses, 'address', 'addresses')}"
        )
    if tally.waited:
        text += f"; {tally.waited} {verb(tally.waited, 'has')} waited and succeeded"
    for why, count in tally.unseen:
        text += f"; {count} {'was' if count == 1 else 'were'} not seen: {why}"
    yield f"sockwatch: {name} ended with {ending.status}; {text}"


def _say(line: str, to: int) -> None:
    data = f"{line}\n".encode(errors="replace")
    with suppress(OSError):
        os.write(to, data)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"--to {clean(path)}: {reason}") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a positive number of seconds; put -- before the program"
        )
    return seconds
