"""`sockwatch hold`: keep a port bound until it is needed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Final

from sockwatch.cli import isolation, why
from sockwatch.cli.command import Parser, UsageError, add_json
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_json
from sockwatch.cli.run import check_proc
from sockwatch.model import KernelError, SockwatchError
from sockwatch.text import clean
from sockwatch.units import endpoint

if TYPE_CHECKING:
    from sockwatch.act.run import Ending
    from sockwatch.act.telling import Teller
    from sockwatch.cli.endpoint import Endpoint

NAME = "hold"
SUMMARY = "keep a port bound, so that nobody takes it, or hand it to a program"
DESCRIPTION = """\
Keep PORT bound, and do not listen, until interrupted. With CMD: run it, and
hand the port over to the first bind() of CMD or below it that asks for the
same."""
EPILOG = """\
Exits with 1 and says why if the port cannot be bound; with CMD, as sockwatch
run."""
KINDS: Final = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
}
FIRST_PASSED_FD: Final = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


def add_arguments(parser: Parser) -> None:
    """The port, and how it is handed over; the words after ``--`` are no options."""
    parser.usage = f"sockwatch {NAME} [options] [ADDRESS:]PORT [-- CMD ...]"
    parser.add_argument(
        "port", metavar="PORT", help="8080 (of [::], IPv4 too), 0.0.0.0:8080, [::1]:8080, 53/udp"
    )
    parser.add_argument("--udp", action="store_true", help="a UDP socket")
    parser.add_argument("--v6only", action="store_true", help="with IPV6_V6ONLY")
    parser.add_argument(
        "--listen-fds",
        action="store_true",
        help="hand it to CMD as fd 3, as systemd does: sd_listen_fds(3)",
    )
    add_json(parser, "print what is held as one JSON document (schema 2)")


def run(options: argparse.Namespace) -> int:
    """Hold the port. Raises UsageError, SockwatchError; KeyboardInterrupt ends it."""
    from sockwatch.act.handover import bind_to_hold
    from sockwatch.cli.endpoint import parse_endpoints

    if options.listen_fds and not options.program:
        raise UsageError("--listen-fds needs a program; type -- CMD after the port")
    protocol = "udp" if options.udp else None
    wanted = parse_endpoints((options.port,), protocol, v6only=options.v6only)  # type: ignore[arg-type]
    if len(wanted) != 1 or wanted[0].port == 0:
        raise UsageError("one port can be held; type sockwatch hold 8080")
    address, sock = _socket(wanted[0], v6only=options.v6only)
    with sock:
        target = (address.partition("%")[0], wanted[0].port)
        try:
            bind_to_hold(sock, target, lambda: _only_time_waits(wanted[0], address))
        except OverflowError as error:
            raise UsageError(str(error)) from error
        except OSError as error:
            narrate(f"{endpoint(address, wanted[0].port)} cannot be held: {error.strerror}")
            return _explain(options)
        if options.json:
            write_json(_document(wanted[0], address))
        if not options.program:
            narrate(f"holding {endpoint(address, wanted[0].port)}; Ctrl+C releases it")
            while True:
                signal.pause()
        return _run(options, sock)


def _socket(wanted: Endpoint, *, v6only: bool) -> tuple[str, socket.socket]:
    """The address to bind, and a socket for it. A port alone stands for ``::``, and IPv4 too."""
    kind, protocol = KINDS[wanted.protocol]
    addresses = [wanted.address]
    if wanted.also == "::":
        addresses.insert(0, wanted.also)
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            refusal = error
            continue  # the kernel has no IPv6
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        return address, sock
    raise SockwatchError(f"no socket can be made: {refusal.strerror}") from refusal


def _only_time_waits(wanted: Endpoint, address: str) -> bool:
    """Whether nothing but TIME_WAITs blocks the port: who has bound it may want to listen yet."""
    from sockwatch.bind import BindRequest, explain_bind
    from sockwatch.kernel.surroundings import take_snapshot

    try:
        snapshot = take_snapshot(wanted.port)
    except KernelError:
        return False
    verdict = explain_bind(BindRequest(wanted.protocol, address, wanted.port), snapshot)
    return all(blocker.owner.state == "TIME_WAIT" for blocker in verdict.blockers)


def _explain(options: argparse.Namespace) -> ExitCode:
    """Print what `why` says; the exit code is NO, whatever has changed since."""
    asked = argparse.Namespace(
        endpoints=[options.port], udp=options.udp, v6only=options.v6only, json=options.json,
        debug=options.debug, reuseaddr=False, reuseport=False, freebind=False, uid=None,
        device=None, netns=None, lang_hint=None, evidence=False, source=None, host=None,
    )  # fmt: skip
    why.run(asked)
    return ExitCode.NO


def _document(wanted: Endpoint, address: str) -> str:
    held = {"schema": 2, "protocol": wanted.protocol, "address": address, "port": wanted.port}
    return json.dumps(held | {"pid": os.getpid()}) + "\n"


def _run(options: argparse.Namespace, sock: socket.socket) -> int:
    from sockwatch.act.handover import Handover
    from sockwatch.act.run import run_alone, run_supervised

    check_proc()
    command: list[str] = options.program
    environment = isolation.callers_environment()
    ending: Ending
    if options.listen_fds:
        fd = sock.detach()
        if fd != FIRST_PASSED_FD:
            os.dup2(fd, FIRST_PASSED_FD)
            os.close(fd)
        os.set_inheritable(FIRST_PASSED_FD, True)
        passed = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "held"}
        ending = run_alone(command, environment | passed)
    else:

        def make_teller() -> Teller:
            from sockwatch.cli.run_told import FailureOutput, FailureTeller

            return FailureTeller(FailureOutput(2, as_json=False))

        ending = run_supervised(
            command,
            environment,
            make_teller,
            handover=Handover(sock, narrate),
            say_blind=lambda refusal: narrate(
                f"the port is released before CMD starts, so that somebody may take it: {refusal}"
            ),
        )
    if ending.error is not None:
        narrate(f"{clean(command[0])} cannot be run: {ending.error}")
    return ending.status
