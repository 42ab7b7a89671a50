"""Why a step does what it does, in a few sentences, and what is behind its prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sockwatch.bind import Verdict
from sockwatch.tui.lab.state import StepView
from sockwatch.tui.lab.step_lines import ShownLine, answer_pieces
from sockwatch.view.fit import wrap
from sockwatch.view.verdict import by_rule

SHOWN_BLOCKERS: Final = 3


def explanation(view: StepView, width: int) -> Iterator[ShownLine]:
    """The most important line first; the width is that of the text."""
    title = f"WHY  {view.number} {view.step.text}"
    yield from (ShownLine(line, "-title") for line in wrap(title, width, "", "     "))
    report = view.report
    if report is not None and report.kernel is not None:
        yield from _text(", ".join(answer_pieces(report)), width, "-head")
    yield from _text(view.step.explanation, width)
    if report is not None and report.prediction is not None:
        yield from _verdict(report.prediction.verdict, width)


def _verdict(verdict: Verdict, width: int) -> Iterator[ShownLine]:
    if verdict.reason is not None:
        yield from _text(verdict.reason.text, width)
    for rule, lines in by_rule(verdict.blockers, SHOWN_BLOCKERS):
        yield from _text(f"in the way: {'; '.join(lines)}", width, "-warn")
        yield from _text(rule, width)
    for condition in verdict.conditions:
        yield from _text(f"{condition.question} yes: {condition.yes}, no: {condition.no}", width)
    if verdict.cause is not None:
        yield from _text(f"cause: {verdict.cause.text}", width)
    for fix in verdict.fixes[:1]:
        yield from _text(
            f"what to do: {fix.text}: {fix.command}" if fix.command else f"what to do: {fix.text}",
            width,
        )


def _text(text: str, width: int, style: str = "") -> Iterator[ShownLine]:
    if text:
        yield from (ShownLine(line, style) for line in wrap(text, width, "  ", "    "))
