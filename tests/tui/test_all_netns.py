"""The screen across network namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockwatch.model import Gap, GapCode, HostFacts
from sockwatch.tui.options import Options
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.widgets.port_table import PortTable
from tests.support.build import group, port, sshd
from tests.tui.host import check_golden, line_with, look, screen_lines, shows, wait_for
from tests.tui.wide_host import BLUE, WEB2, WideHost, nginx

if TYPE_CHECKING:
    from textual.pilot import Pilot

SIZES = [(80, 24), (120, 40)]
GAPS = (Gap(GapCode.NETNS_UNREAD, "the network namespace 4026532999 cannot be entered", None),)
WIDE = "all namespaces (3)"


def table(pilot: Pilot[int]) -> PortTable:
    return pilot.app.screen.query_one(PortTable)


def selected(pilot: Pilot[int]) -> tuple[str, int]:
    row = table(pilot).row
    assert row is not None
    return (row.netns.short_name if row.netns else "", row.number)


def rows(pilot: Pilot[int]) -> list[tuple[str, int]]:
    return [(row.netns.short_name if row.netns else "", row.number) for row in table(pilot).rows]


async def widen(pilot: Pilot[int]) -> None:
    await shows(pilot, "sshd 812")
    await pilot.press("N")
    await shows(pilot, "all namespaces")


def is_dim(pilot: Pilot[int], text: str) -> bool:
    """Whether the first piece of the table with the text looks as what says nothing does."""
    dim = table(pilot).get_component_rich_style("-dim")
    strips = pilot.app.screen._compositor.render_strips()
    style = next(piece.style for strip in strips for piece in strip if text in piece.text)
    assert style is not None
    return (style.color, style.dim) == (dim.color, dim.dim)


async def closer(pilot: Pilot[int], host: WideHost, *visit: str | int) -> None:
    """Wait until the row under the cursor was asked for in its namespace, and that is drawn."""
    await wait_for(pilot, lambda: visit in host.visits)
    screen = pilot.app.screen
    assert isinstance(screen, MainScreen)
    await wait_for(pilot, lambda: not screen._closer._is_looking)


@pytest.mark.parametrize("size", [*SIZES, (60, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_golden_all_namespaces(size: tuple[int, int]) -> None:
    host = WideHost(GAPS)
    async with host.app().run_test(size=size) as pilot:
        await widen(pilot)
        await pilot.press(*["down"] * 5)
        await closer(pilot, host, "blue", 8080)
        check_golden(pilot.app, f"all-netns-{size[0]}x{size[1]}")


async def test_golden_in_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    host = WideHost(GAPS)
    app = host.app(Options(interval_s=3600.0, theme="light"))
    async with app.run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await pilot.press(*["down"] * 6)
        await closer(pilot, host, "web2", 8080)
        assert app.theme == "sockwatch-light"
        check_golden(app, "all-netns-light-80x24", colours=True)


async def test_one_number_in_three_namespaces_is_three_rows_and_the_cursor_stays_on_its_own() -> (
    None
):
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        assert [row for row in rows(pilot) if row[1] == 8080] == [
            ("host", 8080), ("blue", 8080), ("web2", 8080),
        ]  # fmt: skip
        await pilot.press("end", "up", "up", "up", "up")
        before = selected(pilot)
        await pilot.press(*"8080", "down")
        assert selected(pilot) == ("blue", 8080)
        assert selected(pilot) != before
        host.ports = [sshd()]  # the rows above go, but for a moment as gone ones
        host.others[BLUE].insert(0, nginx(2003, 80))
        await look(pilot, host)
        assert selected(pilot) == ("blue", 8080)
        await shows(pilot, "+   80 tcp   blue")
        assert line_with(pilot.app, "8080 tcp   host").startswith("- 8080")
        await pilot.press("s")
        assert selected(pilot) == ("blue", 8080)


async def test_the_cursor_keeps_its_row_when_the_view_widens_and_narrows() -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "sshd 812")
        await pilot.press(*"9100", "escape")
        await widen(pilot)
        assert selected(pilot) == ("host", 9100)
        await shows(pilot, WIDE)
        assert not any(line.startswith("+") for line in screen_lines(pilot.app))
        await pilot.press("N")
        await wait_for(pilot, lambda: WIDE not in screen_lines(pilot.app)[0])
        assert selected(pilot) == ("", 9100)
        assert not any(line.startswith(("+", "- ")) for line in screen_lines(pilot.app))


async def test_a_namespace_that_ends_takes_its_rows_with_it() -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await pilot.press("end")
        await pilot.press(*"8080", "down", "down")
        assert selected(pilot) == ("web2", 8080)
        del host.others[WEB2]
        await look(pilot, host)
        await shows(pilot, "all namespaces (2)")
        await shows(pilot, "container web2 is no longer looked into")
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, MainScreen)
        for _ in range(4):
            await look(pilot, host)
        assert {name for name, _ in rows(pilot)} == {"host", "blue"}


async def test_an_old_row_is_dim_and_says_its_age_where_there_is_room() -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await shows(pilot, "web2 12s")
        assert is_dim(pilot, "web2 12s")
        assert not is_dim(pilot, "blue")


async def test_the_panel_asks_the_namespace_and_falls_back_on_what_was_seen() -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await pilot.press(*"8080", "down", "down")
        await shows(pilot, "container web2, 12 s ago: 8080/tcp is held by nginx(5005)")
        await closer(pilot, host, "web2", 8080)
        await shows(pilot, " container web2: 8080/tcp is held by nginx(5005)")
        host.shut.add(WEB2)
        await look(pilot, host)
        await shows(pilot, "container web2, 12 s ago: 8080/tcp")
        await pilot.press("home")
        assert host.visits[-1] == ("web2", 8080)
        await shows(pilot, " 22/tcp is held by sshd(812)")


async def test_details_are_those_of_the_port_in_its_namespace() -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await pilot.press(*"8080", "down", "enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await wait_for(pilot, lambda: ("blue", 8080) in host.visits)
        await shows(pilot, "8080/tcp is held by nginx(2001)")
        assert "blue" in screen_lines(pilot.app)[0]
        await pilot.press("escape")
        await shows(pilot, WIDE)


async def test_enter_that_comes_with_a_move_opens_the_row_that_is_there_now() -> None:
    """The closer look is still of the row before."""
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await pilot.press(*"8080", "down", "down")
        await closer(pilot, host, "web2", 8080)
        await shows(pilot, " container web2: 8080/tcp is held by nginx(5005)")
        screen = pilot.app.screen
        assert isinstance(screen, MainScreen)
        screen.table.cursor = 0
        screen.action_details()
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "22/tcp is held by sshd(812)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("netns:blue", [("blue", 6379), ("blue", 8080)]),
        ("netns:4026532411", [("web2", 8080)]),
        ("netns:web", [("web2", 8080)]),
        ("netns:host 22", [("host", 22)]),
        ("-netns:host,blue", [("web2", 8080)]),
    ],
)
async def test_a_filter_that_names_a_namespace_widens_the_view(
    text: str, expected: list[tuple[str, int]]
) -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "sshd 812")
        await pilot.press("/", *text, "enter")
        await shows(pilot, WIDE)
        assert rows(pilot) == expected
        await pilot.press("escape")
        await wait_for(pilot, lambda: WIDE not in screen_lines(pilot.app)[0])


@pytest.mark.parametrize(("width", "last"), [(80, "unit:"), (120, "client:")])
async def test_the_hint_of_the_filter_ends_with_a_whole_term(width: int, last: str) -> None:
    async with WideHost().app().run_test(size=(width, 24)) as pilot:
        await shows(pilot, "sshd 812")
        await pilot.press("/")
        await shows(pilot, "Esc clear  -not port: state: ")
        assert screen_lines(pilot.app)[-1].endswith(f" {last}")


async def test_a_filter_that_matches_nothing_here_hints_at_the_other_namespaces() -> None:
    hint = "N looks into every network namespace"
    async with WideHost().app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "sshd 812")
        await pilot.press("/", *"6379", *" nginx", "enter")
        await shows(pilot, hint)
        await pilot.press("N")
        await shows(pilot, WIDE)
        await wait_for(pilot, lambda: hint not in "".join(screen_lines(pilot.app)))


async def test_sorting_by_namespace_ends_with_the_wide_view() -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await pilot.press("s", "s")
        await shows(pilot, "sorted by NETNS")
        assert [name for name, _ in rows(pilot)] == ["blue"] * 2 + ["host"] * 6 + ["web2"]
        await pilot.press("N")
        await shows(pilot, "sorted by PORT")


async def test_a_number_that_nobody_has_anywhere_is_a_row_of_our_own_namespace() -> None:
    host = WideHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await pilot.press(*"1234")
        assert selected(pilot) == ("host", 1234)
        line = line_with(pilot.app, "1234 tcp   host ")
        assert line.endswith(" nobody has it, bind would succeed")
        await pilot.press("escape", *"6379")
        assert selected(pilot) == ("blue", 6379)


async def test_client_ports_have_a_row_in_each_namespace_until_each_is_wanted() -> None:
    host = WideHost()
    facts = HostFacts(port_range=(32_768, 60_999))
    client = port(43_210, groups=(group("ESTABLISHED", "10.0.0.1", 1),))
    host.others[WEB2].append(client)
    host.facts[WEB2] = facts
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        assert ("web2", 43_210) not in rows(pilot)
        assert " web2 " in line_with(pilot.app, "client ports: 1, under 1 % of the range")
        await pilot.press("end", "enter")
        assert ("web2", 43_210) in rows(pilot)
        assert not any("client ports" in line for line in screen_lines(pilot.app))


async def test_what_could_not_be_seen_of_any_namespace_is_a_blind_spot() -> None:
    host = WideHost(GAPS)
    async with host.app().run_test(size=(80, 24)) as pilot:
        await widen(pilot)
        await shows(pilot, "1 blind spot (b)")
        await pilot.press("b")
        await shows(pilot, "4026532999 cannot be entered")
