"""What the lab asks, and how bets are counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.lab.observations import See
from sockwatch.lab.quiz import Score, choices, is_set_for_question, score
from sockwatch.lab.run import StepReport
from sockwatch.lab.scenario import Scenario, all_scenarios
from sockwatch.lab.steps import Signal, Start
from sockwatch.view.rehearsal import score_text

ASK = Start("start", "a", expect="ok")
LOOK = See("what is left")
KILL = Signal("kill", "a")


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda one: one.name)
def test_the_right_answer_can_be_bet_on(scenario: Scenario) -> None:
    questions = [step for step in scenario.steps if choices(step)]
    assert questions
    for step in questions:
        assert step.expect in choices(step), step.text
        assert len(set(choices(step))) <= 4


def test_what_only_looks_leaves_the_answer_as_it_is() -> None:
    assert is_set_for_question([ASK, KILL])
    assert is_set_for_question([LOOK, LOOK, ASK])
    assert not is_set_for_question([KILL, ASK])
    assert not is_set_for_question([LOOK])
    assert not is_set_for_question([])


def test_only_answered_bets_count() -> None:
    reports = [
        StepReport(1, ASK, kernel="ok"),
        StepReport(2, ASK, kernel="EADDRINUSE"),
        StepReport(3, ASK, skipped="a second user needs root"),
        StepReport(4, ASK, kernel="ok"),
    ]
    under_way = replace(reports[0], number=5, kernel=None, done=False)
    counted = score([*reports, under_way], dict.fromkeys([1, 2, 3, 5, 6], "ok"))
    assert counted == Score(right=1, bets=2)
    assert score_text(counted.plus(Score(2, 3))) == "3 of 5 right"
