"""The colours of the screens, for dark and for light terminals.

Every text has a contrast of 4.5:1 or more against its background, as WCAG 2 wants it, also where
the terminal shows the nearest of 256 colours.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Final

from textual.app import App
from textual.theme import BUILTIN_THEMES

from sockwatch.tui.options import ThemeChoice

_DARK: Final = replace(
    BUILTIN_THEMES["textual-dark"],
    name="sockwatch-dark",
    error="#ff7088",
)
_LIGHT: Final = replace(
    BUILTIN_THEMES["textual-light"],
    name="sockwatch-light",
    success="#17622d",
    warning="#733f00",
    error="#a8123a",
    background="#f4f4f4",
    surface="#eaeaea",
    panel="#e4e4e4",
)
# The terminal decides what its 16 colours look like: those that are readable on most.
_DARK_16: Final = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="sockwatch-dark-16",
    primary="ansi_cyan",
    warning="ansi_bright_yellow",
    error="ansi_bright_red",
    variables=BUILTIN_THEMES["ansi-dark"].variables | {"input-selection-background": "ansi_white"},
)
_LIGHT_16: Final = replace(
    BUILTIN_THEMES["ansi-light"],
    name="sockwatch-light-16",
    success="ansi_blue",
    warning="ansi_magenta",
    accent="ansi_blue",
    variables=BUILTIN_THEMES["ansi-light"].variables
    | {
        "input-selection-background": "ansi_blue",
        "input-selection-foreground": "ansi_bright_white",
    },
)


class Themes:
    """The theme of the app; `few_colours` means 16, or none.

    For `choice` auto it is what TEXTUAL_THEME names, or dark.
    """

    def __init__(self, app: App[Any], choice: ThemeChoice, *, few_colours: bool) -> None:
        self._app = app
        self._dark, self._light = (_DARK_16, _LIGHT_16) if few_colours else (_DARK, _LIGHT)
        self._is_chosen = False
        for theme in (self._dark, self._light):
            app.register_theme(theme)
        named = app.get_theme(os.environ.get("TEXTUAL_THEME", "")) if choice == "auto" else None
        if named is None:
            self._draw(light=choice == "light")
        elif few_colours:
            self._draw(light=not named.dark)
        else:
            app.theme = named.name

    def switch(self) -> None:
        """From dark to light, or back, for good."""
        self._is_chosen = True
        self._draw(light=self._app.current_theme.dark)

    def follow(self, *, light: bool) -> None:
        """Do as the terminal, unless the user has switched."""
        if not self._is_chosen:
            self._draw(light=light)

    def _draw(self, *, light: bool) -> None:
        self._app.theme = (self._light if light else self._dark).name
