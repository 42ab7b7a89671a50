"""The lab's screens in Chinese, whose characters are two cells wide."""

from __future__ import annotations

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot

from sockwatch.lab.scenario import all_scenarios
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.options import Options
from sockwatch.view.fit import cell_width
from tests.tui.host import check_golden, screen_lines, shows, wait_for
from tests.tui.lab_sandbox import Sandboxes

SIZES = [(80, 24), (120, 40)]
BY_SIZE = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
CHINESE = Options(interval_s=3600.0, language="zh")


def chinese() -> SockwatchApp:
    """The app with the real scenarios, and a sandbox that is the same every time."""
    return Sandboxes().app(options=CHINESE, scenarios=all_scenarios)


async def opened(pilot: Pilot[int]) -> None:
    await shows(pilot, "1 of 6")
    await pilot.press("l")
    await shows(pilot, "沙箱：自由实验，等待中")


def check(app: object, name: str) -> None:
    check_golden(app, name)
    assert isinstance(app, SockwatchApp)
    widest = max(cell_width(line) for line in screen_lines(app))
    assert widest <= app.size.width


@BY_SIZE
async def test_golden_list(size: tuple[int, int]) -> None:
    async with chinese().run_test(size=size) as pilot:
        await opened(pilot)
        await shows(pilot, "沙箱里没有端口被占用")
        check(pilot.app, f"lab-zh-list-{size[0]}x{size[1]}")


@BY_SIZE
async def test_golden_run(size: tuple[int, int]) -> None:
    async with chinese().run_test(size=size) as pilot:
        await opened(pilot)
        for number in range(1, 6):
            await pilot.press("n")
            await shows(pilot, f"{number}/8")
        await shows(pilot, "内核会怎样回答？")
        await pilot.press("2")
        await shows(pilot, "你押 EADDRINUSE：对了")
        await shows(pilot, "押 1 次，对 1 次")
        await shows(pilot, "10013/tcp: no process has it: 3 TIME_WAIT")
        await shows(pilot, "沙箱：restart-plain，等待中")
        check(pilot.app, f"lab-zh-run-{size[0]}x{size[1]}")


@BY_SIZE
async def test_golden_explanation(size: tuple[int, int]) -> None:
    async with chinese().run_test(size=size) as pilot:
        await opened(pilot)
        for number in range(1, 7):
            await pilot.press("n")
            await shows(pilot, f"{number}/8")
        await pilot.press("tab", "tab", "enter")
        await shows(pilot, "原因  6")
        await shows(pilot, "tw 3")
        check(pilot.app, f"lab-zh-explained-{size[0]}x{size[1]}")


@BY_SIZE
async def test_golden_form(size: tuple[int, int]) -> None:
    async with chinese().run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("a")
        await shows(pilot, "SO_REUSEADDR")
        await pilot.press("tab", "right", "tab", "tab", *"99999", "tab", "space", "enter")
        await shows(pilot, "! 端口：'99999' 不是端口：请输入 0 到 65535")
        check(pilot.app, f"lab-zh-form-{size[0]}x{size[1]}")


async def test_golden_help() -> None:
    async with chinese().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("?")
        await shows(pilot, "sockwatch: 实验室")
        check(pilot.app, "lab-zh-help-80x24")


async def test_a_whole_run_is_in_chinese() -> None:
    async with chinese().run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("R", "R")
        await shows(pilot, "通过：8 步，3 个预测中 3 个正确")


@pytest.mark.parametrize("size", [(60, 20), (40, 12), (20, 5)])
async def test_small(size: tuple[int, int]) -> None:
    async with chinese().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("n")
        await shows(pilot, "1/8")
        await pilot.resize_terminal(*size)
        await wait_for(pilot, lambda: len(screen_lines(pilot.app)) == size[1])
        for key in ("a", "escape", "C", "escape", "question_mark", "escape"):
            await pilot.press(key)
            assert max(map(cell_width, screen_lines(pilot.app))) <= size[0], key


async def test_the_palette_has_the_names_of_the_commands() -> None:
    async with chinese().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("ctrl+p")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        await shows(pilot, "运行场景的下一步，跳过问题")


async def test_the_main_screen_stays_english() -> None:
    async with chinese().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 6")
        assert "".join(screen_lines(pilot.app)).isprintable()
        assert not any("\u4e00" <= c <= "\u9fff" for c in "".join(screen_lines(pilot.app)))
