"""The lab on the screen, with a sandbox that is the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockwatch.tui.lab.screen import LabScreen
from sockwatch.tui.options import Options
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.view.rehearsal import QUESTION
from tests.support import build
from tests.tui.host import Host, check_golden, line_with, screen_lines, shows, wait_for
from tests.tui.lab_sandbox import CHOICES, FakeSandbox, Sandboxes

if TYPE_CHECKING:
    from textual.pilot import Pilot

SIZES = [(80, 24), (120, 40)]
BY_SIZE = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
REFUSED = "no namespace for the sandbox: [/x] Operation not permitted"


async def opened(pilot: Pilot[int]) -> None:
    await shows(pilot, "1 of 6")
    await pilot.press("l")
    await shows(pilot, "sandbox: free play, waiting")


async def passed(pilot: Pilot[int], sandboxes: Sandboxes) -> None:
    """Run the first scenario to its end; the looks have caught up."""
    await pilot.press("R", "R")
    await shows(pilot, "passed: 7 steps")
    await shows(pilot, "no port is in use in the sandbox")


def lab(pilot: Pilot[int]) -> LabScreen:
    assert isinstance(pilot.app.screen, LabScreen)
    return pilot.app.screen


@BY_SIZE
async def test_golden_lab_before(size: tuple[int, int]) -> None:
    async with Sandboxes().app().run_test(size=size) as pilot:
        await opened(pilot)
        check_golden(pilot.app, f"lab-before-{size[0]}x{size[1]}")


@BY_SIZE
async def test_golden_lab_passed(size: tuple[int, int]) -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=size) as pilot:
        await opened(pilot)
        await passed(pilot, sandboxes)
        check_golden(pilot.app, f"lab-passed-{size[0]}x{size[1]}")


@BY_SIZE
async def test_golden_lab_explained(size: tuple[int, int]) -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=size) as pilot:
        await opened(pilot)
        for number in range(6):
            await pilot.press("n")
            await shows(pilot, f"{number + 1}/7")
        await pilot.press("tab", "tab", "enter")
        await shows(pilot, "WHY  6")
        check_golden(pilot.app, f"lab-explained-{size[0]}x{size[1]}")


@BY_SIZE
async def test_golden_form(size: tuple[int, int]) -> None:
    async with Sandboxes().app().run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("a")
        await shows(pilot, "SO_REUSEADDR")
        await pilot.press("tab", "right", "tab", "tab", *"99999", "tab", "space", "enter")
        await shows(pilot, "! port: '99999' is not a port: type 0 to 65535")
        check_golden(pilot.app, f"lab-form-{size[0]}x{size[1]}")


async def test_golden_refused() -> None:
    async with Sandboxes(REFUSED).app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 6")
        await pilot.press("l")
        await shows(pilot, "There is no sandbox")
        check_golden(pilot.app, "lab-refused-80x24")


async def test_the_pending_step_does_not_give_its_answer_away() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press(*"nnnnn")
        await shows(pilot, "5/7")
        await shows(pilot, QUESTION)
        await shows(pilot, CHOICES)
        rest = "\n".join(screen_lines(pilot.app)).replace(CHOICES, "")
        assert "EADDRINUSE" not in rest
        assert "--" not in rest


async def test_a_wrong_prediction_is_told_in_words() -> None:
    async with Sandboxes(answer="EACCES").app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("n")
        await shows(pilot, "predicted ok, kernel EACCES: NOT AS PREDICTED")
        await shows(pilot, "NOT AS EXPECTED (ok)")


async def test_a_failure_of_the_sandbox_is_a_sentence() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        sandboxes.made[-1].closed = True
        await pilot.press("n")
        await shows(pilot, "! the sandbox is gone")
        await pilot.press("0")
        await shows(pilot, CHOICES)
        await pilot.press("n")
        await shows(pilot, "predicted ok, kernel ok: agreed")
        assert len(sandboxes.made) == 2


async def test_a_bug_in_the_lab_ends_the_app() -> None:
    sandboxes = Sandboxes()
    app = sandboxes.app()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the app raises it as it closes
        async with app.run_test(size=(80, 24)) as pilot:
            await opened(pilot)

            def broken(port: int | None = None) -> None:
                raise ZeroDivisionError(port)

            sandboxes.made[-1].take_snapshot = broken  # type: ignore[method-assign, assignment]
            await pilot.press("n")
            await wait_for(pilot, lambda: app.return_code is not None)
    assert app.return_code == 1


async def test_what_does_not_fit_the_sandbox_is_skipped_with_a_reason() -> None:
    async with Sandboxes(REFUSED).app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 6")
        await pilot.press("l")
        await shows(pilot, "There is no sandbox")
        await pilot.press("o")
        await shows(pilot, "host's loopback")
        await shows(pilot, "waiting")
        await pilot.press("G", "R", "R")
        await shows(pilot, "skip")
        assert line_with(pilot.app, "it needs a network of its own")


async def test_the_sandbox_and_the_host_are_never_mixed() -> None:
    host, sandboxes = Host(), Sandboxes()
    app = sandboxes.app(host)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("n")
        await shows(pilot, "10013 tcp")
        looks = host.looks
        assert not any("gunicorn" in line for line in screen_lines(app))
        await pilot.press("?", "escape", "r")
        await wait_for(pilot, lambda: len(sandboxes.made[0].polled_ports) > 4)
        assert host.looks == looks
        await pilot.press("shift+tab", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, DetailsScreen))
        await wait_for(pilot, lambda: 10013 in sandboxes.made[0].polled_ports)
        await shows(pilot, "LISTEN  0.0.0.0:10013")
        await pilot.press("escape", "escape")
        await wait_for(pilot, lambda: host.looks > looks)
        await shows(pilot, "gunicorn")
        assert not any("10013" in line for line in screen_lines(app))
        await wait_for(pilot, lambda: sandboxes.made[0].closed)


async def test_a_pause_freezes_the_ports_of_the_sandbox() -> None:
    app = Sandboxes().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await shows(pilot, "no port is in use")
        await pilot.press("p", "n")
        await shows(pilot, "1/7")
        await pilot.press("r")
        await pilot.pause()
        assert line_with(app, "no port is in use")
        await pilot.press("p")
        await shows(pilot, "10013 tcp")


async def test_the_sandbox_is_closed_as_the_app_ends() -> None:
    sandboxes = Sandboxes()
    app = sandboxes.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("q")
    app.labs.join()
    assert [sandbox.closed for sandbox in sandboxes.made] == [True]


async def test_a_command_ends_a_run_after_the_step_under_way() -> None:
    sandboxes = Sandboxes()
    app = sandboxes.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        screen = lab(pilot)
        made = sandboxes.made[0]
        start = made.start

        def start_and_stop(name: str, uid: int | None = None) -> object:
            screen.thread.submit(stop)
            return start(name, uid)

        from sockwatch.tui.lab.lab_commands import Stop

        stop = Stop()
        made.start = start_and_stop  # type: ignore[method-assign, assignment]
        await pilot.press("R", "R")
        await shows(pilot, "1/7")
        await shows(pilot, "waiting")
        assert line_with(app, " 2 two clients connect")


async def test_ascii_and_hostile_text() -> None:
    name = "[@click=app.quit]x[/]é"
    sandboxes = Sandboxes()
    app = sandboxes.app(Host(), Options(interval_s=3600.0, ascii=True))
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(pilot)
        made = sandboxes.made[0]
        held = (build.holder(build.process(7, name, user=name)),)
        listener = build.socket("LISTEN", "0.0.0.0", 80, holders=held)
        with_name = build.snapshot([build.port(80, listeners=(listener,))])
        made.snapshot = with_name
        await pilot.press("r")
        await shows(pilot, "[@click=app.quit]x[/]?")
        keys = "n tab tab enter escape a escape C escape question_mark escape"
        for key in keys.split():
            await pilot.press(key)
            assert "".join(screen_lines(app)).isascii(), (key, screen_lines(app))
        assert app.return_code is None


async def test_nothing_is_drawn_without_a_change() -> None:
    app = Sandboxes().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("n")
        await shows(pilot, "10013 tcp")
        await shows(pilot, "waiting")
        drawn: list[object] = []
        screen = lab(pilot)
        for widget in screen._drawn_on:
            widget.refresh = lambda *regions, **_: drawn.append(regions)  # type: ignore[method-assign, assignment]
        screen.draw()
        assert screen._ports.snapshot is not None
        screen.show(screen._ports.snapshot)
        assert drawn == []


async def test_a_process_goes_by_its_name_and_not_by_its_interpreter() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        forked = build.process(7, "server-1", command="/usr/bin/python3 -c program")
        held = (build.holder(forked._replace(executable="/usr/bin/python3")),)
        listener = build.socket("LISTEN", "0.0.0.0", 80, holders=held)
        sandboxes.made[0].snapshot = build.snapshot([build.port(80, listeners=(listener,))])
        await pilot.press("r")
        await shows(pilot, "80/tcp is held by")
        assert line_with(pilot.app, "+   80 tcp").endswith("server-1 7")


def test_the_fake_sandbox_is_one() -> None:
    assert FakeSandbox().everywhere == "0.0.0.0"


async def test_a_low_screen_shows_what_is_wrong_and_scrolls_to_the_field() -> None:
    async with Sandboxes().app().run_test(size=(80, 10)) as pilot:
        await shows(pilot, "1 of 6")
        await pilot.press("l")
        await shows(pilot, "waiting")
        await pilot.press("a")
        await shows(pilot, "[server-1 ")
        await pilot.press("shift+tab", *"nobody-here")
        await shows(pilot, "!user (root only) [nobody-here")
        assert line_with(pilot.app, "! user: there is no user 'nobody-here'")


@pytest.mark.parametrize("size", [(80, 16), (60, 20), (40, 12), (20, 5)])
async def test_small_and_back(size: tuple[int, int]) -> None:
    app = Sandboxes().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("n")
        await shows(pilot, "10013 tcp")
        await shows(pilot, "waiting")
        before = screen_lines(app)
        await pilot.resize_terminal(*size)
        await wait_for(pilot, lambda: len(screen_lines(app)) == size[1])
        for key in ("tab", "tab", "enter", "G", "escape", "shift+tab", "shift+tab", "a", "escape"):
            await pilot.press(key)
            assert len(screen_lines(app)) == size[1], key
            assert max(len(line) for line in screen_lines(app)) <= size[0], key
        await pilot.resize_terminal(80, 24)
        await wait_for(pilot, lambda: screen_lines(app)[1:-2] == before[1:-2])


async def test_on_the_host_only_the_ports_of_the_lab_are_shown() -> None:
    sandboxes = Sandboxes(REFUSED)
    app = sandboxes.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 6")
        await pilot.press("l")
        await shows(pilot, "There is no sandbox")
        await pilot.press("o")
        await shows(pilot, "waiting")
        sandboxes.made[0].waiting[22] = 3
        await pilot.press("n")
        await shows(pilot, "10000 tcp")
        assert not any("TIME_WAIT 60s" in line for line in screen_lines(app))
