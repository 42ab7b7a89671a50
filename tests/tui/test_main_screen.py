"""What the main screen is asked, and says: numbers that are typed, blind spots, colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockwatch.model import Gap, GapCode
from sockwatch.tui.screens import filtered
from sockwatch.tui.screens.blind_spots import NO_REMEDY
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.typed_number import TypedNumber
from sockwatch.tui.widgets.port_table import PortTable
from tests.support.build import port, socket
from tests.tui.host import Host, line_with, look, screen_lines, shows, wait_for

if TYPE_CHECKING:
    from textual.pilot import Pilot


def number_of_row(pilot: Pilot[int]) -> int:
    found = pilot.app.screen.query_one(PortTable).row
    assert found is not None
    return found.number


def test_digits_make_a_number() -> None:
    typed = TypedNumber()
    assert [typed.add(digit) for digit in (0, 6, 5, 5, 3, 5)] == [None, 6, 65, 655, 6553, 65_535]
    assert typed.add(7) == 7
    typed.end()
    assert typed.add(8) == 8


async def test_the_cursor_goes_to_the_number_as_it_is_typed() -> None:
    async with Host().app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        for digit, number in (("8", 8), ("0", 80), ("8", 808), ("0", 8080)):
            await pilot.press(digit)
            assert number_of_row(pilot) == number
            await shows(pilot, f" port {number} ")
        assert not any("nobody has it" in line for line in screen_lines(pilot.app))
        await pilot.press("escape")
        await shows(pilot, "4 of 6")
        await pilot.press("2", "2")
        assert number_of_row(pilot) == 22


async def test_after_a_moment_a_digit_begins_another_number() -> None:
    async with Host().app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("8", "0")
        screen = pilot.app.screen
        assert isinstance(screen, MainScreen)
        screen._end_typing()  # what the timer does
        await shows(pilot, "3 of 7")
        await pilot.press("9")
        assert number_of_row(pilot) == 9


async def test_a_number_that_nobody_has_is_a_row_with_details() -> None:
    host = Host()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press(*"1234")
        assert line_with(pilot.app, "1234 tcp") == "▌ 1234 tcp   nobody has it, bind would succeed"
        await look(pilot, host)
        assert number_of_row(pilot) == 1234
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await wait_for(pilot, lambda: host.asked[-1] == 1234)
        await shows(pilot, "1234/tcp: nobody has it")
        await pilot.press("e", *" reuseaddr")
        await shows(pilot, "bind 0.0.0.0 reuseaddr")
        await pilot.press("escape", "escape")
        await shows(pilot, "1234 tcp   nobody has it")
        await pilot.press("down")
        await shows(pilot, "3 of 6")
        assert not any("nobody has it" in line for line in screen_lines(pilot.app))


async def test_a_number_that_somebody_gets_becomes_that_row() -> None:
    host = Host()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press(*"1234")
        host.ports.append(port(1234, listeners=(socket("LISTEN", "0.0.0.0", 1234),)))
        await look(pilot, host)
        await shows(pilot, "+ 1234 tcp   0.0.0.0")
        assert number_of_row(pilot) == 1234


async def test_a_filter_for_a_number_that_nobody_has() -> None:
    host = Host()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("slash", *"1234/udp", "enter")
        await shows(pilot, "▌ 1234 udp   nobody has it, bind would succeed")
        await pilot.press("enter")
        await wait_for(pilot, lambda: host.asked[-1] == 1234)
        await shows(pilot, "1234/udp: nobody has it")


async def test_rows_that_take_long_are_filtered_once_typing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Host().app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        screen = pilot.app.screen
        assert isinstance(screen, MainScreen)
        applied: list[str] = []
        monkeypatch.setattr(screen, "filter_changed", lambda: applied.append(screen.filter.text))
        monkeypatch.setattr(filtered, "FELT_S", 0)
        monkeypatch.setattr(screen, "_took_s", 0.3)
        await pilot.press("slash", *"8080")
        assert screen.filter.text == "8080"
        await wait_for(pilot, lambda: applied == ["8080"])
        monkeypatch.setattr(screen, "_took_s", 60)
        await pilot.press("/", "u", "enter")
        assert applied == ["8080", "8080/u"]


async def test_a_number_is_shown_whatever_the_filter_says() -> None:
    async with Host().app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        await pilot.press("slash", *"state:bound", "enter", *"8080")
        assert number_of_row(pilot) == 8080
        await shows(pilot, "gunicorn 4242 +3")


GAPS = tuple(
    Gap(GapCode.NOT_JUDGED, f"something {n} is not seen", None if n else "run as root")
    for n in range(20)
)


async def test_blind_spots_are_listed_with_what_would_show_them() -> None:
    async with Host(gaps=GAPS).app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "20 blind spots (b)")
        await pilot.press("b")
        await shows(pilot, "something 0 is not seen")
        assert line_with(pilot.app, "remedy").split(None, 1) == ["remedy", "run as root"]
        await pilot.press("G")
        await shows(pilot, "something 19 is not seen")
        await shows(pilot, NO_REMEDY)
        await pilot.press("b")
        await shows(pilot, "gunicorn")


def style_of(pilot: Pilot[int], row: str, text: str) -> str:
    """The colour of the first piece with the text, in the row."""
    strips = pilot.app.screen._compositor.render_strips()
    strip = next(s for s in strips if row in "".join(piece.text for piece in s))
    piece = next(piece for piece in strip if text in piece.text)
    assert piece.style is not None
    assert piece.style.color is not None
    return piece.style.color.name


async def test_colour_carries_state() -> None:
    """The colours of a theme: good, warn and bad, which differ."""
    async with Host().app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        good, warn, wrong = (
            pilot.app.screen.query_one(PortTable).get_component_rich_style(name).color
            for name in ("-good", "-warn", "-bad")
        )
        assert good is not None
        assert warn is not None
        assert wrong is not None
        assert style_of(pilot, " 9100 tcp", "ok") == good.name
        assert style_of(pilot, " 9000 tcp", "TIME_WAIT 41s") == warn.name
        assert style_of(pilot, " 3306 tcp", "129/128") == wrong.name
        assert len({good.name, warn.name, wrong.name}) == 3
