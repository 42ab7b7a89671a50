"""The steps of a run as drawn, and the hints that stand in their place or after them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sockwatch.lab.model import HOST_PORTS
from sockwatch.lab.quiz import choices
from sockwatch.lab.run import StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
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
from sockwatch.tui.lab.shown_lines import ShownLine, shown
from sockwatch.tui.lab.state import RunView
from sockwatch.tui.lab.thread import MOST_CALLS
from sockwatch.units import plural
from sockwatch.view.lines import Kind, Line
from sockwatch.view.rehearsal import (
    INDENT,
    QUESTION,
    question_lines,
    scenario_lines,
    step_lines,
    step_title,
)

_RESULT_KINDS: Final[dict[str, Kind]] = {"passed": "good", "skipped": "warning", "failed": "bad"}


class RunLines:
    """All lines of a run. Those of a step are kept until it changes."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[StepReport, int, bool, list[ShownLine]]] = {}

    def of(
        self, run: RunView, width: int, *, calls: bool, question: Step | None = None
    ) -> list[ShownLine]:
        """The lines in `width` cells, with the system calls or without.

        An open `question` shows what can be bet on.
        """
        ending = tuple(_ending(run, question))
        if not run.steps:
            return list(shown([*_introduction(run.scenario), *ending], width))
        lines: list[ShownLine] = []
        for index, report in enumerate(run.steps):
            kept = self._kept.get(index)
            if kept is None or kept[0] is not report or kept[1:3] != (width, calls):
                bet = run.bets.get(report.number)
                made = step_lines(report, most_calls=MOST_CALLS if calls else 0, bet=bet)
                kept = (report, width, calls, list(shown(made, width, step=index)))
                self._kept[index] = kept
            lines += kept[3]
        return [*lines, *shown(ending, width)]


def no_sandbox(refused: str) -> Iterator[Line]:
    """The sandbox is not there yet, or was refused for this reason."""
    if not refused:
        yield _paragraph("title", "the sandbox is being set up")
        return
    yield _paragraph("title", "There is no sandbox")
    yield _paragraph("bad", refused)
    yield _paragraph(
        "text",
        f"{_key(ON_HOST)} uses the host's loopback instead: its ports are then real ports of"
        f" this host, on loopback only and from {HOST_PORTS.start} up.",
    )


def _introduction(scenario: Scenario | None) -> Iterator[Line]:
    """What a scenario is about, before it is run."""
    if scenario is None:
        yield _paragraph("title", "Free play")
        yield _paragraph(
            "text",
            f"Start a server ({_key(START)}), then another on the same port. Connect clients"
            f" ({_key(CONNECT)}), and close ({_key(DISCONNECT)}). Kill, stop or restart the process"
            f" under the cursor ({_key(KILL)}, {_key(FREEZE)}, {_key(RESTART)}). Each start shows"
            " what sockwatch predicts, and then what the kernel answers.",
        )
        return
    yield _paragraph("title", scenario.title)
    yield from scenario_lines(scenario)
    count = plural(len(scenario.steps), "step")
    yield _paragraph("call", f"{count}: {_key(RUN)} runs them, {_key(STEP)} does the next one")


def _ending(run: RunView, question: Step | None) -> Iterator[Line]:
    """What comes next, or how the run ended."""
    step = run.pending
    if step is not None and (question is not None or (run.steps and run.steps[-1].done)):
        yield step_title(len(run.steps) + 1, step.text)._replace(kind="text")
        if question is not None:
            yield from question_lines(question)
        else:
            yield Line("warning", QUESTION if choices(step) else "comes next", INDENT)
    if not run.result:
        return
    yield _paragraph(_RESULT_KINDS[run.result], run.note)
    if run.score.bets:
        yield _paragraph("text", f"your bets: {run.score}")
    if run.result == "passed" and run.scenario is not None:
        yield _paragraph("text", f"Linux: {run.scenario.finding}")


def _paragraph(kind: Kind, text: str) -> Line:
    return Line(kind, text, 1, hang=0)


def _key(command: Command) -> str:
    return command.key_names[0]
