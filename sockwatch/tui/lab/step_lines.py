"""The steps of a run as lines: what is done, the system calls, prediction beside answer."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final, NamedTuple

from sockwatch.lab.scenario import Scenario
from sockwatch.lab.session import HOST_PORTS, StepReport
from sockwatch.tui.commands import (
    CONNECT,
    DISCONNECT,
    FREEZE,
    KILL,
    ON_HOST,
    RESTART,
    RUN,
    START,
    STEP,
    Command,
)
from sockwatch.tui.lab.state import RunView, StepView
from sockwatch.tui.lab.thread import MOST_CALLS
from sockwatch.units import plural
from sockwatch.view.fit import cell_width, wrap

INDENT: Final = "   "
GAP: Final = "  "


class ShownLine(NamedTuple):
    """A line, the style it is drawn in, and the place of the step it belongs to."""

    text: str
    style: str = ""
    step: int | None = None


class RunLines:
    """Everything about a run, in lines. Those of a step are kept until it changes."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[StepView, int, bool, list[ShownLine]]] = {}

    def of(self, run: RunView, width: int, *, calls: bool) -> list[ShownLine]:
        """`calls` shows the system calls, too."""
        if not run.steps:
            return [*introduction(run.scenario, width), *_ending(run, width)]
        lines: list[ShownLine] = []
        for place, view in enumerate(run.steps):
            kept = self._kept.get(place)
            if kept is None or kept[0] is not view or kept[1:3] != (width, calls):
                made = [line._replace(step=place) for line in step_lines(view, width, calls=calls)]
                kept = self._kept[place] = (view, width, calls, made)
            lines += kept[3]
        return [*lines, *_ending(run, width)]


def introduction(scenario: Scenario | None, width: int) -> Iterator[ShownLine]:
    """What a scenario is about, before it is run."""
    if scenario is None:
        yield from _paragraph("Free play", width, "-title")
        yield from _paragraph(
            f"Start a server ({_key(START)}), then another on the same port. Connect clients"
            f" ({_key(CONNECT)}), and close ({_key(DISCONNECT)}). Kill, stop or restart the process"
            f" under the cursor ({_key(KILL)}, {_key(FREEZE)}, {_key(RESTART)}). Each start shows"
            " what sockwatch predicts, and then what the kernel answers.",
            width,
        )
        return
    yield from _paragraph(scenario.title, width, "-title")
    yield from _paragraph(f"claim: {scenario.claim}", width)
    yield from _paragraph(f"Linux: {scenario.finding}", width)
    count = plural(len(scenario.steps), "step")
    yield from _paragraph(
        f"{count}: {_key(RUN)} runs them, {_key(STEP)} does the next one", width, "-dim"
    )


def no_sandbox(refused: str, width: int) -> Iterator[ShownLine]:
    """The sandbox is not there: not yet, or it was refused with this sentence."""
    if not refused:
        yield from _paragraph("the sandbox is being set up", width, "-title")
        return
    yield from _paragraph("There is no sandbox", width, "-title")
    yield from _paragraph(refused, width, "-bad")
    yield from _paragraph(
        f"{_key(ON_HOST)} uses the host's loopback in its place: its ports are then real ports of"
        f" this host, loopback only and from {HOST_PORTS.start} up.",
        width,
    )


def _key(command: Command) -> str:
    return command.key_names[0]


def step_lines(view: StepView, width: int, *, calls: bool) -> Iterator[ShownLine]:
    """One step: its text, the calls, and the last line with prediction and answer."""
    title = f"{view.number:2} {view.step.text}"
    yield from (ShownLine(line, "-title") for line in wrap(title, width, "", INDENT))
    if calls:
        for who, text in view.calls[:MOST_CALLS]:
            for line in wrap(f"{who}: {text}", width, INDENT, INDENT * 2):
                yield ShownLine(line, "-dim")
        if len(view.calls) > MOST_CALLS:
            yield ShownLine(f"{INDENT}and {len(view.calls) - MOST_CALLS} more calls", "-dim")
    report = view.report
    if report is None:
        pieces = [f"predicted {view.predicted}", "kernel ..."] if view.predicted else ["..."]
        yield from (ShownLine(line) for line in _side_by_side(pieces, width))
    elif report.skipped is not None:
        yield from _paragraph(f"skipped: {report.skipped}", width, "-warn", INDENT)
    elif report.kernel is not None:
        style = "-good" if report.good else "-bad"
        if report.agreed is None and report.met is None:
            style = ""
        pieces = answer_pieces(report)
        yield from (ShownLine(line, style) for line in _side_by_side(pieces, width))


def answer_pieces(report: StepReport) -> list[str]:
    """``predicted EADDRINUSE``, ``kernel EADDRINUSE``, ``agreed``."""
    assert report.kernel is not None
    pieces = [f"{'kernel' if _is_errno(report.kernel) else 'seen'} {report.kernel}"]
    if report.predicted is not None:
        pieces = [f"predicted {report.predicted}", *pieces]
        pieces.append("agreed" if report.agreed else "NOT AS PREDICTED")
    if report.met is False:
        pieces.append(f"NOT AS EXPECTED: {report.step.expect}")
    elif report.met and report.predicted is None:
        pieces.append("as expected")
    return pieces


def _is_errno(kernel: str) -> bool:
    """Whether it is the answer of a call, and not what a look shows."""
    return kernel == "ok" or kernel.rsplit(maxsplit=1)[-1] in errno.errorcode.values()


def _ending(run: RunView, width: int) -> Iterator[ShownLine]:
    """What comes next, or how it ended."""
    step = run.pending
    if step is not None and run.steps and run.steps[-1].report is not None:
        title = f"{len(run.steps) + 1:2} {step.text}"
        yield from (ShownLine(line) for line in wrap(title, width, "", INDENT))
        question = "what will the kernel answer?" if step.expect else "comes next"
        yield ShownLine(f"{INDENT}{question}", "-warn")
    if not run.result:
        return
    style = {"passed": "-good", "skipped": "-warn", "failed": "-bad"}[run.result]
    yield from _paragraph(run.note, width, style)
    if run.result == "passed" and run.scenario is not None:
        yield from _paragraph(f"Linux: {run.scenario.finding}", width)


def _paragraph(text: str, width: int, style: str = "", indent: str = " ") -> Iterator[ShownLine]:
    yield from (ShownLine(line, style) for line in wrap(text, width, indent, indent))


def _side_by_side(pieces: list[str], width: int) -> Iterator[str]:
    """The pieces on one line, or on as many as they need."""
    line = INDENT + pieces[0]
    for piece in pieces[1:]:
        if cell_width(line) + len(GAP) + cell_width(piece) > width:
            yield line
            line = INDENT + piece
        else:
            line += GAP + piece
    yield line
