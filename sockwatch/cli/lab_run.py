"""Run the scenarios of the lab, prediction beside the kernel's answer."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, Final

from sockwatch.cli.command import UsageError, is_terminal
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.lab_document import list_document, run_document, runs_document
from sockwatch.cli.output import narrate, write_data, write_json
from sockwatch.lab.languages import has_chinese, language_of
from sockwatch.lab.languages.scenarios import translated
from sockwatch.lab.languages.translation import Translation, translation
from sockwatch.lab.model import LabError
from sockwatch.lab.run import Run
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario, all_scenarios, scenario_named
from sockwatch.lab.session import Session
from sockwatch.view.lines import Line, wrapped
from sockwatch.view.rehearsal import (
    NETWORK_NAMES,
    conclusion,
    reason_lines,
    scenario_lines,
    step_lines,
)

WIDTH: Final = 80
ON_HOST: Final = "on the host's own loopback: meanwhile some real ports from 10000 up are in use"


def run(options: argparse.Namespace) -> ExitCode:
    """List the scenarios or run some. Raises UsageError, LabError, KernelError."""
    say = _translation(options)
    if options.lab_command == "list":
        return _list(say, as_json=options.json)
    if options.readonly:
        raise UsageError("--readonly disables the lab, since it starts servers")
    if options.all == bool(options.name):
        raise UsageError("name one scenario, or --all; sockwatch lab list prints their names")
    if options.step and (options.json or not is_terminal(sys.stdin)):
        raise UsageError("--step needs a terminal: leave out --json and redirections")
    try:
        scenarios = all_scenarios() if options.all else (scenario_named(options.name),)
    except LabError as error:
        raise UsageError(str(error)) from error
    if options.on_host:
        narrate(say(ON_HOST))
    runs = [_run_scenario(translated(scenario, say), say, options) for scenario in scenarios]
    if options.json:
        _write_json(runs_document(runs) if options.all else run_document(runs[0]))
    return _exit_code(runs)


def _translation(options: argparse.Namespace) -> Translation:
    """What is printed for people is in the language of `options` or of the locale."""
    if options.json:
        return translation("en")
    encoding = sys.stdout.encoding
    if options.lang == "zh" and not has_chinese(encoding):
        raise UsageError(f"{encoding} has no Chinese; put LC_ALL=C.UTF-8 before the command")
    return translation(options.lang or language_of(os.environ, encoding))


def _list(say: Translation, *, as_json: bool) -> ExitCode:
    scenarios = all_scenarios()
    if as_json:
        _write_json(list_document(scenarios))
    else:
        width = max(len(scenario.name) for scenario in scenarios)
        write_data("".join(f"{s.name:{width}}  {say(s.title)}\n" for s in scenarios))
    return ExitCode.YES


def _run_scenario(scenario: Scenario, say: Translation, options: argparse.Namespace) -> Run:
    """Run it in a sandbox of its own, and print each step as soon as it is done."""
    with Sandbox("host" if options.on_host else "own") as sandbox:
        run = Run(scenario, Session(sandbox))
        if not options.json:
            _write_lines(_introduction(run, sandbox, say))
        while not run.done:
            if options.step and not _confirmed(run, say):
                run.skip_rest("you stopped")
                break
            report = run.next()
            if not options.json:
                _write_lines((*step_lines(report, say), *reason_lines(report, say)))
    if not options.json:
        _write_lines([Line("text", conclusion(run, say))])
    return run


def _introduction(run: Run, sandbox: Sandbox, say: Translation) -> Iterable[Line]:
    scenario = run.scenario
    yield Line("title", f"{scenario.name}: {scenario.title}")
    yield from scenario_lines(scenario, say)
    network = say(NETWORK_NAMES[sandbox.network])
    if sandbox.own_users:
        network = say("{network}, as an ordinary user", network=network)
    yield Line("text", say("sandbox: {network}", network=network), 1)
    for number, on_host in run.host_ports.items():
        text = say("port {number} is mapped to port {on_host}", number=number, on_host=on_host)
        yield Line("text", text, 1)


def _confirmed(run: Run, say: Translation) -> bool:
    step = run.scenario.steps[len(run.reports)]
    sys.stderr.write(say("next: {step}  [Enter, or q] ", step=step.text))
    sys.stderr.flush()
    reply = sys.stdin.readline()
    return bool(reply) and reply.strip().lower() != "q"


def _exit_code(runs: list[Run]) -> ExitCode:
    if not all(run.passed for run in runs):
        return ExitCode.NO
    return ExitCode.YES if any(run.reports for run in runs) else ExitCode.UNKNOWN


def _write_lines(lines: Iterable[Line]) -> None:
    """Print the lines and an empty one."""
    write_data("".join(f"{line}\n" for line in wrapped(lines, WIDTH)) + "\n")


def _write_json(document: dict[str, Any]) -> None:
    write_json(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
