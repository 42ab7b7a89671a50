"""Why a step does what it does, in a few sentences, and what is behind its prediction."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.tui.lab.state import StepView
from sockwatch.tui.lab.step_lines import ShownLine, answer_pieces
from sockwatch.view.fit import wrap
from sockwatch.view.verdict import short_lines


def explanation(view: StepView, width: int) -> Iterator[ShownLine]:
    """The most important line first; `width` is that of the text in cells."""
    title = f"WHY  {view.number} {view.step.text}"
    yield from (ShownLine(line, "-title") for line in wrap(title, width, "", "     "))
    report = view.report
    if report is not None and report.kernel is not None:
        yield from _paragraph(", ".join(answer_pieces(report)), width, "-head")
    yield from _paragraph(view.step.explanation, width)
    if report is not None and report.prediction is not None:
        for line in short_lines(report.prediction.verdict, with_rules=True):
            yield from _paragraph(line.text, width, "-warn" if line.kind == "warning" else "")


def _paragraph(text: str, width: int, style: str = "") -> Iterator[ShownLine]:
    if text:
        yield from (ShownLine(line, style) for line in wrap(text, width, "  ", "    "))
