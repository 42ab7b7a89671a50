"""A session in lines for people, and in values for JSON."""

from __future__ import annotations

import errno
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sockwatch.lab.sandbox import Sandbox
from sockwatch.view.verdict import blockers_line

if TYPE_CHECKING:
    from sockwatch.lab.scenario import Scenario
    from sockwatch.lab.session import Run, StepReport

WIDTH = 80


def network_text(sandbox: Sandbox) -> str:
    """Where the servers run, in a few words."""
    if sandbox.network == "host":
        return "the host's loopback: its ports are real"
    return "a network namespace of its own" + (", as an ordinary user" if sandbox.own_users else "")


def introduction(scenario: Scenario) -> Iterator[str]:
    """What it is about, what is claimed and what Linux does."""
    yield f"{scenario.name}: {scenario.title}"
    yield from _wrap(f"claim: {scenario.claim}", "  ")
    yield from _wrap(f"Linux: {scenario.finding}", "  ")


def step_lines(report: StepReport) -> Iterator[str]:
    """What was done, each system call, and prediction beside answer."""
    yield from _wrap(f"{report.number:2} {report.step.text}", "", "   ")
    width = max((len(call.who) for call in report.calls), default=0)
    for call in report.calls:
        yield f"     {call.who:{width}}  {call.text}"
    if report.skipped is not None:
        yield f"   skipped: {report.skipped}"
    if answer := answer_line(report):
        yield f"   {answer}"
    if report.prediction is not None and report.prediction.verdict.blockers:
        yield from _wrap(blockers_line(report.prediction.verdict.blockers), "   ")
    if report.step.why:
        yield from _wrap(report.step.why, "   ")


def answer_line(report: StepReport) -> str:
    """``predicted EADDRINUSE, kernel EADDRINUSE: agreed``; what is not as it should be says so."""
    if report.kernel is None:
        return ""
    parts = [] if report.predicted is None else [f"predicted {report.predicted}"]
    answered = report.kernel == "ok" or report.kernel.split()[-1] in errno.errorcode.values()
    parts.append(f"{'kernel' if answered else 'seen:'} {report.kernel}")
    text = ", ".join(parts)
    if report.agreed is not None:
        text += ": agreed" if report.agreed else ": NOT AS PREDICTED"
    if report.met is False:
        text += f", NOT AS EXPECTED ({report.step.expect})"
    return text


def conclusion(run: Run) -> str:
    """``passed: 8 steps, 3 of 3 predictions right``."""
    done = [report for report in run.reports if report.skipped is None]
    predicted = [report for report in done if report.agreed is not None]
    right = sum(report.agreed is True for report in predicted)
    unmet = sum(report.met is False for report in done)
    text = f"{len(done)} steps, {right} of {len(predicted)} predictions right"
    if unmet:
        text += f", {unmet} not as expected"
    if run.skipped is not None:
        text += f"; skipped {run.skipped}" if done else f"; {run.skipped}"
    if not done:
        return f"skipped: {run.skipped}"
    return f"{'passed' if run.passed else 'FAILED'}: {text}"


def run_values(run: Run) -> dict[str, Any]:
    """The run as JSON values. README.md describes them."""
    return {
        "scenario": run.scenario.name,
        "steps": [_step_values(report) for report in run.reports],
        "passed": run.passed,
        "skipped": run.skipped,
    }


def _step_values(report: StepReport) -> dict[str, Any]:
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


def scenario_values(scenario: Scenario) -> dict[str, Any]:
    """What `lab list --json` tells of a scenario."""
    return {
        "name": scenario.name,
        "title": scenario.title,
        "claim": scenario.claim,
        "finding": scenario.finding,
        "steps": len(scenario.steps),
        "needs": list(scenario.needs),
    }


def _wrap(text: str, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_on_hyphens=False,
    )
