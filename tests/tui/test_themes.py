"""The colours: what can be read on dark and on light terminals, of many colours, 16 and none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.color import Color, ColorSystem
from textual.command import CommandPalette

from sockwatch.tui.options import Options, ThemeChoice
from sockwatch.tui.widgets.lines import LineWidget
from tests.tui.host import Host, shows, wait_for
from tests.tui.lab_sandbox import Sandboxes

if TYPE_CHECKING:
    from rich.style import Style
    from textual.app import App

READABLE = 4.5  # WCAG 2.1, 1.4.3
Rgb = tuple[int, int, int]
BLACK, GREY, WHITE = (0, 0, 0), (170, 170, 170), (255, 255, 255)
# The 16 colours of the Linux console and of xterm: console_codes(4), xterm(1).
CONSOLE: tuple[Rgb, ...] = (
    BLACK, (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), GREY,
    (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255),
    (85, 255, 255), WHITE,
)  # fmt: skip
XTERM: tuple[Rgb, ...] = (
    BLACK, (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205),
    (229, 229, 229), (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255),
    (255, 0, 255), (0, 255, 255), WHITE,
)  # fmt: skip


def luminance(colour: Rgb) -> float:
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (channel / 255 for channel in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour: Rgb, other: Rgb) -> float:
    dark, bright = sorted((luminance(colour), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast((0x77, 0x77, 0x77), WHITE) == pytest.approx(4.478, abs=0.001)


def nearest(colour: Color | None) -> Color | None:
    """What a terminal of 256 colours shows."""
    if colour is None or colour.triplet is None:
        return colour
    return Color.from_triplet(colour.downgrade(ColorSystem.EIGHT_BIT).get_truecolor())


class Eye:
    """What is hard to read on a terminal with these 16 colours and these defaults."""

    def __init__(self, palette: tuple[Rgb, ...], text: Rgb, background: Rgb) -> None:
        self.palette, self.text, self.background = palette, text, background

    def _rgb(self, colour: Color | None, default: Rgb) -> Rgb:
        if colour is None or colour.is_default:
            return default
        if colour.triplet is not None:
            return (colour.triplet.red, colour.triplet.green, colour.triplet.blue)
        assert colour.number is not None
        return self.palette[colour.number]

    def misses(self, style: Style) -> str:
        """Its colours and their contrast; empty where that is enough."""
        for colour, behind in (
            (style.color, style.bgcolor),
            (nearest(style.color), nearest(style.bgcolor)),
        ):
            text, background = self._rgb(colour, self.text), self._rgb(behind, self.background)
            found = contrast(text, background)
            if found < READABLE:
                return f"{found:.1f}: {text} on {background}"
        return ""


def styles(app: App[int]) -> dict[Style, str]:
    """Those that the lines on the screen may have, and those of its texts: with where each is."""
    found = {}
    for widget in {type(line): line for line in app.screen.query(LineWidget)}.values():
        for name in widget.COMPONENT_CLASSES:
            style = widget.get_component_rich_style(name)
            found[style] = f"{name} of {type(widget).__name__}"
    is_palette = isinstance(app.screen, CommandPalette)  # what is behind it is dimmed
    region = (app.screen.query_one("#--container") if is_palette else app.screen).region
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        x = 0
        for segment in strip:
            word = any(character.isalnum() for character in segment.text)
            if word and segment.style and region.contains(x, y):
                found[segment.style] = segment.text
            x += segment.cell_length
    return found


EYES = {
    "dark": [Eye(CONSOLE, GREY, BLACK), Eye(XTERM, (229, 229, 229), BLACK)],
    "light": [Eye(CONSOLE, BLACK, WHITE), Eye(XTERM, BLACK, WHITE)],
}
# The keys that lead from screen to screen, and what each then shows.
TOUR = (
    ("", "gunicorn"), ("/ p o r t : x", "! "), ("escape enter", "Esc back"), ("e", ""),
    ("escape escape ?", "One line up"), ("escape f", "failures"), ("escape l", "free play"),
    ("a", "SO_REUSEADDR"), ("escape escape ctrl+p", "search for"),
)  # fmt: skip
SHORT_TOUR = (*TOUR[:2], ("escape l", "free play"), *TOUR[-2:])


def set_colours(monkeypatch: pytest.MonkeyPatch, *, few: bool) -> None:
    """Have the app think that the terminal shows 16 colours, or all."""
    monkeypatch.setenv("TERM", "linux")
    monkeypatch.setenv("COLORTERM", "" if few else "truecolor")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("few", [False, True], ids=["all colours", "16 colours"])
async def test_every_text_can_be_read(
    theme: ThemeChoice, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_colours(monkeypatch, few=few)
    app = Sandboxes().app(options=Options(interval_s=3600.0, theme=theme))
    hard: set[str] = set()
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.theme == f"sockwatch-{theme}{'-16' if few else ''}"
        for keys, text in SHORT_TOUR if few else TOUR:
            await pilot.press(*keys.split())
            await shows(pilot, text)
            for style, where in styles(app).items():
                misses = filter(None, (eye.misses(style) for eye in EYES[theme]))
                hard.update(f"{text}: {where}: {missed}" for missed in misses)
    assert sorted(hard) == []


async def test_the_theme_is_switched_on_every_screen_that_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_colours(monkeypatch, few=False)
    app = Host().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "gunicorn")
        dark = background(app)
        await pilot.press("?", "t")
        await wait_for(pilot, lambda: background(app) != dark)
        await pilot.press("escape")
        await shows(pilot, "gunicorn")
        await wait_for(pilot, lambda: background(app) != dark)
        await pilot.press("ctrl+p", *"theme")
        await shows(pilot, "Switch between the dark and the light theme")
        await pilot.press("enter")
        await wait_for(pilot, lambda: background(app) == dark)


def background(app: App[int]) -> Color | None:
    """Of the first line of the table, or of the help."""
    style = app.screen._compositor.render_strips()[2]._segments[0].style
    return style.bgcolor if style else None


@pytest.mark.parametrize("few", [False, True], ids=["all colours", "16 colours"])
@pytest.mark.parametrize(
    ("named", "choice", "theme"),
    [
        ("", "auto", "sockwatch-dark"),
        ("no-such-theme", "auto", "sockwatch-dark"),
        ("textual-light", "auto", "textual-light"),
        ("textual-light", "dark", "sockwatch-dark"),
        ("nord", "light", "sockwatch-light"),
    ],
)
def test_textuals_own_variable_is_heard_unless_a_theme_is_chosen(
    named: str, choice: ThemeChoice, theme: str, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_colours(monkeypatch, few=few)
    monkeypatch.setenv("TEXTUAL_THEME", named)
    app = Host().app(Options(theme=choice))
    assert app.theme == (theme.replace("textual", "sockwatch") + "-16" if few else theme)
