"""The requests that a command line asks about: which port, and with which socket options."""

from __future__ import annotations

import argparse
import pwd
from typing import TYPE_CHECKING

from sockwatch.cli.command import Parser, UsageError
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.place import Place, add_netns
from sockwatch.model import SockwatchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sockwatch.bind import Verdict
    from sockwatch.bind.pair import RequestPair
    from sockwatch.model import Protocol


class NamedUid(int):
    """The uid of a user of this host, who was typed by name."""


def add_request(parser: Parser, *, several: bool = True) -> None:
    """Add the ports, or a port, and the options of a request."""
    parser.add_argument(
        "endpoints",
        metavar="PORT",
        nargs="+" if several else 1,
        help="8080, [::1]:8080, localhost:http, 53/udp, a URL"
        + (", 80,443, 80-90" if several else ""),
    )
    parser.add_argument(
        "--udp", action="store_true", help="a UDP socket (default: as PORT says, else TCP)"
    )
    parser.add_argument("--reuseaddr", action="store_true", help="with SO_REUSEADDR")
    parser.add_argument("--reuseport", action="store_true", help="with SO_REUSEPORT")
    parser.add_argument("--v6only", action="store_true", help="with IPV6_V6ONLY")
    parser.add_argument(
        "--freebind", action="store_true", help="with IP_FREEBIND or IP_TRANSPARENT"
    )
    parser.add_argument("--uid", type=_uid, metavar="UID", help="as this user (default: you)")
    parser.add_argument("--device", metavar="IF", help="bound to this network device")
    add_netns(parser)


def asked_requests(options: argparse.Namespace, place: Place) -> list[RequestPair]:
    """The requests of those options, each once. Raises UsageError."""
    from sockwatch.bind import BindRequest
    from sockwatch.bind.pair import RequestPair
    from sockwatch.cli.endpoint import parse_endpoints

    protocol: Protocol | None = "udp" if options.udp else None
    endpoints = parse_endpoints(options.endpoints, protocol, v6only=options.v6only, place=place)
    try:
        return [
            RequestPair(
                BindRequest(
                    endpoint.protocol,
                    endpoint.address,
                    endpoint.port,
                    reuseaddr=options.reuseaddr,
                    reuseport=options.reuseport,
                    v6only=options.v6only,
                    freebind=options.freebind,
                    uid=options.uid,
                    device=options.device,
                ),
                endpoint.also,
            )
            for endpoint in endpoints
        ]
    except SockwatchError as error:
        raise UsageError(str(error)) from error


def verdicts_exit_code(verdicts: Iterable[Verdict]) -> ExitCode:
    """NO if any of the requests fails, else UNKNOWN if one of them depends, else YES."""
    codes = set(map(_exit_code, verdicts))
    return next(code for code in (ExitCode.NO, ExitCode.UNKNOWN, ExitCode.YES) if code in codes)


def _exit_code(verdict: Verdict) -> ExitCode:
    outcomes = {verdict.bind, verdict.listen or "ok"}
    if outcomes == {"ok"}:
        return ExitCode.YES
    return ExitCode.NO if outcomes - {"ok", "depends"} else ExitCode.UNKNOWN


def _uid(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 2**32:
        return int(text)
    try:
        return NamedUid(pwd.getpwnam(text).pw_uid)
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a user nor a uid") from None
