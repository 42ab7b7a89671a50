"""The lab as a quiz: questions, bets, the score, and the pace of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockwatch.lab.run import StepReport
from sockwatch.tui.lab.sandbox_ports import COVER
from sockwatch.view.rehearsal import reading_s, step_lines
from tests.tui.host import check_golden, line_with, screen_lines, shows, wait_for
from tests.tui.lab_sandbox import CHOICES, RESTART, Sandboxes

if TYPE_CHECKING:
    from textual.pilot import Pilot


async def opened(pilot: Pilot[int]) -> None:
    await shows(pilot, "1 of 6")
    await pilot.press("l")
    await shows(pilot, "sandbox: free play, waiting")


async def asked(pilot: Pilot[int], step: str) -> None:
    """Wait until the run waits at the question about this step."""
    await shows(pilot, CHOICES)
    await shows(pilot, f" {step}")


def text(pilot: Pilot[int]) -> str:
    return "\n".join(screen_lines(pilot.app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_golden_question(size: tuple[int, int]) -> None:
    """Nothing on the screen gives the answer away; a wrong bet is told, and counts."""
    async with Sandboxes().app().run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await asked(pilot, "1 start the daytime server")
        await pilot.press("1")
        await asked(pilot, "6 start the server again")
        await shows(pilot, "later")
        check_golden(pilot.app, f"lab-question-{size[0]}x{size[1]}")
        await pilot.press("3")
        await shows(pilot, "your bet EACCES: wrong")
        await shows(pilot, "your bets: 1 of 2 right")


async def test_the_score_outlives_a_run() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "right" not in screen_lines(pilot.app)[0]
        for run, of_all in ((1, "2 of 2"), (2, "4 of 4")):
            await pilot.press("R")
            await asked(pilot, "1 start")
            await pilot.press("1")
            await asked(pilot, "6 start")
            await pilot.press("2")
            await shows(pilot, "your bets: 2 of 2 right")
            assert f"{of_all} right" in screen_lines(pilot.app)[0], run


async def test_enter_passes_over_a_question_and_counts_nothing() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await asked(pilot, "1 start")
        await pilot.press("enter")
        await asked(pilot, "6 start")
        await pilot.press("enter")
        await shows(pilot, "passed: 7 steps")
        assert "bet" not in text(pilot)


async def test_a_bet_goes_on_by_steps_where_steps_were_asked_for() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("0")
        await asked(pilot, "1 start")
        await pilot.press("1")
        await shows(pilot, "your bet ok: right")
        await shows(pilot, "sandbox: restart, waiting")
        assert line_with(pilot.app, "1/7")


async def test_what_is_covered_cannot_be_opened_nor_copied() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for number in range(4):
            await shows(pilot, f"{number}/7" if number else "-")
            await pilot.press("n")
        # The next step only looks: the ports are already those of the question after it.
        await shows(pilot, COVER[0])
        await shows(pilot, "TIME_WAIT 60s")
        await pilot.press("shift+tab", "enter")
        await shows(pilot, f" {COVER[0]}")
        await pilot.press("y")
        await wait_for(pilot, lambda: "later" in pilot.app.clipboard)
        await pilot.press("n", "n")
        await shows(pilot, "6/7")
        await shows(pilot, "2 TIME_WAIT on 127.0.0.1")
        assert COVER[0] not in text(pilot)
        assert "later" not in text(pilot)


async def test_a_second_r_runs_to_the_end_without_stops() -> None:
    sandboxes = Sandboxes()
    sandboxes.clock_stands = True
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await asked(pilot, "1 start")
        await pilot.press("R")
        await shows(pilot, "passed: 7 steps")
        assert set(sandboxes.pauses) == {0.0}  # as the backend of the tests has it


async def test_a_key_ends_a_pause_but_passes_over_no_question() -> None:
    sandboxes = Sandboxes()
    sandboxes.clock_stands = True
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await asked(pilot, "1 start")
        await pilot.press("1")
        await shows(pilot, "predicted ok, kernel ...")
        for following in ("3 the server closes", "4 kill the server", "5 what is left"):
            await pilot.press("enter")
            await shows(pilot, following)
            await shows(pilot, "comes next")
        await pilot.press("enter")
        await asked(pilot, "6 start")
        assert line_with(pilot.app, "5/7")


async def test_a_run_pauses_for_as_long_as_one_reads() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await asked(pilot, "1 start")
        assert sandboxes.pauses == []
        await pilot.press("enter")
        await asked(pilot, "6 start")
    prediction, *after_steps, before_question = sandboxes.pauses
    assert 1 < prediction < 2
    assert len(after_steps) == 4
    assert all(1 < pause < 12 for pause in after_steps)
    assert before_question == 0


def test_more_text_takes_longer_to_read() -> None:
    start, connect = (
        reading_s(step_lines(StepReport(1, step, kernel=kernel)))
        for step, kernel in ((RESTART.steps[0], None), (RESTART.steps[0], "EADDRINUSE"))
    )
    assert 0 < start < connect
