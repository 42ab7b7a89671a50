"""`sockwatch why`: would this bind; if not, why not, and what to do."""

from __future__ import annotations

import argparse
import json
import pwd
from typing import TYPE_CHECKING, Final

from sockwatch.cli.command import Parser, UsageError, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import write_data
from sockwatch.model import SockwatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.bind import BindRequest, Verdict
    from sockwatch.model import Protocol
    from sockwatch.view.verdict import Answer

NAME = "why"
SUMMARY = "would bind() succeed; if not, why not, and what to do"
DESCRIPTION = "Would bind() and listen() succeed now? Nothing is bound to find out."
EPILOG = "Exits with 0 if both would succeed, 1 if not, 3 if that cannot be determined."
WIDTH: Final = 80
SHOWN_BLOCKERS: Final = 8


def add_arguments(parser: Parser) -> None:
    """The request, and ``--json``."""
    parser.add_argument(
        "endpoint",
        metavar="[ADDRESS:]PORT",
        help="8080, 127.0.0.1:8080, [::1]:8080, localhost:http",
    )
    parser.add_argument("--udp", action="store_true", help="a UDP socket (default: TCP)")
    parser.add_argument("--reuseaddr", action="store_true", help="with SO_REUSEADDR")
    parser.add_argument("--reuseport", action="store_true", help="with SO_REUSEPORT")
    parser.add_argument("--v6only", action="store_true", help="with IPV6_V6ONLY")
    parser.add_argument("--uid", type=_uid, metavar="UID", help="as this user (default: you)")
    parser.add_argument("--device", metavar="IF", help="bound to this network device")
    add_json(parser)


def run(options: argparse.Namespace) -> ExitCode:
    """Print the verdict; the exit code is its answer. Raises UsageError, KernelError."""
    from sockwatch.cli.document import verdict_document
    from sockwatch.cli.look import take_snapshot
    from sockwatch.view.verdict import Answer

    request = _request(options)
    # The kernel chooses port 0 from all of them.
    snapshot = take_snapshot(request.port or None, debug=options.debug)
    answer = Answer.to(request, snapshot)
    if options.json:
        write_data(json.dumps(verdict_document(answer), ensure_ascii=False, indent=1) + "\n")
    else:
        write_data("".join(f"{line}\n" for line in _lines(answer)))
    return _exit_code(answer.verdict)


def _request(options: argparse.Namespace) -> BindRequest:
    from sockwatch.bind import BindRequest
    from sockwatch.cli.endpoint import parse_endpoint

    protocol: Protocol = "udp" if options.udp else "tcp"
    address, port = parse_endpoint(options.endpoint, protocol, v6only=options.v6only)
    try:
        return BindRequest(
            protocol,
            address,
            port,
            reuseaddr=options.reuseaddr,
            reuseport=options.reuseport,
            v6only=options.v6only,
            uid=options.uid,
            device=options.device,
        )
    except SockwatchError as error:
        raise UsageError(str(error)) from error


def _uid(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 2**32:
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a user nor a uid") from None


def _exit_code(verdict: Verdict) -> ExitCode:
    outcomes = {verdict.bind, verdict.listen or "ok"}
    if outcomes == {"ok"}:
        return ExitCode.YES
    return ExitCode.NO if outcomes - {"ok", "depends"} else ExitCode.UNKNOWN


def _lines(answer: Answer) -> Iterator[str]:
    from sockwatch.view.lines import wrapped
    from sockwatch.view.verdict import verdict_lines

    for line in wrapped(verdict_lines(answer, most=SHOWN_BLOCKERS), WIDTH):
        if line.kind == "section":
            yield ""
        yield str(line)
