"""The JSON documents of `sockwatch lab`. README.md describes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from sockwatch.cli.document import SCHEMA
from sockwatch.lab.run import Run, StepReport
from sockwatch.lab.scenario import Scenario


def list_document(scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """What `lab list --json` prints."""
    return {"schema": SCHEMA, "scenarios": [_scenario(scenario) for scenario in scenarios]}


def run_document(run: Run) -> dict[str, Any]:
    """What `lab run NAME --json` prints."""
    return _head() | _run(run)


def runs_document(runs: Sequence[Run]) -> dict[str, Any]:
    """What `lab run --all --json` prints."""
    passed = all(run.passed for run in runs)
    return _head() | {"scenarios": [_run(run) for run in runs], "passed": passed}


def _head() -> dict[str, Any]:
    return {"schema": SCHEMA, "kernel": os.uname().release}


def _scenario(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "claim": scenario.claim,
        "finding": scenario.finding,
        "steps": len(scenario.steps),
        "needs": list(scenario.needs),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "scenario": run.scenario.name,
        "steps": [_step(report) for report in run.reports],
        "passed": run.passed,
        "skipped": run.skipped,
    }


def _step(report: StepReport) -> dict[str, Any]:
    return {
        "text": report.step.text,
        "why": report.step.explanation,
        "calls": [call._asdict() for call in report.calls],
        "predicted": report.predicted,
        "kernel": report.kernel,
        "agreed": report.agreed,
        "expected": report.step.expect,
        "met": report.met,
        "skipped": report.skipped,
    }
