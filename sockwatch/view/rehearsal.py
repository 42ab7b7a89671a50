"""A rehearsal in words: what a scenario claims, what becomes of each step, how the run ended."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Final

from sockwatch.lab.languages.translation import ENGLISH, Translation
from sockwatch.lab.model import Network
from sockwatch.lab.quiz import Score, choices, is_right
from sockwatch.lab.run import Run, StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.view.fit import cell_width
from sockwatch.view.lines import Line
from sockwatch.view.verdict import blockers_line, reasons

NETWORK_NAMES: Final[dict[Network, str]] = {
    "own": "own network namespace",
    "host": "host's loopback",
}
INDENT: Final = 3  # the number of a step and a space
QUESTION: Final = "what will the kernel answer?"
# 300 words a minute, since much is the same from step to step; a Chinese word takes as many cells.
CELLS_A_SECOND: Final = 30
SECONDS_A_LINE: Final = 0.3


def scenario_lines(scenario: Scenario, say: Translation = ENGLISH) -> Iterator[Line]:
    """What is claimed, and what Linux does."""
    yield Line("text", say("claim: {claim}", claim=scenario.claim), 1)
    yield finding_line(scenario, say)


def finding_line(scenario: Scenario, say: Translation) -> Line:
    """What Linux makes of the claim."""
    return Line("text", say("Linux: {finding}", finding=scenario.finding), 1)


def step_title(number: int, text: str) -> Line:
    """`` 3 kill the server``."""
    return Line("title", f"{number:2} {text}", hang=INDENT)


def step_lines(
    report: StepReport,
    say: Translation = ENGLISH,
    *,
    most_calls: int | None = None,
    bet: str | None = None,
) -> Iterator[Line]:
    """What is done, the first `most_calls` system calls or all, and prediction beside answer.

    Below stands what was `bet` on, if anything.
    """
    yield step_title(report.number, report.step.text)
    calls = report.calls[:most_calls]
    for call in calls:
        yield Line("call", f"{call.who}: {call.text}", INDENT, hang=INDENT)
    if most_calls and len(report.calls) > len(calls):
        more = say.count(len(report.calls) - len(calls), "more call")
        yield Line("call", say("and {more}", more=more), INDENT)
    if report.skipped is not None:
        reason = say.answer(report.skipped)
        yield Line("warning", say("skipped: {reason}", reason=reason), INDENT)
    elif answer := answer_text(report, say):
        judged = report.done and (report.agreed is not None or report.met is not None)
        yield Line(("good" if report.good else "bad") if judged else "text", answer, INDENT)
    if bet is not None and report.skipped is None:
        yield _bet_line(bet, report, say)


def _bet_line(bet: str, report: StepReport, say: Translation) -> Line:
    match is_right(bet, report):
        case None:
            return Line("text", say("your bet {bet}", bet=bet), INDENT)
        case True:
            return Line("good", say("your bet {bet}: right", bet=bet), INDENT)
        case False:
            return Line("bad", say("your bet {bet}: wrong", bet=bet), INDENT)


def question_lines(step: Step, say: Translation = ENGLISH) -> Iterator[Line]:
    """Ask what the kernel will answer to the step, and number the answers to bet on."""
    yield Line("warning", say(QUESTION), INDENT)
    answers = (f"{number} {answer}" for number, answer in enumerate(choices(step), 1))
    yield Line("text", "  ".join(answers), INDENT)


def reading_s(lines: Iterable[Line]) -> float:
    """How many seconds it takes to read the lines."""
    return sum(SECONDS_A_LINE + cell_width(line.text) / CELLS_A_SECOND for line in lines)


def reason_lines(report: StepReport, say: Translation = ENGLISH) -> Iterator[Line]:
    """What the prediction found in the way, and why the kernel answers as it does."""
    if report.prediction is not None and report.prediction.verdict.blockers:
        blockers = blockers_line(report.prediction.verdict.blockers)
        yield Line("text", say.answer(blockers), INDENT)
    if report.step.why:
        yield Line("text", report.step.why, INDENT)


def explanation_lines(report: StepReport, say: Translation = ENGLISH) -> Iterator[Line]:
    """All that is to be said about a step, the most important line first."""
    yield Line("title", f"{say('WHY')}  {report.number} {report.step.text}", hang=5)
    if report.done and (answer := answer_text(report, say)):
        yield Line("section", answer, 2)
    yield Line("text", say(report.step.explanation), 2)
    if report.done and report.prediction is not None:
        for line in reasons(report.prediction.verdict):
            yield line._replace(text=say.answer(line.text), indent=2)


def prediction_text(outcome: str, say: Translation = ENGLISH) -> str:
    """What is shown before the kernel is asked."""
    return say("predicted {outcome}, kernel ...", outcome=outcome)


def answer_text(report: StepReport, say: Translation = ENGLISH) -> str:
    """``predicted EADDRINUSE, kernel EADDRINUSE: agreed``; empty if there is nothing to answer."""
    if not report.done:
        return "..." if report.predicted is None else prediction_text(report.predicted, say)
    if report.kernel is None:
        return ""
    if _is_of_a_call(report.kernel):
        text = say("kernel {answer}", answer=report.kernel)
    else:
        text = say("seen {what}", what=say.answer(report.kernel))
    if report.predicted is not None:
        text = say("predicted {outcome}, {answer}", outcome=report.predicted, answer=text)
    judgements = []
    if report.agreed is not None:
        judgements.append(say("agreed") if report.agreed else say("NOT AS PREDICTED"))
    if report.met is False:
        judgements.append(
            say("NOT AS EXPECTED ({answer})", answer=say.answer(report.step.expect or ""))
        )
    elif report.met and report.agreed is None:
        judgements.append(say("as expected"))
    if not judgements:
        return text
    return say("{answer}: {judgement}", answer=text, judgement=", ".join(judgements))


def conclusion(run: Run, say: Translation = ENGLISH) -> str:
    """``passed: 8 steps, 3 of 3 predictions right``."""
    skipped = say.answer(run.skipped or "")
    finished = [report for report in run.reports if report.skipped is None]
    if not finished:
        return say("skipped: {reason}", reason=skipped)
    predicted = [report for report in finished if report.agreed is not None]
    text = say(
        "{steps}, {right} of {predicted} predictions right",
        steps=say.count(len(finished), "step"),
        right=sum(report.agreed is True for report in predicted),
        predicted=len(predicted),
    )
    if unmet := sum(report.met is False for report in finished):
        text = say("{said}, {count} not as expected", said=text, count=unmet)
    if skipped:
        text = say("{said}; skipped {reason}", said=text, reason=skipped)
    return say("passed: {said}" if run.passed else "FAILED: {said}", said=text)


def score_text(score: Score, say: Translation = ENGLISH) -> str:
    """``2 of 3 right``."""
    return say("{right} of {bets} right", right=score.right, bets=score.bets)


def _is_of_a_call(kernel: str) -> bool:
    """Whether it is the answer of a system call, and not what the tables show."""
    return kernel == "ok" or kernel.rsplit(maxsplit=1)[-1] in errno.errorcode.values()
