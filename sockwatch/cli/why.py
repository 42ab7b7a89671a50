"""`sockwatch why`: would this bind, what is in the way, why, what to do."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator

from sockwatch.bind import BindRequest, Verdict
from sockwatch.cli.arguments import UsageError
from sockwatch.cli.document import verdict_document
from sockwatch.cli.endpoint import parse_endpoint
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.look import look
from sockwatch.cli.output import write_data
from sockwatch.model import Protocol, SockwatchError
from sockwatch.units import endpoint
from sockwatch.view.verdict import PAIR_NAMES, Answer, by_rule

WIDTH = 80
SHOWN_BLOCKERS = 8


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
    verdict = answer.verdict
    yield from _wrap(_headline(verdict), "")
    yield ""
    yield "  " + "".join(f"{name:18}" for name in PAIR_NAMES.values()).rstrip()
    yield "  " + "".join(f"{v.outcome:18}" for v in answer.matrix.values()).rstrip()
    if verdict.reason is not None:
        yield from _section("reason", [verdict.reason.text])
    if verdict.blockers:
        yield from ["", "in the way"]
        for rule, lines in by_rule(verdict.blockers, SHOWN_BLOCKERS):
            yield from _wrap(rule, "  ")
            for line in lines:
                yield from _wrap(line, "    ")
    if verdict.conditions:
        yield from ["", "it depends"]
        for condition in verdict.conditions:
            text = f"{condition.question} yes: {condition.yes}, no: {condition.no}"
            yield from _wrap(text, "  ")
    if verdict.cause is not None:
        yield from _section("cause", [verdict.cause.text])
    if verdict.fixes:
        yield from ["", "what to do"]
        for fix in verdict.fixes:
            yield from _wrap(fix.text, "  ")
            if fix.command:
                yield f"      {fix.command}"
    if verdict.gaps:
        yield from _section("not seen", [f"{gap.text} ({gap.remedy})" for gap in verdict.gaps])


def _headline(verdict: Verdict) -> str:
    request = verdict.request
    asked = [name for name in ("reuseaddr", "reuseport", "v6only") if getattr(request, name)]
    asked += [f"uid {request.uid}"] if request.uid is not None else []
    asked += [f"device {request.device}"] if request.device is not None else []
    what = f"{request.protocol} {endpoint(request.address, request.port)}"
    if asked:
        what += f" ({', '.join(asked)})"
    calls = "bind() and listen()" if request.protocol == "tcp" else "bind()"
    if verdict.outcome == "ok":
        text = f"{what}: {calls} would succeed now"
    elif verdict.bind == "ok":
        text = f"{what}: bind() would succeed now, listen() would answer {verdict.listen}"
    elif verdict.bind == "depends":
        text = f"{what}: it depends on what could not be seen"
    else:
        text = f"{what}: bind() would answer {verdict.bind} now"
    return f"{text} (Linux {verdict.kernel})"


def _section(title: str, texts: list[str]) -> Iterator[str]:
    yield from ["", title]
    for text in texts:
        yield from _wrap(text, "  ")


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
