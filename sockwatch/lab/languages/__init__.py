"""The language of the lab: which one is wanted, and a table of texts for each but English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_LOCALES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set counts, locale(7)
_CONSOLE: Final = "linux"  # the terminal type of the kernel's own console, which draws no Chinese


def language_of(environment: Mapping[str, str], encoding: str | None) -> Language:
    """The language of the locale, or English where the lab has no other.

    It is English as well where the terminal draws no Chinese, or its `encoding` has none; an
    encoding of None has all.
    """
    locale = next((environment[name] for name in _LOCALES if environment.get(name)), "")
    if locale.partition("_")[0].partition(".")[0] != "zh" or environment.get("TERM") == _CONSOLE:
        return "en"
    return "zh" if has_chinese(encoding) else "en"


def has_chinese(encoding: str | None) -> bool:
    """Whether Chinese can be written in the encoding; None is one that has all characters."""
    try:
        "中文".encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
