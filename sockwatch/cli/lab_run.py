"""Run the scenarios of the lab, prediction beside the kernel's answer."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from sockwatch.cli.command import UsageError
from sockwatch.cli.document import SCHEMA
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data
from sockwatch.lab import narration
from sockwatch.lab.model import LabError
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario, all_scenarios, scenario
from sockwatch.lab.session import Run, Session

ON_HOST = "on the host's own loopback: meanwhile some real ports from 10000 up are in use"


def run(options: argparse.Namespace) -> ExitCode:
    """List the scenarios or run some. Raises UsageError, LabError, KernelError."""
    if options.lab_command == "list":
        return _list(as_json=options.json)
    if options.readonly:
        raise UsageError("--readonly disables the lab, since it starts servers")
    if options.all == bool(options.name):
        raise UsageError("name one scenario, or --all; sockwatch lab list prints their names")
    if options.step and (options.json or not sys.stdin.isatty()):
        raise UsageError("--step needs a terminal: leave out --json and redirections")
    try:
        chosen = all_scenarios() if options.all else (scenario(options.name),)
    except LabError as error:
        raise UsageError(str(error)) from error
    if options.on_host:
        narrate(ON_HOST)
    runs = []
    for one in chosen:
        runs.append(_play(one, options))
        if not options.json:
            write_data(f"{narration.conclusion(runs[-1])}\n\n")
    if options.json:
        write_data(_document(runs, several=options.all))
    return _exit_code(runs)


def _list(*, as_json: bool) -> ExitCode:
    found = all_scenarios()
    if as_json:
        values = [narration.scenario_values(one) for one in found]
        write_data(_dump({"schema": SCHEMA, "scenarios": values}))
    else:
        width = max(len(one.name) for one in found)
        write_data("".join(f"{one.name:{width}}  {one.title}\n" for one in found))
    return ExitCode.YES


def _play(one: Scenario, options: argparse.Namespace) -> Run:
    """The scenario in a sandbox of its own, told as it goes."""
    with Sandbox("host" if options.on_host else "own") as sandbox:
        run = Run(one, Session(sandbox))
        if not options.json:
            lines = [*narration.introduction(one), f"  sandbox: {narration.network_text(sandbox)}"]
            lines += [f"  port {a} is mapped to port {b}" for a, b in run.host_ports.items()]
            lines.append("")
            write_data("".join(f"{line}\n" for line in lines))
        while not run.done:
            if options.step and not _go_on(one, len(run.reports)):
                run.skipped = f"from step {len(run.reports) + 1} on: you stopped"
                break
            report = run.next()
            if not options.json:
                write_data("".join(f"{line}\n" for line in (*narration.step_lines(report), "")))
    return run


def _go_on(one: Scenario, number: int) -> bool:
    sys.stderr.write(f"next: {one.steps[number].text}  [Enter, or q] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    return bool(answer) and answer.strip().lower() != "q"


def _exit_code(runs: list[Run]) -> ExitCode:
    if not all(run.passed for run in runs):
        return ExitCode.NO
    return ExitCode.YES if any(run.reports for run in runs) else ExitCode.UNKNOWN


def _document(runs: list[Run], *, several: bool) -> str:
    head: dict[str, Any] = {"schema": SCHEMA, "kernel": os.uname().release}
    values = [narration.run_values(run) for run in runs]
    if not several:
        return _dump(head | values[0])
    passed = all(run.passed for run in runs)
    return _dump(head | {"scenarios": values, "passed": passed})


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
