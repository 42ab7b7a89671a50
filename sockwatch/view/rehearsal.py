"""A rehearsal in words: what a scenario claims, what becomes of each step, how the run ended."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Final

from sockwatch.lab.model import Network
from sockwatch.lab.quiz import choices, is_right
from sockwatch.lab.run import Run, StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.units import plural
from sockwatch.view.lines import Line
from sockwatch.view.verdict import blockers_line, reasons

NETWORK_NAMES: Final[dict[Network, str]] = {
    "own": "own network namespace",
    "host": "host's loopback",
}
INDENT: Final = 3  # the number of a step and a space
QUESTION: Final = "what will the kernel answer?"
# 300 words a minute, since much is the same from step to step.
CHARACTERS_A_SECOND: Final = 30
SECONDS_A_LINE: Final = 0.3
_RIGHT: Final = {True: "right", False: "wrong"}


def scenario_lines(scenario: Scenario) -> Iterator[Line]:
    """What is claimed, and what Linux does."""
    yield Line("text", f"claim: {scenario.claim}", 1)
    yield Line("text", f"Linux: {scenario.finding}", 1)


def step_title(number: int, text: str) -> Line:
    """`` 3 kill the server``."""
    return Line("title", f"{number:2} {text}", hang=INDENT)


def step_lines(
    report: StepReport, *, most_calls: int | None = None, bet: str | None = None
) -> Iterator[Line]:
    """What is done, the first `most_calls` system calls or all, and prediction beside answer.

    Below stands what was `bet` on, if anything.
    """
    yield step_title(report.number, report.step.text)
    calls = report.calls[:most_calls]
    for call in calls:
        yield Line("call", f"{call.who}: {call.text}", INDENT, hang=INDENT)
    if most_calls and len(report.calls) > len(calls):
        more = plural(len(report.calls) - len(calls), "more call")
        yield Line("call", f"and {more}", INDENT)
    if report.skipped is not None:
        yield Line("warning", f"skipped: {report.skipped}", INDENT)
    elif answer := answer_text(report):
        judged = report.done and (report.agreed is not None or report.met is not None)
        yield Line(("good" if report.good else "bad") if judged else "text", answer, INDENT)
    if bet is not None and report.skipped is None:
        yield _bet_line(bet, report)


def _bet_line(bet: str, report: StepReport) -> Line:
    right = is_right(bet, report)
    if right is None:
        return Line("text", f"your bet {bet}", INDENT)
    return Line("good" if right else "bad", f"your bet {bet}: {_RIGHT[right]}", INDENT)


def question_lines(step: Step) -> Iterator[Line]:
    """Ask what the kernel will answer to the step, and number the answers to bet on."""
    yield Line("warning", QUESTION, INDENT)
    answers = (f"{number} {answer}" for number, answer in enumerate(choices(step), 1))
    yield Line("text", "  ".join(answers), INDENT)


def reading_s(lines: Iterable[Line]) -> float:
    """How many seconds it takes to read the lines."""
    return sum(SECONDS_A_LINE + len(line.text) / CHARACTERS_A_SECOND for line in lines)


def reason_lines(report: StepReport) -> Iterator[Line]:
    """What the prediction found in the way, and why the kernel answers as it does."""
    if report.prediction is not None and report.prediction.verdict.blockers:
        yield Line("text", blockers_line(report.prediction.verdict.blockers), INDENT)
    if report.step.why:
        yield Line("text", report.step.why, INDENT)


def explanation_lines(report: StepReport) -> Iterator[Line]:
    """All that is to be said about a step, the most important line first."""
    yield Line("title", f"WHY  {report.number} {report.step.text}", hang=5)
    if report.done and (answer := answer_text(report)):
        yield Line("section", answer, 2)
    yield Line("text", report.step.explanation, 2)
    if report.done and report.prediction is not None:
        for line in reasons(report.prediction.verdict):
            yield line._replace(indent=2)


def prediction_text(outcome: str) -> str:
    """What is shown before the kernel is asked."""
    return f"predicted {outcome}, kernel ..."


def answer_text(report: StepReport) -> str:
    """``predicted EADDRINUSE, kernel EADDRINUSE: agreed``; empty if there is nothing to answer."""
    if not report.done:
        return "..." if report.predicted is None else prediction_text(report.predicted)
    if report.kernel is None:
        return ""
    text = f"{'kernel' if _is_of_a_call(report.kernel) else 'seen'} {report.kernel}"
    if report.predicted is not None:
        text = f"predicted {report.predicted}, {text}"
    judgements = []
    if report.agreed is not None:
        judgements.append("agreed" if report.agreed else "NOT AS PREDICTED")
    if report.met is False:
        judgements.append(f"NOT AS EXPECTED ({report.step.expect})")
    elif report.met and report.agreed is None:
        judgements.append("as expected")
    return f"{text}: {', '.join(judgements)}" if judgements else text


def conclusion(run: Run) -> str:
    """``passed: 8 steps, 3 of 3 predictions right``."""
    finished = [report for report in run.reports if report.skipped is None]
    if not finished:
        return f"skipped: {run.skipped}"
    predicted = [report for report in finished if report.agreed is not None]
    right = sum(report.agreed is True for report in predicted)
    unmet = sum(report.met is False for report in finished)
    text = f"{plural(len(finished), 'step')}, {right} of {len(predicted)} predictions right"
    if unmet:
        text += f", {unmet} not as expected"
    if run.skipped is not None:
        text += f"; skipped {run.skipped}"
    return f"{'passed' if run.passed else 'FAILED'}: {text}"


def _is_of_a_call(kernel: str) -> bool:
    """Whether it is the answer of a system call, and not what the tables show."""
    return kernel == "ok" or kernel.rsplit(maxsplit=1)[-1] in errno.errorcode.values()
