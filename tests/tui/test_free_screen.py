"""A port that is freed from the menu, on a host that the test decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.screen import Screen

from sockwatch.tui.options import Options
from sockwatch.tui.screens.acts import ActsScreen
from sockwatch.tui.screens.free import FreeScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.widgets.confirm_bar import ConfirmBar
from tests.support import build
from tests.support.build import holder, port, process, socket
from tests.tui.host import check_golden, screen_lines, shows, wait_for
from tests.tui.test_keys import KEYS

if TYPE_CHECKING:
    pass

from tests.tui.acts_host import SIZES, RootHost, Work, app_server, asked, opened, poll, text_of


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_menu_and_plan(size: tuple[int, int]) -> None:
    host = RootHost()
    async with host.app().run_test(size=size) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("down", "down", "down")
        await opened(pilot, host, 8080)
        await shows(pilot, "stop web.service")
        check_golden(pilot.app, f"acts-{size[0]}x{size[1]}")
        await pilot.press("enter")
        await shows(pilot, "type 8080 and Enter")
        check_golden(pilot.app, f"free-{size[0]}x{size[1]}")


async def test_golden_outcome() -> None:
    host = RootHost([app_server(), build.java()])
    work = Work(host)
    work.holds.set()
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "the port is free")
        await wait_for(pilot, lambda: "Esc back" in text_of(pilot))
        poll(pilot)
        await shows(pilot, "80/tcp: nobody has it")
        check_golden(pilot.app, "freed-80x24")
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


@pytest.mark.parametrize("kind", [ActsScreen, FreeScreen], ids=["menu", "plan"])
async def test_no_single_key_does_anything_to_the_port(kind: type[Screen[None]]) -> None:
    """Every key by itself, and in the plan with Enter behind it."""
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        for key in KEYS:
            if key in ("ctrl+c", "ctrl+q", "ctrl+z"):
                continue
            if not isinstance(pilot.app.screen, kind):
                while not isinstance(pilot.app.screen, MainScreen):
                    await pilot.press("escape")
                await opened(pilot, host)
                await shows(pilot, "by SIGTERM")
                if kind is FreeScreen:
                    await pilot.press("enter")
                    await shows(pilot, "type 80 and Enter")
            await pilot.press(key)
            if isinstance(pilot.app.screen, FreeScreen):
                await pilot.press("enter")
        assert not pilot.app._exit
    assert work.plans == []


async def test_space_space_enter_enter_does_nothing() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        await pilot.press("space", "enter", "enter", "enter", "space", "enter")
        await shows(pilot, "nothing is done: that is not the number")
        await pilot.press(*"8080", "enter")
        await shows(pilot, "type 80 and Enter")
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, MainScreen))
    assert work.plans == []


async def test_the_number_carries_out_the_plan_that_was_shown() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        for part in ("app(7) of root", "up 3 d", "kill 7", "risk: "):
            assert part in text_of(pilot)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "SIGTERM sent to app(7)")
        assert [target.pid for target in work.plans[0].targets] == [7]
        work.holds.set()
        await shows(pilot, "the port is free")


async def test_a_plan_that_changes_has_to_be_agreed_to_anew() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0")
        host.ports = [app_server(8, "other")]
        poll(pilot)
        await shows(pilot, "the plan: read it again")
        await shows(pilot, "other(8) of root")
        await pilot.press("enter")
        await shows(pilot, "nothing is done: that is not the number")
        assert work.plans == []
        host.ports = []
        poll(pilot)
        await shows(pilot, "nothing to do: bind() succeeds")
        await pilot.press("8", "0", "enter")
        assert "type 80" not in text_of(pilot)
        assert work.plans == []


async def test_an_answer_does_not_count_for_a_plan_that_was_not_shown_yet() -> None:
    """Enter was pressed, and the port changes before that is handled."""
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        screen = pilot.app.screen
        assert isinstance(screen, FreeScreen)
        early = ConfirmBar.Answered(screen.bar.question, agreed=True)
        host.ports = [app_server(8, "other")]
        screen.show(host.take(80))
        screen.post_message(early)
        await shows(pilot, "other(8) of root")
        await pilot.pause()
    assert work.plans == []


async def test_sigkill_is_asked_for_with_the_pid() -> None:
    host = RootHost([app_server()])
    work = Work(host, is_deaf=True)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        work.holds.set()
        await shows(pilot, "type 7 and Enter to kill app(7):")
        assert "lose what is not written" in text_of(pilot)
        await pilot.press("enter", "y", "enter", "8", "0", "enter")
        await shows(pilot, "nothing is done: that is not the number")
        assert work.agreed is None
        await pilot.press("7", "enter")
        await shows(pilot, "the port is free")
    assert work.agreed is True


async def test_escape_takes_no_further_step_and_says_what_is_done() -> None:
    host = RootHost([app_server()])
    work = Work(host)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "Esc take no further step")
        await pilot.press("escape")
        await shows(pilot, "stopped: SIGTERM was sent to app(7)")
        await shows(pilot, "Esc back")
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


async def test_escape_at_the_question_does_not_kill() -> None:
    host = RootHost([app_server()])
    work = Work(host, is_deaf=True)
    async with host.app(perform=work).run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        work.holds.set()
        await shows(pilot, "type 7 and Enter")
        await pilot.press("escape")
        await shows(pilot, "stopped: SIGTERM was sent to app(7)")
    assert work.agreed is False


@pytest.mark.parametrize("is_deaf", [False, True], ids=["waits", "asks"])
async def test_the_end_of_the_app_ends_the_work(is_deaf: bool) -> None:
    host = RootHost([app_server()])
    work = Work(host, is_deaf=is_deaf)
    app = host.app(perform=work)
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(pilot, host)
        await pilot.press("8", "0", "enter")
        await shows(pilot, "SIGTERM sent to app(7)")
        if is_deaf:
            work.holds.set()
            await shows(pilot, "type 7 and Enter")
        await pilot.press("ctrl+c")
        assert app._exit
    app.act_threads.join()
    assert work.ended.is_set()
    assert work.agreed is not True


HOSTILE = ("[/x]", "[@click=app.quit]app[/]", "[b", "$name", "{x}")


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_only_text(name: str) -> None:
    host = RootHost([app_server(7, name)])
    work = Work(host, is_deaf=True)
    app = host.app(perform=work)
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, name)
        await opened(pilot, host)
        await shows(pilot, f"end {name}(7) by SIGTERM")
        for y, line in enumerate(screen_lines(app)[:-1]):
            if name in line and isinstance(app.screen, ActsScreen):
                await pilot.click(offset=(line.index(name) + 1, y))
        await wait_for(pilot, lambda: isinstance(app.screen, FreeScreen))
        await shows(pilot, f"{name}(7) of root")
        await pilot.press("8", "0", "enter")
        work.holds.set()
        await shows(pilot, f"to kill {name}(7):")
        await pilot.press("7", "enter")
        await shows(pilot, "the port is free")
        assert app.return_code is None


async def test_ascii_menus_are_ascii() -> None:
    host = RootHost([app_server(7, "日本")])
    app = host.app(Options(interval_s=3600.0, ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, " 80 tcp")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        assert text_of(pilot).isascii()
        await pilot.press("enter")
        await shows(pilot, "type 80 and Enter")
        assert text_of(pilot).isascii()


async def test_a_long_plan_scrolls_and_keeps_its_question() -> None:
    many = tuple(
        holder(process(pid, "app", parent=7)._replace(start_ticks=1)) for pid in range(7, 20)
    )
    crowd = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=many),))
    host = RootHost([crowd])
    async with host.app().run_test(size=(80, 14)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await pilot.press("enter")
        await shows(pilot, "type 80 and Enter to do this:")
        await shows(pilot, "lines 1-")
        await pilot.press("pagedown", "pagedown", "pagedown")
        await shows(pilot, "risk: ")
        assert "type 80 and Enter to do this:" in text_of(pilot)
        assert "80/tcp is held by app(7)" in text_of(pilot)
        for size in ((30, 8), (20, 5), (80, 24)):
            await pilot.resize_terminal(*size)
            await wait_for(pilot, lambda height=size[1]: len(screen_lines(pilot.app)) == height)  # type: ignore[misc]
            assert "type 80" in text_of(pilot)
