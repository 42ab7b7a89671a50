"""`sockwatch lab`: rehearse a conflict on real servers, prediction beside the kernel's answer."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from sockwatch.cli.arguments import UsageError
from sockwatch.cli.document import SCHEMA
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.output import narrate, write_data
from sockwatch.lab import narration
from sockwatch.lab.model import LabError
from sockwatch.lab.rehearsal import Play, Rehearsal
from sockwatch.lab.scenario import Scenario, all_scenarios, scenario
from sockwatch.lab.stage import Stage

ON_HOST = "on the host's own loopback: some ports from 10000 up are really in use meanwhile"


def run(options: argparse.Namespace) -> ExitCode:
    """List the scenarios or run some. Raises UsageError, LabError, KernelError."""
    if options.lab_command == "list":
        return _list(as_json=options.json)
    if options.readonly:
        raise UsageError("--readonly switches the lab off: it starts servers")
    if options.all == bool(options.name):
        raise UsageError("name one scenario, or all with --all; sockwatch lab list names them")
    if options.step and (options.json or not sys.stdin.isatty()):
        raise UsageError("--step asks at the terminal: leave out --json and redirections")
    try:
        chosen = all_scenarios() if options.all else (scenario(options.name),)
    except LabError as error:
        raise UsageError(str(error)) from error
    if options.on_host:
        narrate(ON_HOST)
    plays = []
    for one in chosen:
        plays.append(_play(one, options))
        if not options.json:
            write_data(f"{narration.conclusion(plays[-1])}\n\n")
    if options.json:
        write_data(_document(plays, several=options.all))
    return _exit_code(plays)


def _list(*, as_json: bool) -> ExitCode:
    found = all_scenarios()
    if as_json:
        values = [narration.scenario_values(one) for one in found]
        write_data(_dump({"schema": SCHEMA, "scenarios": values}))
    else:
        width = max(len(one.name) for one in found)
        write_data("".join(f"{one.name:{width}}  {one.title}\n" for one in found))
    return ExitCode.YES


def _play(one: Scenario, options: argparse.Namespace) -> Play:
    """The scenario on a stage of its own, told as it goes."""
    with Stage("host" if options.on_host else "own") as stage:
        play = Play(one, Rehearsal(stage))
        if not options.json:
            lines = [*narration.introduction(one), f"  stage: {narration.place_text(stage)}"]
            lines += [f"  port {a} is played by port {b}" for a, b in play.played_by.items()]
            lines.append("")
            write_data("".join(f"{line}\n" for line in lines))
        while not play.done:
            if options.step and not _go_on(one, len(play.reports)):
                play.skipped = f"from step {len(play.reports) + 1} on: you stopped"
                break
            report = play.next()
            if not options.json:
                write_data("".join(f"{line}\n" for line in (*narration.step_lines(report), "")))
    return play


def _go_on(one: Scenario, number: int) -> bool:
    sys.stderr.write(f"next: {one.steps[number].text}  [Enter, or q] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    return bool(answer) and answer.strip().lower() != "q"


def _exit_code(plays: list[Play]) -> ExitCode:
    if not all(play.passed for play in plays):
        return ExitCode.NO
    return ExitCode.YES if any(play.reports for play in plays) else ExitCode.UNKNOWN


def _document(plays: list[Play], *, several: bool) -> str:
    head: dict[str, Any] = {"schema": SCHEMA, "kernel": os.uname().release}
    values = [narration.play_values(play) for play in plays]
    if not several:
        return _dump(head | values[0])
    passed = all(play.passed for play in plays)
    return _dump(head | {"scenarios": values, "passed": passed})


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
