"""Scenarios in another language."""

from __future__ import annotations

from dataclasses import replace

from sockwatch.lab.languages.translation import Translation
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import BaseStep, Step


def translated(scenario: Scenario, say: Translation) -> Scenario:
    """The scenario with its texts translated; names, numbers and expectations are kept."""
    return replace(
        scenario,
        title=say(scenario.title),
        claim=say(scenario.claim),
        finding=say(scenario.finding),
        steps=tuple(_step(step, say) for step in scenario.steps),
    )


def _step(step: Step, say: Translation) -> Step:
    if not isinstance(step, BaseStep):
        return step
    return replace(step, text=say(step.text), why=say(step.why))
