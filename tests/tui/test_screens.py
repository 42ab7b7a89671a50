from __future__ import annotations

import gc

import pytest
from textual.app import App
from textual.strip import Strip

from sockwatch.model import Gap, GapCode, KernelError, Port, Socket
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.options import Options
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.help import HelpScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.symbols import UNICODE
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.port_table import PortTable
from tests.support import build
from tests.support.build import A, group, holder, port, process, socket
from tests.tui.host import Host, check_golden, line_with, look, screen_lines, shows, wait_for

SIZES = [(80, 24), (120, 40)]
NARROW = (60, 20)
GAPS = (
    Gap(
        GapCode.HOLDERS_NOT_PERMITTED, "no permission to read the fds of 9 processes", "run as root"
    ),
)


def table(app: App[int]) -> PortTable:
    return app.screen.query_one(PortTable)


def selected(app: App[int]) -> int:
    found = table(app).row
    assert found is not None
    return found.number


def marked(app: App[int], text: str) -> str:
    return line_with(app, text)[0]


def connections(number: int) -> tuple[Socket, ...]:
    return (
        socket("ESTABLISHED", "10.0.0.5", number, peer=("10.0.0.9", 51_000), flags=A,
               holders=(holder(process(4243, "gunicorn")),)),
        socket("ESTABLISHED", "10.0.0.5", number, peer=("10.0.0.9", 51_001), inode=0),
        socket("TIME_WAIT", "10.0.0.5", number, peer=("10.0.0.7", 40_000), mini=True,
               frees_in_s=41.2, inode=0),
    )  # fmt: skip


@pytest.mark.parametrize("size", [NARROW, *SIZES], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_main(size: tuple[int, int]) -> None:
    host = Host(gaps=GAPS)
    async with host.app().run_test(size=size) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("down", "down", "down")
        check_golden(pilot.app, f"main-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [NARROW, (80, 24)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_main_in_light(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    host = Host(gaps=GAPS)
    app = host.app(Options(interval_s=3600.0, theme="light"))
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("down", "down", "down")
        assert app.theme == "sockwatch-light"
        check_golden(app, f"main-light-{size[0]}x{size[1]}", colours=True)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_details(size: tuple[int, int]) -> None:
    gunicorn = build.gunicorn()._replace(connections=connections(8080))
    host = Host([gunicorn], gaps=GAPS)
    async with host.app().run_test(size=size) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("enter")
        await wait_for(pilot, lambda: host.asked[-1] == 8080)
        await shows(pilot, "blocked by")
        await pilot.press("G")
        await shows(pilot, "3 of 3 sockets")
        check_golden(pilot.app, f"details-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_help(size: tuple[int, int]) -> None:
    host = Host()
    async with host.app().run_test(size=size) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("?")
        await shows(pilot, "sockwatch: Ports")
        check_golden(pilot.app, f"help-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_filter(size: tuple[int, int]) -> None:
    host = Host()
    async with host.app().run_test(size=size) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("/", *"state:listen port:70000")
        await shows(pilot, "too large")
        check_golden(pilot.app, f"filter-{size[0]}x{size[1]}")


async def test_a_sentence_that_does_not_fit_into_the_panel_ends_in_an_ellipsis() -> None:
    app_ = holder(process(7, "app"))
    groups = (
        group("ESTABLISHED", "10.0.0.5", 312, with_fd=1),
        group("TIME_WAIT", "10.0.0.5", 801, clock=(1.0, 57.0)),
    )
    taken = port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=(app_,)),), groups=groups)
    async with Host([taken]).app().run_test(size=(50, 24)) as pilot:
        await shows(pilot, "80/tcp is held by app(7)")
        lines = screen_lines(pilot.app)
        last = next(index for index, line in enumerate(lines) if line.startswith(" ? help")) - 1
        assert lines[last].endswith("…"), "\n".join(lines)


async def test_ascii_screens_are_ascii() -> None:
    name = process(7, "日本" * 20, command="é…")
    odd = port(1, listeners=(socket("LISTEN", "0.0.0.0", 1, holders=(holder(name),)),))
    host = Host([odd, build.gunicorn()], gaps=GAPS)
    app = host.app(Options(interval_s=3600.0, ascii=True))
    async with app.run_test(size=(160, 30)) as pilot:
        await shows(pilot, "gunicorn")
        titles, first, second = screen_lines(app)[1:4]
        assert titles.index("USER") == first.index("root") == second.index("www")
        for key in ("down", "s", "?", "escape", "enter", "escape", "/", "escape"):
            await pilot.press(key)
            assert "".join(screen_lines(app)).isascii(), (key, screen_lines(app))
        await pilot.press("ctrl+p")
        await shows(pilot, "Copy the row")
        assert "".join(screen_lines(app)).isascii(), screen_lines(app)


async def test_the_selection_is_a_port_and_survives_sorting_and_looks() -> None:
    host = Host()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("down", "down", "down")
        assert selected(pilot.app) == 8080
        for key in ("s", "s", "I", "<"):
            await pilot.press(key)
            assert selected(pilot.app) == 8080
        host.ports.insert(0, port(1, listeners=(socket("LISTEN", "0.0.0.0", 1),)))
        await look(pilot, host)
        await shows(pilot, "+ ")
        assert selected(pilot.app) == 8080


async def test_a_selected_port_that_goes_leaves_the_cursor_in_its_place() -> None:
    host = Host()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("down", "down", "down")
        del host.ports[1]
        for _ in range(5):
            await look(pilot, host)
        assert selected(pilot.app) == 9000


async def test_follow_keeps_the_row_at_its_place_on_the_screen() -> None:
    host = Host([port(n, listeners=(socket("LISTEN", "0.0.0.0", n),)) for n in range(100, 200)])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "114")
        await pilot.press(*["down"] * 10)
        host.ports[:0] = [port(n, half_open=1) for n in range(1, 6)]
        await look(pilot, host)
        await shows(pilot, "+ ")
        assert (selected(pilot.app), table(pilot.app).top) == (110, 0)
        await pilot.press("F")
        await shows(pilot, "following")
        host.ports[:0] = [port(n, half_open=1) for n in range(6, 10)]
        await look(pilot, host)
        await wait_for(pilot, lambda: table(pilot.app).top == 5)
        assert selected(pilot.app) == 110


async def test_new_and_gone_ports_are_marked() -> None:
    host = Host([build.sshd(), build.gunicorn(), build.java()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        assert marked(pilot.app, " 9100 ") == " "
        host.ports = [build.sshd(), build.gunicorn(), build.lingering()]
        await look(pilot, host)
        await shows(pilot, "TIME_WAIT 41s")
        assert marked(pilot.app, " 9000 ") == "+"
        assert marked(pilot.app, " 9100 ") == "-"
        for _ in range(3):
            await look(pilot, host)
        await wait_for(pilot, lambda: marked(pilot.app, " 9000 ") == " ")
        assert not any(" 9100 " in line for line in screen_lines(pilot.app))


async def test_pause_freezes_the_view_and_goes_on_looking() -> None:
    host = Host()
    app = host.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("p")
        await shows(pilot, "PAUSED 0s ago")
        host.now += 12
        app.tick()
        await shows(pilot, "PAUSED 12s ago")
        host.ports = [build.sshd()]
        await look(pilot, host)
        assert line_with(app, "gunicorn")
        await pilot.press("Z")
        await shows(pilot, "- 8080 tcp   0.0.0.0")
        assert "PAUSED" not in screen_lines(app)[0]


async def test_details_opened_in_a_pause_show_one_look() -> None:
    host = Host([build.gunicorn()._replace(connections=connections(8080))])
    async with host.app().run_test(size=(80, 50)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("p", "enter")
        await shows(pilot, "10.0.0.9:51000")
        host.ports = []
        await look(pilot, host)
        assert line_with(pilot.app, "10.0.0.9:51000")
        await pilot.press("p")
        await shows(pilot, "8080/tcp: nobody has it")


async def test_a_tick_before_the_screen_is_there_draws_nothing() -> None:
    host = Host()
    early = MainScreen(UNICODE, Watched(host.take))
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        app = pilot.app
        assert isinstance(app, SockwatchApp)
        assert app.shown.front.drawable
        assert not early.drawable
        app._screen_stacks[app._current_mode].append(early)
        app.tick()
        assert app.shown.drawable() == [app.screen_stack[0]]
        app._screen_stacks[app._current_mode].remove(early)


async def test_a_refused_look_is_told_and_the_table_stays() -> None:
    host = Host()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        host.error = KernelError("the kernel refused: [/x] no buffer space", 105)
        await pilot.press("r")
        await shows(pilot, "! the kernel refused: [/x] no buffer space")
        assert line_with(pilot.app, "gunicorn")
        host.error = None
        await pilot.press("r")
        await shows(pilot, "1 of 6")


async def test_a_bug_in_a_look_ends_the_app() -> None:
    host = Host()
    app = host.app()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the app raises it as it closes
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "gunicorn")
            host.error = ZeroDivisionError("a bug")
            await pilot.press("r")
            await wait_for(pilot, lambda: app.return_code is not None)
    assert app.return_code == 1


HOSTILE = ("[/x]", "[@click=app.quit]nginx[/]", "[b", "[red]", "$name", "{x}", "[[")


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_only_text(name: str) -> None:
    held = (holder(process(7, name, user=name, command=name, unit=name)),)
    gaps = (Gap(GapCode.NOT_JUDGED, name, name),)
    found = port(
        80, listeners=(socket("LISTEN", "0.0.0.0", 80, holders=held),),
        connections=(socket("ESTABLISHED", "10.0.0.1", 80, peer=("::", 1), holders=held),),
    )  # fmt: skip
    host = Host([found], gaps=gaps)
    app = host.app()
    async with app.run_test(size=(160, 30)) as pilot:
        await shows(pilot, name)
        for row in (2, screen_lines(app).index(line_with(app, f"{name}(7)"))):
            for x in range(0, 160, 20):
                await pilot.click(offset=(x, row))
        await wait_for(pilot, lambda: isinstance(app.screen, DetailsScreen))
        await shows(pilot, f"{name}(7)")
        await pilot.press("y", "escape", "y")
        await shows(pilot, "copied: 80 tcp 0.0.0.0")
        assert app.return_code is None


async def test_a_notice_goes_from_the_screen_it_stands_on() -> None:
    host = Host()
    app = host.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("y")
        await shows(pilot, "copied:")
        await pilot.press("?")
        await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
        host.now += 60
        app.tick()
        await pilot.press("escape")
        await shows(pilot, "sorted by")
        assert "copied" not in "\n".join(screen_lines(app))


async def test_what_a_screen_has_drawn_goes_with_it() -> None:
    host = Host()
    app = host.app()

    def strips() -> int:
        gc.collect()
        return sum(type(found) is Strip for found in gc.get_objects())

    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        counts = []
        for _ in range(12):
            await pilot.press("enter")
            await wait_for(pilot, lambda: isinstance(app.screen, DetailsScreen))
            await shows(pilot, "listens on")
            await pilot.press("escape")
            await wait_for(pilot, lambda: isinstance(app.screen, MainScreen))
            counts.append(strips())
        # What is drawn in between may still be there, once.
        assert min(counts[6:]) < counts[0] + 24, "one more screen of lines, or more"


async def test_tiny_and_back() -> None:
    host = Host()
    app = host.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("down", "down", "down")
        before = screen_lines(app)
        await pilot.resize_terminal(20, 5)
        await wait_for(pilot, lambda: len(screen_lines(app)) == 5)
        assert max(len(line) for line in screen_lines(app)) <= 20
        assert line_with(app, "8080")
        for key in ("enter", "escape", "?", "escape"):
            await pilot.press(key)
            assert len(screen_lines(app)) == 5
        await pilot.resize_terminal(80, 24)
        await wait_for(pilot, lambda: len(screen_lines(app)) == 24)
        await shows(pilot, "4 of 6")
        after = screen_lines(app)
        assert sorted(after) == sorted(before)


async def test_a_late_and_a_slow_look_are_shown() -> None:
    host = Host()
    app = host.app(Options(interval_s=1.0))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        app.poller.stop()
        app.poller.took_s = 2.0
        app.tick()
        await shows(pilot, "slow, every 8s")
        app.poller.polling_since = -1_000_000.0
        app.tick()
        await shows(pilot, "late by 1")


async def test_a_host_without_ports() -> None:
    async with Host([]).app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "no port is in use")
        await pilot.press("enter", "y", "down", "G", "s")
        assert isinstance(pilot.app.screen, MainScreen)


class Counted(tuple[Socket, ...]):
    """100,000 sockets that are made on access."""

    __slots__ = ()
    made = 0

    def __len__(self) -> int:
        return 100_000

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: object) -> Socket:  # type: ignore[override]
        assert isinstance(index, int)
        Counted.made += 1
        return socket("TIME_WAIT", "10.0.0.5", 9000, peer=("10.0.0.7", index % 65_536), mini=True)


async def test_100_000_sockets_are_made_only_where_they_are_seen() -> None:
    Counted.made = 0
    found: Port = build.lingering()._replace(connections=Counted())
    host = Host([found])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await shows(pilot, "100000 sockets")
        await pilot.press("G")
        await shows(pilot, "100000 of 100000 sockets")
        await shows(pilot, f"10.0.0.7:{99_999 % 65_536}")
    assert 0 < Counted.made < 1000


async def test_28_000_ports_are_drawn_by_the_screenful() -> None:
    ports = [port(n, groups=(group("TIME_WAIT", "10.0.0.1", 1),)) for n in range(1, 28_001)]
    host = Host(ports)
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 28000")
        await pilot.press("G")
        await shows(pilot, "28000 of 28000")
        await pilot.press("s", "I", "pageup")
        await shows(pilot, "sorted by PROTO, reversed")
        assert isinstance(pilot.app, SockwatchApp)
