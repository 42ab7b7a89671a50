"""The options of the screens, from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sockwatch.lab.languages import Language

ThemeChoice: TypeAlias = Literal["auto", "dark", "light"]


@dataclass(frozen=True, slots=True)
class Options:
    """`theme` auto is what TEXTUAL_THEME names, or what suits the terminal's background.

    `readonly` forbids whatever changes the host or starts a process: the acts and the lab.
    `language` is that of the lab.
    """

    interval_s: float = 1.0
    ascii: bool = False
    theme: ThemeChoice = "auto"
    mouse: bool = True
    readonly: bool = False
    no_color: bool = False
    debug: bool = False
    watch_failures: bool = False
    language: Language = "en"
