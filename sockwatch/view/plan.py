"""A plan to free a port in words: what would be done, what is let be, and whom to ask about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sockwatch.act.model import EndTarget, Event, EventKind, Plan, Step
from sockwatch.units import spoken_duration
from sockwatch.view.code_lines import LANGUAGES
from sockwatch.view.commands import command_words
from sockwatch.view.lines import Kind, Line
from sockwatch.view.next_steps import command_or_code
from sockwatch.view.page import labelled

SHOWN_TARGETS: Final = 8
EVENT_KINDS: Final[dict[EventKind, Kind]] = {
    EventKind.DONE: "good",
    EventKind.LET_BE: "warning",
    EventKind.FAILED: "bad",
    EventKind.CAME_BACK: "bad",
    EventKind.CANCELLED: "warning",
}


def plan_lines(plan: Plan) -> Iterator[Line]:
    """The steps with their targets, commands and risks; then what is let be, and advice."""
    if plan.is_free:
        yield labelled("plan", Line("good", "nothing to do: bind() succeeds"))
    for number, step in enumerate(plan.steps, 1):
        text = f"{number}. {step.text}" if len(plan.steps) > 1 else step.text
        yield labelled("" if number > 1 else "plan", Line("text", text, hang=3))
        yield from (labelled("", line) for line in step_lines(step, plan.time))
    for index, refusal in enumerate(plan.refusals):
        yield labelled("" if index else "let be", Line("warning", refusal.text))
    if not plan.is_free:
        yield from advice_lines(plan)


def step_lines(step: Step, now: float) -> Iterator[Line]:
    """Whom it ends, what a person would type, and what it risks; below the step."""
    for target in step.targets[:SHOWN_TARGETS]:
        yield Line("text", target_text(target, now), 3)
    if len(step.targets) > SHOWN_TARGETS:
        yield Line("text", f"and {len(step.targets) - SHOWN_TARGETS} more", 3)
    if step.command is not None:
        yield Line("command", step.command, 3)
    if step.risk is not None:
        yield Line("warning", f"risk: {step.risk}", 3)


def advice_lines(plan: Plan) -> Iterator[Line]:
    """What a person may do instead, or has to do besides."""
    for index, fix in enumerate(plan.advice):
        yield labelled("" if index else "yourself", Line("text", fix.text))
        if (below := command_or_code(fix, LANGUAGES[0])) is not None:
            yield labelled("", Line("command", below, 3))


def target_text(target: EndTarget, now: float) -> str:
    """``gunicorn(4242) of www-data, web.service, up 3 d: gunicorn -w 3 shop:app``.

    `now` is in seconds since the epoch.
    """
    process = target.process
    return f"{identity(target, now)}: {command_words(process)}"


def identity(target: EndTarget, now: float) -> str:
    """``gunicorn(4242) of www-data, web.service, up 3 d``; `now` is in seconds since the epoch."""
    process = target.process
    parts = [
        f"{target.name} of {process.user}",
        process.origin.label if process.origin is not None else None,
        f"up {spoken_duration(now - process.start_time)}",
        "stopped" if target.stopped else None,
    ]
    return ", ".join(filter(None, parts))


def step_question(step: Step, now: float) -> str:
    """What is asked before a step: ``stop web.service: gunicorn(4242) of www-data, up 3 d?``."""
    return f"{step.text}: {_whom(step.targets, now)}?" if step.targets else f"{step.text}?"


def kill_question(targets: Sequence[EndTarget], now: float) -> str:
    """What is asked before SIGKILL: ``end by SIGKILL, and lose ...: java(991) of tomcat, up 3 d?``.

    `now` is in seconds since the epoch.
    """
    return f"end by SIGKILL, and lose what is not written: {_whom(targets, now)}?"


def _whom(targets: Sequence[EndTarget], now: float) -> str:
    shown = [identity(target, now) for target in targets[:SHOWN_TARGETS]]
    if len(targets) > SHOWN_TARGETS:
        shown.append(f"and {len(targets) - SHOWN_TARGETS} more")
    return "; ".join(shown)


def event_line(event: Event) -> Line:
    """One line of what happens."""
    kind = EVENT_KINDS.get(event.kind, "text")
    if event.verdict is not None:
        kind = "good" if event.verdict.outcome == "ok" else "bad"
    return Line(kind, event.text)
