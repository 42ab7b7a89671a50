"""The steps of a run as drawn, and the hints that stand in their place or after them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sockwatch.lab.languages.translation import Translation
from sockwatch.lab.model import HOST_PORTS
from sockwatch.lab.quiz import choices
from sockwatch.lab.run import StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.tui.commands import Command
from sockwatch.tui.lab.keys import (
    CONNECT,
    DISCONNECT,
    FREEZE,
    KILL,
    ON_HOST,
    RESTART,
    RUN,
    START,
    STEP,
)
from sockwatch.tui.lab.shown_lines import ShownLine, shown
from sockwatch.tui.lab.state import RunView
from sockwatch.tui.lab.thread import MOST_CALLS
from sockwatch.view.lines import Kind, Line
from sockwatch.view.rehearsal import (
    INDENT,
    QUESTION,
    finding_line,
    question_lines,
    scenario_lines,
    score_text,
    step_lines,
    step_title,
)

_RESULT_KINDS: Final[dict[str, Kind]] = {"passed": "good", "skipped": "warning", "failed": "bad"}


class RunLines:
    """All lines of a run. Those of a step are kept until it changes."""

    def __init__(self, say: Translation) -> None:
        self._say = say
        self._kept: dict[int, tuple[StepReport, int, bool, list[ShownLine]]] = {}

    def of(
        self, run: RunView, width: int, *, calls: bool, question: Step | None = None
    ) -> list[ShownLine]:
        """The lines in `width` cells, with the system calls or without.

        An open `question` shows what can be bet on.
        """
        ending = tuple(_ending(run, question, self._say))
        if not run.steps:
            return list(shown([*_introduction(run.scenario, self._say), *ending], width))
        lines: list[ShownLine] = []
        for index, report in enumerate(run.steps):
            kept = self._kept.get(index)
            if kept is None or kept[0] is not report or kept[1:3] != (width, calls):
                bet = run.bets.get(report.number)
                most = MOST_CALLS if calls else 0
                made = step_lines(report, self._say, most_calls=most, bet=bet)
                kept = (report, width, calls, list(shown(made, width, step=index)))
                self._kept[index] = kept
            lines += kept[3]
        return [*lines, *shown(ending, width)]


def no_sandbox(refused: str, say: Translation) -> Iterator[Line]:
    """The sandbox is not there yet, or was refused for this reason."""
    if not refused:
        yield _paragraph("title", say("the sandbox is being set up"))
        return
    yield _paragraph("title", say("There is no sandbox"))
    yield _paragraph("bad", refused)
    yield _paragraph(
        "text",
        say(
            "{key} uses the host's loopback instead: its ports are then real ports of this host,"
            " on loopback only and from {first} up.",
            key=_key(ON_HOST),
            first=HOST_PORTS.start,
        ),
    )


def _introduction(scenario: Scenario | None, say: Translation) -> Iterator[Line]:
    """What a scenario is about, before it is run."""
    if scenario is None:
        yield _paragraph("title", say("Free play"))
        yield _paragraph(
            "text",
            say(
                "Start a server ({start}), then another on the same port. Connect clients"
                " ({connect}), and close ({disconnect}). Kill, stop or restart the process under"
                " the cursor ({kill}, {freeze}, {restart}). Each start shows what sockwatch"
                " predicts, and then what the kernel answers.",
                start=_key(START),
                connect=_key(CONNECT),
                disconnect=_key(DISCONNECT),
                kill=_key(KILL),
                freeze=_key(FREEZE),
                restart=_key(RESTART),
            ),
        )
        return
    yield _paragraph("title", scenario.title)
    yield from scenario_lines(scenario, say)
    hint = say(
        "{steps}: {run} runs them, {step} does the next one",
        steps=say.count(len(scenario.steps), "step"),
        run=_key(RUN),
        step=_key(STEP),
    )
    yield _paragraph("call", hint)


def _ending(run: RunView, question: Step | None, say: Translation) -> Iterator[Line]:
    """What comes next, or how the run ended."""
    step = run.pending
    if step is not None and (question is not None or (run.steps and run.steps[-1].done)):
        yield step_title(len(run.steps) + 1, step.text)._replace(kind="text")
        if question is not None:
            yield from question_lines(question, say)
        else:
            yield Line("warning", say(QUESTION if choices(step) else "comes next"), INDENT)
    if not run.result:
        return
    yield _paragraph(_RESULT_KINDS[run.result], run.note)
    if run.score.bets:
        yield _paragraph("text", say("your bets: {score}", score=score_text(run.score, say)))
    if run.result == "passed" and run.scenario is not None:
        yield finding_line(run.scenario, say)._replace(hang=0)


def _paragraph(kind: Kind, text: str) -> Line:
    return Line(kind, text, 1, hang=0)


def _key(command: Command) -> str:
    return command.key_names[0]
