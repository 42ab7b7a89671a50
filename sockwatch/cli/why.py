"""`sockwatch why`: would this bind, what is in the way, why, what to do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Final

from sockwatch.bind import BindRequest, Verdict
from sockwatch.cli.arguments import UsageError
from sockwatch.cli.document import verdict_document
from sockwatch.cli.endpoint import parse_endpoint
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.look import look
from sockwatch.cli.output import write_data
from sockwatch.model import Protocol, SockwatchError
from sockwatch.view.lines import wrapped
from sockwatch.view.verdict import Answer, verdict_lines

WIDTH: Final = 80
SHOWN_BLOCKERS: Final = 8


def run(options: argparse.Namespace) -> ExitCode:
    """Print the verdict; the exit code is its answer."""
    protocol: Protocol = "udp" if options.udp else "tcp"
    address, port = parse_endpoint(options.endpoint, protocol, v6only=options.v6only)
    try:
        request = BindRequest(
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
    # The kernel chooses port 0 from all of them.
    snapshot = look(port or None, debug=options.debug)
    answer = Answer.to(request, snapshot)
    if options.json:
        write_data(json.dumps(verdict_document(answer), ensure_ascii=False, indent=1) + "\n")
    else:
        write_data("".join(f"{line}\n" for line in _lines(answer)))
    return _exit_code(answer.verdict)


def _exit_code(verdict: Verdict) -> ExitCode:
    answers = {verdict.bind, verdict.listen or "ok"}
    if answers == {"ok"}:
        return ExitCode.YES
    return ExitCode.NO if answers - {"ok", "depends"} else ExitCode.UNKNOWN


def _lines(answer: Answer) -> Iterator[str]:
    for line in wrapped(verdict_lines(answer, most=SHOWN_BLOCKERS), WIDTH):
        if line.kind == "section":
            yield ""
        yield str(line)
