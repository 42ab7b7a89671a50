"""What every key does on every screen, "nothing" included."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

import pytest
from textual.command import CommandList, CommandPalette
from textual.widgets.option_list import Option

from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.commands import (
    ACTS_COMMANDS,
    APP_COMMANDS,
    DETAILS_COMMANDS,
    HELP_COMMANDS,
    MAIN_COMMANDS,
    MAIN_FOOTER,
    MOVE_COMMANDS,
    Command,
)
from sockwatch.tui.lab.keys import LAB_COMMANDS, LAB_FOOTERS
from sockwatch.tui.lab.screen import LabScreen
from sockwatch.tui.screens.acts import ActsScreen
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.failures import FailuresScreen
from sockwatch.tui.screens.help import HelpScreen, help_lines
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.widgets.input_bar import InputBar
from sockwatch.tui.widgets.port_table import PortTable
from tests.support.build import holder, port, process, socket
from tests.tui.host import Host, drawn_looks, screen_lines, shows, wait_for
from tests.tui.lab_sandbox import Sandboxes

if TYPE_CHECKING:
    from textual.app import App
    from textual.pilot import Pilot

HOLDERS = (holder(process(812, "server")),)
PORTS = [
    port(n, listeners=(socket("LISTEN", "127.0.0.1", n, holders=HOLDERS),)) for n in range(1, 101)
]
KEYS = [
    *string.ascii_letters, *string.digits, *(f"f{n}" for n in range(1, 13)),
    *(f"ctrl+{letter}" for letter in string.ascii_lowercase), *string.punctuation,
    "up", "down", "left", "right", "pageup", "pagedown", "home", "end", "enter", "escape", "space",
    "tab", "shift+tab", "backspace", "delete", "insert",
]  # fmt: skip

INTERVAL_S = 3600.0
NOTICE_S = 10.0  # longer than a notice stays
LEAVES = {"quit", "details", "lab", "failures", "main"}
UNDONE_BY = {
    **{f"port {n}": "escape" for n in range(1, 10)},
    "palette": "escape",
    "help": "escape",
    "acts": "escape",
    "PAUSED": "p",
    "typing": "escape",
    "following": "F",
    "sorted by PROTO": "<",
    "sorted by PROCESS": ">",
    "sorted by PORT, reversed": "I",
    "theme": "t",
}
QUITS = dict.fromkeys(["q", "f10", "ctrl+c", "ctrl+q"], "quit")
EVERYWHERE = {
    **QUITS,
    **dict.fromkeys(["p", "Z"], "PAUSED"),
    **dict.fromkeys(["r", "ctrl+l"], "look"),
    "-": "interval 60",
    "t": "theme",
    "ctrl+p": "palette",
    "b": "blind spots",
    **dict.fromkeys(["?", "h", "f1"], "help"),
}
MAIN = {
    **EVERYWHERE,
    **dict.fromkeys(["/", "f3", "f4", "\\"], "typing"),
    **dict.fromkeys(["s", "f6", ">"], "sorted by PROTO"),
    "<": "sorted by PROCESS",
    "I": "sorted by PORT, reversed",
    **{str(n): f"port {n}" for n in range(1, 10)},
    "enter": "details",
    "space": "acts",
    "F": "following",
    **dict.fromkeys(["y", "c"], "copied"),
    "l": "lab",
    "f": "failures",
    **dict.fromkeys(["j", "down"], "row 51"),
    **dict.fromkeys(["k", "up"], "row 49"),
    **dict.fromkeys(["g", "home"], "row 0"),
    **dict.fromkeys(["G", "end"], "row 99"),
    "ctrl+d": "row 58",
    "ctrl+u": "row 42",
    "pagedown": "row 65",
    "pageup": "row 35",
}
# From row 0 of the details.
DETAILS = {
    **EVERYWHERE,
    "escape": "main",
    "e": "typing",
    "space": "acts",
    "L": "code in python",
    **dict.fromkeys(["y", "c"], "copied"),
    **dict.fromkeys(["j", "down"], "row 1"),
    "ctrl+d": "row 10",
    "pagedown": "row 21",
    **dict.fromkeys(["G", "end"], "row 21"),
}
# The help scrolls and has no cursor; row is its first line.
HELP = {
    **{key: effect for key, effect in EVERYWHERE.items() if key != "b"},
    **dict.fromkeys(["escape", "q", "?", "h", "f1"], "main"),
    **dict.fromkeys(["j", "down"], "row 1"),
    "ctrl+d": "row 12",
    "pagedown": "row 23",
    **dict.fromkeys(["G", "end"], "end"),
}


async def opened(pilot: Pilot[int], host: Host, screen: str) -> None:
    await shows(pilot, "1 of 100")
    if screen == "main":
        await pilot.press("/", "escape", "G")
        pilot.app.screen.query_one(PortTable).select(50)
        await shows(pilot, "51 of 100")
    elif screen == "details":
        await pilot.press("enter")
        await wait_for(pilot, lambda: host.asked[-1] == 1 and drawn(pilot))
    else:
        await pilot.press("?")
        await shows(pilot, "sockwatch: Ports")


def drawn(pilot: Pilot[int]) -> bool:
    return isinstance(pilot.app.screen, DetailsScreen) and not pilot.app.screen.fresh


KINDS: dict[str, type[BaseScreen]] = {
    "main": MainScreen,
    "details": DetailsScreen,
    "help": HelpScreen,
    "lab": LabScreen,
    "failures": FailuresScreen,
    "acts": ActsScreen,
}


SCREENS = pytest.mark.parametrize(
    ("screen", "expected", "home"),
    [("main", MAIN, "row 50"), ("details", DETAILS, "row 0"), ("help", HELP, "row 0")],
    ids=["main", "details", "help"],
)


@SCREENS
async def test_every_key_that_does_something(
    screen: str, expected: dict[str, str], home: str
) -> None:
    """A key that leaves the screen gets an app of its own, the others share one."""
    effects: dict[str, str] = {}
    staying = [key for key, effect in expected.items() if effect not in LEAVES]
    for keys in (staying, *([key] for key in expected if key not in staying)):
        host = Host(PORTS)
        async with Sandboxes().app(host).run_test(size=(80, 24)) as pilot:
            await opened(pilot, host, screen)
            for key in keys:
                await wait_for(pilot, lambda: is_resting(pilot.app))
                looks = host.looks
                assert observed(pilot, host, looks, screen) == home, key
                await pilot.press(key)
                if expected[key] == "look":
                    await wait_for(pilot, lambda h=host, n=looks: h.looks > n)  # type: ignore[misc]
                await pilot.pause()
                effects[key] = observed(pilot, host, looks, screen)
                if key in staying:
                    await undo(pilot, host, effects[key], looks, int(home.removeprefix("row ")))
    assert effects == expected


async def undo(pilot: Pilot[int], host: Host, effect: str, looks: int, row: int) -> None:
    """Bring the screen back to how `opened` left it, on this row; `looks` came before the key."""
    app = pilot.app
    assert isinstance(app, SockwatchApp)
    if effect in UNDONE_BY:
        await pilot.press(UNDONE_BY[effect])
    elif effect in ("copied", "code in python", "blind spots"):
        host.now += NOTICE_S
        app.tick()
    elif effect.startswith("interval"):
        app.poller.interval_s = INTERVAL_S
    assert isinstance(app.screen, BaseScreen)
    app.screen.lines.select(row)
    # A poll is not to be taken for what the next key does.
    if effect in ("look", "PAUSED") or effect.startswith("interval"):
        await wait_for(pilot, lambda: drawn_looks(app) > looks)


@SCREENS
async def test_every_other_key_does_nothing(
    screen: str, expected: dict[str, str], home: str
) -> None:
    host = Host(PORTS)
    async with Sandboxes().app(host).run_test(size=(80, 24)) as pilot:
        await opened(pilot, host, screen)
        before = screen_lines(pilot.app)
        for key in KEYS:
            if key not in expected:
                await pilot.press(key)
                assert observed(pilot, host, host.looks, screen) == home, key
                assert screen_lines(pilot.app) == before, key


def observed(pilot: Pilot[int], host: Host, looks: int, screen: str) -> str:
    """What a key did, in a word."""
    app = pilot.app
    if app._exit:
        return "quit"
    if isinstance(app.screen, CommandPalette):
        return "palette"
    assert isinstance(app.screen, BaseScreen)
    if not isinstance(app.screen, KINDS[screen]):
        return {kind: name for name, kind in KINDS.items()}[type(app.screen)]
    if any(bar.display for bar in app.screen.query(InputBar)):
        return "typing"
    if not app.current_theme.dark:
        return "theme"
    text = "\n".join(screen_lines(app))
    if screen == "help":
        text = text.partition("\n")[0]
    assert isinstance(app, SockwatchApp)
    if app.pace.paused:
        return "PAUSED"
    if "nothing that was looked at is hidden" in text:
        return "blind spots"
    for word in ("copied", "following", "code in python"):
        if word in text:
            return word
    if (typed := re.search(r"^ port \d+(?= )", text, re.MULTILINE)) is not None:
        return typed[0].strip()
    status = next((line for line in text.splitlines() if "sorted by" in line), "")
    if status and not status.endswith("sorted by PORT"):
        return status[status.index("sorted by") :]
    interval = interval_s(app)
    if interval != INTERVAL_S:
        return f"interval {interval:g}"
    if host.looks > looks:
        return "look"
    lines = app.screen.lines
    at_end = screen == "help" and lines.cursor == lines.total - lines.page_size
    return "end" if at_end else f"row {lines.cursor}"


def is_resting(app: App[int]) -> bool:
    """Whether no poll is under way or asked for."""
    assert isinstance(app, SockwatchApp)
    return app.poller.polling_since is None and not app.poller._wake.is_set()


def interval_s(app: App[int]) -> float:
    assert isinstance(app, SockwatchApp)
    return app.poller.interval_s


async def test_the_interval_has_ends() -> None:
    host = Host(PORTS)
    app = host.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 100")
        app.poller.interval_s = 1.0
        steps = []
        for key in "+" * 7 + "-" * 9:
            await pilot.press(key)
            steps.append(app.poller.interval_s)
        await shows(pilot, "every 0.25s")
    assert steps == [2, 5, 10, 30, 60, 60, 60, 30, 10, 5, 2, 1, 0.5, 0.25, 0.25, 0.25]


async def test_a_filter_is_kept_by_enter_and_cleared_by_escape() -> None:
    host = Host(PORTS)
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 100")
        await pilot.press("/", *"port:7", "enter")
        await shows(pilot, "1 of 1 (100 ports)  filter port:7")
        await pilot.press("s", "?", "escape")
        await shows(pilot, "filter port:7")
        await pilot.press("escape")
        await shows(pilot, "of 100 ")


async def test_the_filter_reads_a_port_as_everything_does() -> None:
    host = Host(PORTS)
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 100")
        await pilot.press("/", *"http://localhost:7/,20-22,80/udp,port", "enter")
        await shows(pilot, "no port matches the filter")  # one word of them is no port
        await pilot.press("/", *["backspace"] * 5, "enter")
        await shows(pilot, "1 of 4 (100 ports)")
        await pilot.press("escape", "/", *"port:http,https/tcp", "enter")
        await shows(pilot, "1 of 1 (100 ports)  filter port:http,https/tcp")


async def test_letters_are_text_while_typing_but_ctrl_c_quits() -> None:
    host = Host(PORTS)
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 100")
        await pilot.press("/", *"qs?yp <>")
        await shows(pilot, "/qs?yp <>")
        await pilot.press("ctrl+c")
        assert pilot.app._exit


async def test_a_wrong_term_is_marked_where_it_stands() -> None:
    host = Host(PORTS)
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 100")
        await pilot.press("/", *"port:x 7")
        await shows(pilot, "! 'x' is neither a port nor a service")
        strips = pilot.app.screen._compositor.render_strips()
        line = next(s for s in strips if "port:x 7" in "".join(p.text for p in s))
        wrong = "".join(p.text for p in line if p.style is not None and p.style.underline)
    assert wrong == "port:x"


@pytest.mark.parametrize("key", ["pagedown", "pageup", "home", "end", "up", "down"])
async def test_the_palette_bears_keys_before_its_list_is_laid_out(key: str) -> None:
    async with Host(PORTS).app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 100")
        await pilot.press("ctrl+p")
        commands = pilot.app.screen.query_one(CommandList)
        await wait_for(pilot, lambda: commands.option_count > 1)
        commands.display = False
        await pilot.pause()
        commands.set_options([Option("one"), Option("two")])
        commands.highlighted = 0
        await pilot.press(key)
        assert isinstance(pilot.app.screen, CommandPalette)


async def test_every_command_is_in_the_palette_and_in_the_help() -> None:
    host = Host(PORTS)
    app = host.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 100")
        main = app.screen
        assert isinstance(main, MainScreen)
        offered = {command.title for command in app.get_system_commands(main)}
        explained = {key for key, text in help_lines(main) if text}
        await pilot.press("ctrl+p", *"reverse")
        await shows(pilot, "Reverse the order")
        await pilot.press("enter")
        await shows(pilot, "sorted by PORT, reversed")
    every = (*MAIN_COMMANDS, *MOVE_COMMANDS, *APP_COMMANDS)
    assert {command.title for command in every} - offered == {"Command palette"}
    assert {" ".join(command.key_names) for command in every} <= explained


@pytest.mark.parametrize(
    "table", [MAIN_COMMANDS, DETAILS_COMMANDS, HELP_COMMANDS, LAB_COMMANDS, ACTS_COMMANDS]
)
def test_no_key_has_two_commands(table: tuple[Command, ...]) -> None:
    every = (*table, *MOVE_COMMANDS)
    if table not in (HELP_COMMANDS, ACTS_COMMANDS):  # these close by what opens or quits others
        every += APP_COMMANDS
    keys = [key for command in every for key in command.keys]
    assert len(keys) == len(set(keys))


def test_every_footer_command_has_a_short_name() -> None:
    for footer in (MAIN_FOOTER, *LAB_FOOTERS.values()):
        assert all(command.footer for command in footer)
