"""What every key does in the lab, "nothing" included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.commands import APP_COMMANDS, MOVE_COMMANDS
from sockwatch.tui.lab.form import Form
from sockwatch.tui.lab.keys import LAB_COMMANDS
from sockwatch.tui.lab.lab_commands import LabCommand
from sockwatch.tui.lab.sandbox_screen import NO_QUESTION
from sockwatch.tui.lab.screen import LabScreen
from sockwatch.tui.lab.thread import LabThread
from sockwatch.tui.options import Options
from sockwatch.tui.palette import Palette
from sockwatch.tui.screens.help import HelpScreen, help_lines
from sockwatch.tui.screens.main import MainScreen
from tests.tui.host import Host, screen_lines, shows, wait_for
from tests.tui.lab_sandbox import Sandboxes
from tests.tui.test_keys import EVERYWHERE, INTERVAL_S, KEYS, NOTICE_S, is_resting

if TYPE_CHECKING:
    from textual.pilot import Pilot

REFUSED = "no namespace for the sandbox: Operation not permitted"
NO_PROCESS = "no process is in the sandbox"

MOVES = {
    **dict.fromkeys(["j", "down"], "row 2"),
    **dict.fromkeys(["k", "up", "g", "home", "ctrl+u", "pageup"], "row 0"),
    **dict.fromkeys(["G", "end", "ctrl+d", "pagedown"], "row 3"),
}
ANYWAY = {
    **{key: what for key, what in EVERYWHERE.items() if what != "look"},
    **MOVES,
    "b": "nothing that was looked at is hidden",
    "x": "nothing is running",
    **dict.fromkeys(["1", "2", "3", "4"], NO_QUESTION),
    "tab": "keys go to processes",
    "shift+tab": "keys go to ports",
    "v": "without calls",
    **dict.fromkeys(["y", "c"], "copied"),
    "escape": "main",
}
# From the first of three scenarios; nothing was done in the sandbox yet.
LAB = {
    **ANYWAY,
    **dict.fromkeys(["r", "ctrl+l"], "look"),
    **dict.fromkeys(["R", "enter"], "RunScenario reading"),
    **dict.fromkeys(["n", "."], "RunScenario step"),
    "0": "Reset",
    "a": "form: Start a server",
    "C": "form: Connect clients",
    **dict.fromkeys(["K", "f9", "S", "e", "d"], NO_PROCESS),
    "T": "no port is in use in the sandbox",
    "o": "the sandbox is there: own network namespace",
}
WITHOUT_SANDBOX = {
    **ANYWAY,
    **dict.fromkeys(
        ["R", "enter", "n", ".", "0", "a", "C", "K", "f9", "S", "e", "d", "T"],
        "there is no sandbox",
    ),
    "o": "OpenSandbox host",
}
NOTICES = {text for table in (LAB, WITHOUT_SANDBOX) for text in table.values() if " " in text}
NOT_UNDONE = {"quit", "main", "Reset", "OpenSandbox host"} | {
    f"RunScenario {part}" for part in ("reading", "step")
}
UNDONE_BY = {
    "PAUSED": "p",
    "theme": "t",
    "palette": "escape",
    "help": "escape",
    "form": "escape",
    "keys go to processes": "shift+tab",
    "keys go to ports": "tab",
    "without calls": "v",
}
SANDBOXES = pytest.mark.parametrize(
    ("refused", "expected"), [("", LAB), (REFUSED, WITHOUT_SANDBOX)], ids=["sandbox", "refused"]
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the lab's thread."""
    found: list[str] = []
    submit = LabThread.submit

    def submit_and_keep(thread: LabThread, command: LabCommand) -> None:
        words = [type(command).__name__]
        words.append(getattr(command, "pace", ""))
        words.append(getattr(command, "network", ""))
        found.append(" ".join(filter(None, words)))
        submit(thread, command)

    monkeypatch.setattr(LabThread, "submit", submit_and_keep)
    return found


async def opened(pilot: Pilot[int], refused: str) -> None:
    await shows(pilot, "1 of 6")
    await pilot.press("l")
    await shows(pilot, "There is no sandbox" if refused else "no port is in use in the sandbox")
    await shows(pilot, "no sandbox" if refused else "sandbox: free play, waiting")


@SANDBOXES
async def test_every_key_that_does_something(
    refused: str, expected: dict[str, str], asked: list[str]
) -> None:
    """A key that cannot be undone gets an app of its own, the others share one."""
    found: dict[str, str] = {}
    staying = [key for key, effect in expected.items() if effect not in NOT_UNDONE]
    for keys in (staying, *([key] for key in expected if key not in staying)):
        host, sandboxes = Host(), Sandboxes(refused)
        async with sandboxes.app(host).run_test(size=(80, 24)) as pilot:
            await opened(pilot, refused)
            for key in keys:
                await wait_for(pilot, lambda: is_resting(pilot.app))
                asked.clear()
                looks = looked(sandboxes)
                assert observed(pilot, asked, 0) == "row 1", key
                await pilot.press(key)
                if expected[key] == "look":
                    await wait_for(pilot, lambda s=sandboxes, n=looks: looked(s) > n)  # type: ignore[misc]
                await pilot.pause()
                found[key] = observed(pilot, asked, looked(sandboxes) - looks)
                if key in staying:
                    await undo(pilot, host, found[key])
    assert found == expected


async def undo(pilot: Pilot[int], host: Host, effect: str) -> None:
    """Bring the screen back to how `opened` left it."""
    app = pilot.app
    assert isinstance(app, SockwatchApp)
    for start, key in UNDONE_BY.items():
        if effect.startswith(start):
            await pilot.press(key)
    app.poller.interval_s = INTERVAL_S
    host.now += NOTICE_S
    app.tick()
    assert isinstance(app.screen, LabScreen)
    app.screen.lines.select(1)
    await pilot.pause()


@SANDBOXES
async def test_every_other_key_does_nothing(
    refused: str, expected: dict[str, str], asked: list[str]
) -> None:
    async with Sandboxes(refused).app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, refused)
        asked.clear()
        before = screen_lines(pilot.app)
        for key in KEYS:
            # Nothing is watched where there is no sandbox: a look is one at nothing.
            if key not in expected and key not in ("r", "ctrl+l"):
                await pilot.press(key)
                assert observed(pilot, asked, 0) == "row 1", key
                assert screen_lines(pilot.app) == before, key


def looked(sandboxes: Sandboxes) -> int:
    return sum(len(sandbox.polled_ports) for sandbox in sandboxes.made)


def observed(pilot: Pilot[int], asked: list[str], looks: int) -> str:
    """What a key did, in a word."""
    app = pilot.app
    assert isinstance(app, SockwatchApp)
    if app._exit:
        return "quit"
    screen = app.screen
    if isinstance(screen, Form):
        return f"form: {screen._title}"
    kinds = {Palette: "palette", HelpScreen: "help", MainScreen: "main"}
    if not isinstance(screen, LabScreen):
        return kinds[type(screen)]
    lines = screen_lines(app)
    notice = lines[-2].strip()
    if notice in NOTICES:
        return notice
    if asked:
        return asked[-1]
    if app.pace.paused:
        return "PAUSED"
    if not app.current_theme.dark:
        return "theme"
    if "copied" in notice:
        return "copied"
    if app.poller.interval_s != INTERVAL_S:
        return f"interval {app.poller.interval_s:g}"
    if "without calls" in lines[1]:
        return "without calls"
    if looks:
        return "look"
    if screen._focus_name != "scenarios":
        return f"keys go to {screen._focus_name}"
    return f"row {screen.lines.cursor}"


async def test_readonly_switches_the_lab_off() -> None:
    sandboxes = Sandboxes()
    app = sandboxes.app(Host(), Options(interval_s=3600.0, readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 6")
        await pilot.press("l")
        await shows(pilot, "--readonly disables the lab")
        assert isinstance(app.screen, MainScreen)
        assert sandboxes.made == []


async def test_tab_goes_round_and_the_movement_keys_go_along() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, "")
        await pilot.press("R", "R")
        await shows(pilot, "passed: 7 steps")
        screen = pilot.app.screen
        assert isinstance(screen, LabScreen)
        for name in ("processes", "steps", "ports", "scenarios"):
            await pilot.press("tab")
            await shows(pilot, f"{name}: " if name != "processes" else "client pid 4002")
            others = {key: lines.cursor for key, lines in screen._lists.items() if key != name}
            if name == "scenarios":  # another one has other steps
                del others["steps"]
            await pilot.press("g", "G")
            assert {key: screen._lists[key].cursor for key in others} == others
            assert screen.lines.cursor == max(0, screen.lines.total - 1)


async def test_enter_explains_a_step_and_escape_closes_it() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, "")
        await pilot.press("tab", "tab", "enter")
        await shows(pilot, "no step has been run yet")
        await pilot.press("n")
        await shows(pilot, "1/7")
        await pilot.press("enter")
        await shows(pilot, "WHY  1 start the daytime server")
        await shows(pilot, "Nothing is on the port.")
        await pilot.press("tab")
        screen = pilot.app.screen
        assert isinstance(screen, LabScreen)
        assert screen._focus_name == "explanation"
        await pilot.press("escape")
        assert screen._focus_name == "steps"
        await shows(pilot, "PROTO")
        assert isinstance(pilot.app.screen, LabScreen)


async def test_every_command_is_in_the_palette_and_in_the_help() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, "")
        screen = pilot.app.screen
        assert isinstance(screen, LabScreen)
        offered = {command.title for command in pilot.app.get_system_commands(screen)}
        explained = {key for key, text in help_lines(screen) if text}
        await pilot.press("ctrl+p", *"kill the")
        await shows(pilot, "kill -9 the process")
        await pilot.press("escape", "?")
        await shows(pilot, "sockwatch: Lab")
    every = (*LAB_COMMANDS, *MOVE_COMMANDS, *APP_COMMANDS)
    assert {command.title for command in every} - offered == {"Command palette"}
    assert {" ".join(command.key_names) for command in every} <= explained


async def test_a_click_takes_the_keys_along() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, "")
        await pilot.click(offset=(5, 4))
        await shows(pilot, "STEPS  2 two-listeners")
        await pilot.click(offset=(50, 4))
        await shows(pilot, "steps: 3 of")
